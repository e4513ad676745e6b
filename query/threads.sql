-- Threads and what they used.

--@ threads_by_time
-- Threads of a run, the busiest first. Processes are named beside them.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- :limit INTEGER  rows wanted, -1: all
-- => utid, tid, pid, upid, name, process, is_main_thread, start_ts, end_ts, n_samples, on_cpu_ns,
--    runnable_ns, idle_ns, lock_ns, sem_ns, ipc_ns, io_r_ns, io_w_ns, ready_ns, sleep_ns, conn_ns, other_ns (all ns),
--    n_switches, open_state, open_reason, open_ts (ns), guessed_ns (ns)
SELECT
    t.utid AS utid,
    t.tid AS tid,
    p.pid AS pid,
    t.upid AS upid,
    t.name AS name,
    p.name AS process,
    t.is_main_thread AS is_main_thread,
    t.start_ts AS start_ts,
    t.end_ts AS end_ts,
    coalesce(s.n_samples, 0) AS n_samples,
    coalesce(s.on_cpu_ns, 0) AS on_cpu_ns,
    s.runnable_ns AS runnable_ns,
    s.idle_ns AS idle_ns,
    s.lock_ns AS lock_ns,
    s.sem_ns AS sem_ns,
    s.ipc_ns AS ipc_ns,
    s.io_r_ns AS io_r_ns,
    s.io_w_ns AS io_w_ns,
    s.ready_ns AS ready_ns,
    s.sleep_ns AS sleep_ns,
    s.conn_ns AS conn_ns,
    s.other_ns AS other_ns,
    s.n_switches AS n_switches,
    coalesce(s.open_state, '') AS open_state,
    coalesce(s.open_reason, '') AS open_reason,
    s.open_ts AS open_ts,
    s.guessed_ns AS guessed_ns
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
LEFT JOIN thread_sum AS s ON s.utid = t.utid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid)
ORDER BY coalesce(s.on_cpu_ns, 0) DESC, t.utid
LIMIT :limit;

--@ thread_by_id
-- One thread.
-- :utid INTEGER  thread.utid
-- => utid, tid, pid, upid, name, process, is_main_thread, start_ts, end_ts
SELECT
    t.utid AS utid,
    t.tid AS tid,
    p.pid AS pid,
    t.upid AS upid,
    t.name AS name,
    p.name AS process,
    t.is_main_thread AS is_main_thread,
    t.start_ts AS start_ts,
    t.end_ts AS end_ts
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
WHERE t.utid = :utid;

--@ threads_count
-- How many threads there are.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => n
SELECT count(*) AS n
FROM thread AS t
LEFT JOIN process AS p ON p.upid = t.upid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid);
