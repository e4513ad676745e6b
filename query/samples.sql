-- Raw samples.

--@ samples_newest
-- Samples of a range, newest first.
-- :after INTEGER  ns, exclusive
-- :upto INTEGER  ns, inclusive
-- => ts (ns), utid, cpu, callsite, frame, on_cpu_ns (ns)
SELECT
    ts,
    utid,
    cpu,
    callsite,
    frame,
    on_cpu_ns
FROM sample
WHERE ts > :after
    AND ts <= :upto
ORDER BY ts DESC;

--@ samples_thread
-- :utid INTEGER  thread.utid
-- => tid, pid, name
SELECT
    t.tid AS tid,
    p.pid AS pid,
    t.name AS name
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
WHERE t.utid = :utid;

--@ samples_address
-- Where the sampled pc lies.
-- :frame INTEGER  frame.id
-- => rel_address, binary
SELECT
    f.rel_address AS rel_address,
    b.name AS binary
FROM frame AS f
LEFT JOIN binary AS b ON b.id = f.binary
WHERE f.id = :frame;
