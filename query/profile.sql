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

--@ profile_main
-- What the target itself runs: its binary since its last exec, and its main thread.
-- => binary (name, NULL: not known), thread (name)
SELECT
    (
        SELECT b.name
        FROM mapping AS m
        JOIN binary AS b ON b.id = m.binary
        WHERE m.upid = p.upid
            AND b.kind = 'main'
        ORDER BY m.id DESC
        LIMIT 1
    ) AS binary,
    t.name AS thread
FROM process AS p
JOIN thread AS t ON t.upid = p.upid AND t.is_main_thread
WHERE p.parent_upid IS NULL
ORDER BY p.upid
LIMIT 1;
