-- On-CPU time over time.

--@ timeline_buckets
-- What each thread used in each 100 ms.
-- :first INTEGER  time_bucket.bucket
-- :last INTEGER  inclusive
-- => bucket, utid, on_cpu_ns (ns)
SELECT
    bucket,
    utid,
    on_cpu_ns
FROM time_bucket
WHERE bucket >= :first
    AND bucket <= :last;

--@ timeline_samples
-- The same from raw samples, for answers that depend on their stacks.
-- :after INTEGER  ns, exclusive
-- :upto INTEGER  ns, inclusive
-- => ts (ns), utid, callsite, frame, on_cpu_ns (ns)
SELECT
    ts,
    utid,
    callsite,
    frame,
    on_cpu_ns
FROM sample
WHERE ts > :after
    AND ts <= :upto;

--@ timeline_thread
-- :utid INTEGER  thread.utid
-- => tid, pid, name
SELECT
    t.tid AS tid,
    p.pid AS pid,
    t.name AS name
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
WHERE t.utid = :utid;
