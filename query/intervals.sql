-- Single waits.

--@ interval_by_id
-- What is known of an interval.
-- :id INTEGER  thread_state.id
-- => reason_from, callsite, stack_from
SELECT
    reason_from,
    coalesce(callsite, 0) AS callsite,
    stack_from
FROM thread_state
WHERE id = :id;

--@ interval_thread
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
