-- Whether the summaries of a file agree with themselves: every block returns what does not, and no
-- row if all is well. Sums of hostile numbers may overflow, which SQLite says as an error.

--@ sums_state
-- Summaries lack nothing only after the last, full commit of an ordinary end: before it also rows of
-- the last batch and whole threads may be missing, whatever run.n_pending says of samples.
-- => is_exact
SELECT n_pending = 0 AND state = 'stopped' AND ifnull(stop_reason, '') IN ('target_exited', 'stopped', 'time_limit') AS is_exact
FROM run;

--@ sums_run
-- => what
SELECT 'run' AS what
FROM run
WHERE min(n_samples, on_cpu_ns, n_lost, n_truncated, n_unnamed, n_pending) < 0
    OR max(n_truncated, n_unnamed, n_pending) > n_samples
    OR end_ts < start_ts
LIMIT 1;

--@ sums_symbol_rows
-- => what
SELECT 'symbol_sum' AS what
FROM symbol_sum AS s
JOIN run
LEFT JOIN symbol ON symbol.id = s.symbol
WHERE min(s.n_self_samples, s.self_on_cpu_ns, s.n_self_waits, s.self_off_cpu_ns) < 0
    OR s.n_self_samples > s.n_total_samples
    OR s.self_on_cpu_ns > s.total_on_cpu_ns
    OR s.n_self_waits > s.n_total_waits
    OR s.self_off_cpu_ns > s.total_off_cpu_ns
    OR s.n_total_samples > run.n_samples
    OR s.total_on_cpu_ns > run.on_cpu_ns
    OR symbol.id IS NULL
LIMIT 1;

--@ sums_thread_rows
-- => what
SELECT 'thread_sum' AS what
FROM thread_sum AS s
JOIN run
LEFT JOIN thread ON thread.utid = s.utid
WHERE min(s.n_samples, s.on_cpu_ns, ifnull(runnable_ns, 0), ifnull(idle_ns, 0), ifnull(lock_ns, 0), ifnull(sem_ns, 0),
        ifnull(ipc_ns, 0), ifnull(io_r_ns, 0), ifnull(io_w_ns, 0), ifnull(ready_ns, 0), ifnull(sleep_ns, 0),
        ifnull(conn_ns, 0), ifnull(other_ns, 0), ifnull(unknown_ns, 0), ifnull(n_switches, 0), ifnull(guessed_ns, 0)) < 0
    OR s.n_samples > run.n_samples
    OR thread.utid IS NULL
LIMIT 1;

--@ sums_counter_rows
-- => what
SELECT 'symbol_counter' AS what
FROM symbol_counter
WHERE min(ifnull(self_c0, 0), ifnull(self_c1, 0), ifnull(self_c2, 0), ifnull(self_c3, 0)) < 0
    OR self_c0 > total_c0
    OR self_c1 > total_c1
    OR self_c2 > total_c2
    OR self_c3 > total_c3
LIMIT 1;

--@ sums_tree_rows
-- A parent is smaller than its children, so that there are no cycles.
-- => what
SELECT 'call_tree' AS what
FROM call_tree AS t
JOIN run
LEFT JOIN symbol ON symbol.id = t.symbol
WHERE min(t.n_self_samples, t.self_on_cpu_ns, t.n_self_waits, t.self_off_cpu_ns, t.parent) < 0
    OR t.n_self_samples > t.n_total_samples
    OR t.self_on_cpu_ns > t.total_on_cpu_ns
    OR t.n_self_waits > t.n_total_waits
    OR t.self_off_cpu_ns > t.total_off_cpu_ns
    OR t.n_total_samples > run.n_samples
    OR t.total_on_cpu_ns > run.on_cpu_ns
    OR t.parent >= t.id
    OR symbol.id IS NULL
LIMIT 1;

--@ sums_tree_parents
-- => what
SELECT 'call_tree' AS what
FROM (
    SELECT parent FROM call_tree WHERE parent <> 0
    EXCEPT
    SELECT id FROM call_tree
)
UNION ALL
SELECT 'call_tree'
FROM (SELECT count(*) AS n, count(DISTINCT id) AS n_ids FROM call_tree)
WHERE n <> n_ids
LIMIT 1;

--@ sums_functions
-- Each sample is in one function itself, and below one root.
-- => what
SELECT 'symbol_sum' AS what
FROM run
WHERE (n_samples, on_cpu_ns) IS NOT (
    SELECT ifnull(sum(n_self_samples), 0), ifnull(sum(self_on_cpu_ns), 0) FROM symbol_sum)
UNION ALL
SELECT 'call_tree'
FROM run
WHERE (n_samples, on_cpu_ns) IS NOT (
    SELECT ifnull(sum(n_total_samples), 0), ifnull(sum(total_on_cpu_ns), 0) FROM call_tree WHERE parent = 0)
LIMIT 1;

--@ sums_threads
-- Each sample is of one thread, whose time on the CPU is no less than its samples'.
-- => what
SELECT 'thread_sum' AS what
FROM run
JOIN (SELECT ifnull(sum(n_samples), 0) AS n, ifnull(sum(on_cpu_ns), 0) AS ns FROM thread_sum) AS s
WHERE s.n <> run.n_samples OR s.ns < run.on_cpu_ns OR (run.has_off_cpu = 0 AND s.ns <> run.on_cpu_ns);

--@ sums_counters
-- => what
SELECT 'symbol_counter' AS what
FROM counter
JOIN (
    SELECT
        ifnull(sum(self_c0), 0) AS c0,
        ifnull(sum(self_c1), 0) AS c1,
        ifnull(sum(self_c2), 0) AS c2,
        ifnull(sum(self_c3), 0) AS c3
    FROM symbol_counter
) AS s
WHERE n_attributed <> CASE slot WHEN 0 THEN c0 WHEN 1 THEN c1 WHEN 2 THEN c2 ELSE c3 END
LIMIT 1;

--@ sums_tree
-- The total of a node is its own and its children's, of samples and of waits.
-- :with_waits INTEGER 0: not of these
-- => what
SELECT 'call_tree' AS what
FROM (
    SELECT
        id,
        n_total_samples - n_self_samples AS n,
        total_on_cpu_ns - self_on_cpu_ns AS ns,
        n_total_waits - n_self_waits AS n_waits,
        total_off_cpu_ns - self_off_cpu_ns AS off_ns
    FROM call_tree
    UNION ALL
    SELECT parent, -n_total_samples, -total_on_cpu_ns, -n_total_waits, -total_off_cpu_ns FROM call_tree WHERE parent <> 0
)
GROUP BY id
HAVING sum(n) <> 0 OR sum(ns) <> 0 OR (:with_waits AND (sum(n_waits) <> 0 OR sum(off_ns) <> 0))
LIMIT 1;

--@ sums_tree_functions
-- A function's time is that of its nodes; of those within a recursion the outermost count.
-- :with_waits INTEGER 0: samples only
-- => what
SELECT 'symbol_sum' AS what
FROM (
    SELECT
        symbol,
        n_self_samples AS n_self,
        self_on_cpu_ns AS self_ns,
        n_total_samples AS n_total,
        total_on_cpu_ns AS total_ns,
        n_self_waits AS n_self_waits,
        self_off_cpu_ns AS self_off_ns,
        n_total_waits AS n_waits,
        total_off_cpu_ns AS off_ns
    FROM symbol_sum
    UNION ALL
    SELECT
        symbol,
        -n_self_samples,
        -self_on_cpu_ns,
        iif(is_recursive, 0, -n_total_samples),
        iif(is_recursive, 0, -total_on_cpu_ns),
        -n_self_waits,
        -self_off_cpu_ns,
        iif(is_recursive, 0, -n_total_waits),
        iif(is_recursive, 0, -total_off_cpu_ns)
    FROM call_tree
)
GROUP BY symbol
HAVING sum(n_self) <> 0 OR sum(self_ns) <> 0 OR sum(n_total) <> 0 OR sum(total_ns) <> 0
    OR (:with_waits AND (sum(n_self_waits) <> 0 OR sum(self_off_ns) <> 0 OR sum(n_waits) <> 0 OR sum(off_ns) <> 0))
LIMIT 1;

--@ sums_thread_functions
-- => what
SELECT 'symbol_thread_sum' AS what
FROM (
    SELECT
        symbol,
        n_self_samples AS n_self,
        self_on_cpu_ns AS self_ns,
        n_total_samples AS n_total,
        total_on_cpu_ns AS total_ns
    FROM symbol_sum
    UNION ALL
    SELECT symbol, -n_self_samples, -self_on_cpu_ns, -n_total_samples, -total_on_cpu_ns FROM symbol_thread_sum
)
GROUP BY symbol
HAVING sum(n_self) <> 0 OR sum(self_ns) <> 0 OR sum(n_total) <> 0 OR sum(total_ns) <> 0
LIMIT 1;

--@ sums_of_threads
-- By thread: the samples of its functions, places, callers and times.
-- => what
SELECT 'thread_sum, or one of symbol_thread_sum, frame_sum, callsite_sum, time_bucket,' AS what
FROM (
    SELECT
        utid,
        1 AS is_thread,
        n_samples AS n,
        0 AS ns,
        n_samples AS n_frame,
        0 AS frame_ns,
        n_samples AS n_callsite,
        0 AS callsite_ns,
        n_samples AS n_bucket,
        0 AS bucket_ns
    FROM thread_sum
    UNION ALL
    SELECT utid, 0, -n_self_samples, self_on_cpu_ns, 0, 0, 0, 0, 0, 0 FROM symbol_thread_sum
    UNION ALL
    SELECT utid, 0, 0, 0, -n_samples, on_cpu_ns, 0, 0, 0, 0 FROM frame_sum
    UNION ALL
    SELECT utid, 0, 0, 0, 0, 0, -n_samples, on_cpu_ns, 0, 0 FROM callsite_sum
    UNION ALL
    SELECT utid, 0, 0, 0, 0, 0, 0, 0, -n_samples, on_cpu_ns FROM time_bucket
)
GROUP BY utid
HAVING sum(is_thread) <> 1 OR sum(n) <> 0 OR sum(n_frame) <> 0 OR sum(n_callsite) <> 0 OR sum(n_bucket) <> 0
    OR sum(frame_ns) <> sum(ns) OR sum(callsite_ns) <> sum(ns) OR sum(bucket_ns) <> sum(ns)
    OR min(min(frame_ns, callsite_ns, bucket_ns)) < 0
LIMIT 1;

--@ sums_waits
-- What threads waited, by function and by reason.
-- => what
SELECT 'symbol_sum' AS what
FROM (SELECT ifnull(sum(n_intervals + n_folded_intervals), 0) AS n, ifnull(sum(dur + folded_dur), 0) AS ns
    FROM wait_sum WHERE reason <> '')
WHERE (n, ns) IS NOT (SELECT ifnull(sum(n_self_waits), 0), ifnull(sum(self_off_cpu_ns), 0) FROM symbol_sum)
UNION ALL
SELECT 'call_tree'
FROM (SELECT ifnull(sum(n_intervals + n_folded_intervals), 0) AS n, ifnull(sum(dur + folded_dur), 0) AS ns
    FROM wait_sum WHERE reason <> '')
WHERE (n, ns) IS NOT (SELECT ifnull(sum(n_total_waits), 0), ifnull(sum(total_off_cpu_ns), 0) FROM call_tree WHERE parent = 0)
UNION ALL
SELECT 'thread_sum'
FROM wait_sum
JOIN (
    SELECT
        ifnull(sum(runnable_ns), 0) AS runnable,
        ifnull(sum(idle_ns), 0) AS idle,
        ifnull(sum(lock_ns), 0) AS lock,
        ifnull(sum(sem_ns), 0) AS sem,
        ifnull(sum(ipc_ns), 0) AS ipc,
        ifnull(sum(io_r_ns), 0) AS io_r,
        ifnull(sum(io_w_ns), 0) AS io_w,
        ifnull(sum(ready_ns), 0) AS ready,
        ifnull(sum(sleep_ns), 0) AS sleep,
        ifnull(sum(conn_ns), 0) AS conn,
        ifnull(sum(other_ns), 0) AS other
    FROM thread_sum
) AS s
WHERE dur + folded_dur IS NOT CASE reason
    WHEN '' THEN s.runnable WHEN 'idle' THEN s.idle WHEN 'lock' THEN s.lock WHEN 'sem' THEN s.sem WHEN 'ipc' THEN s.ipc
    WHEN 'ioR' THEN s.io_r WHEN 'ioW' THEN s.io_w WHEN 'ready' THEN s.ready WHEN 'sleep' THEN s.sleep
    WHEN 'conn' THEN s.conn ELSE s.other END
LIMIT 1;

--@ sums_ledger
-- Unless events were lost, the wall time of a thread that has ended is the sum of what it did, but for what clocks of two CPUs are apart.
-- :slack_ns INTEGER
-- => what
SELECT 'thread_sum' AS what
FROM thread_sum AS s
JOIN thread ON thread.utid = s.utid
JOIN run
WHERE run.n_lost = 0 AND s.open_state IS NULL AND abs(ifnull(thread.end_ts, run.end_ts) - thread.start_ts - s.on_cpu_ns - runnable_ns - idle_ns - lock_ns - sem_ns
    - ipc_ns - io_r_ns - io_w_ns - ready_ns - sleep_ns - conn_ns - other_ns - unknown_ns) > :slack_ns
LIMIT 1;
