-- What a comparison needs to know of a run beside its views.

--@ profile_weights
-- How much the weights of samples vary, from the newest of them.
-- :limit INTEGER  samples read
-- => n, sum_ns (ns), sum_square (ns squared)
SELECT
    count(*) AS n,
    coalesce(sum(w), 0.0) AS sum_ns,
    coalesce(sum(w * w), 0.0) AS sum_square
FROM (
    SELECT CAST(on_cpu_ns AS REAL) AS w
    FROM sample
    ORDER BY ts DESC
    LIMIT :limit
);
