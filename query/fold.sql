-- What filtered views add up.

--@ fold_thread_ids
-- Every thread and whether a filter accepts it.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => utid, is_accepted
SELECT
    t.utid AS utid,
    (:tid IS NULL OR t.tid = :tid) AND (:pid IS NULL OR p.pid = :pid) AS is_accepted
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
ORDER BY t.utid;

--@ fold_snapshots
-- => id, ts (ns), n_samples
SELECT
    id,
    ts,
    n_samples
FROM snapshot
ORDER BY id;

--@ fold_stack_sums
-- What every stack had summed up to a moment.
-- :snapshot INTEGER  snapshot.id
-- => stack, n_samples, on_cpu_ns (ns)
SELECT
    stack,
    n_samples,
    on_cpu_ns
FROM stack_sum
WHERE snapshot = :snapshot;

--@ fold_stack_counters
-- What counters had counted in every stack up to a moment.
-- :snapshot INTEGER  snapshot.id
-- => stack, c0, c1, c2, c3
SELECT
    stack,
    c0,
    c1,
    c2,
    c3
FROM stack_counter
WHERE snapshot = :snapshot;

--@ fold_sample_rows
-- Raw samples between two moments.
-- :after INTEGER  ns, exclusive
-- :upto INTEGER  ns, inclusive
-- => utid, callsite, frame, on_cpu_ns (ns)
SELECT
    utid,
    callsite,
    frame,
    on_cpu_ns
FROM sample
WHERE ts > :after
    AND ts <= :upto;

--@ fold_sample_rows_with_counters
-- The same with what counters counted.
-- :after INTEGER  ns, exclusive
-- :upto INTEGER  ns, inclusive
-- => utid, callsite, frame, on_cpu_ns (ns), c0, c1, c2, c3
SELECT
    utid,
    callsite,
    frame,
    on_cpu_ns,
    c0,
    c1,
    c2,
    c3
FROM sample
WHERE ts > :after
    AND ts <= :upto;
