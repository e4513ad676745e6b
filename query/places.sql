-- What threads are called.

--@ place_thread
-- :utid INTEGER  thread.utid
-- => tid, pid, name, process
SELECT
    t.tid AS tid,
    p.pid AS pid,
    t.name AS name,
    p.name AS process
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
WHERE t.utid = :utid;
