-- What several views share.

--@ threads_total
-- What some threads have in all.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => n_samples, on_cpu_ns (ns)
SELECT
    coalesce(sum(s.n_samples), 0) AS n_samples,
    coalesce(sum(s.on_cpu_ns), 0) AS on_cpu_ns
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
JOIN thread_sum AS s ON s.utid = t.utid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid);
