--------------------------------------------------------------------------------------------------
-- Views for people and tools: these are what outside SQL may rely on. ms are milliseconds, s are
-- seconds since the start of the run, pct are shares of the run's on-CPU time. Everything is plain
-- SQLite 3.40, so an archive answers in any SQLite shell.

CREATE VIEW v_run AS -- The run in one row.
SELECT
    id,                                                                             -- number of the run
    command,                                                                        -- target
    pid,                                                                            -- its process id
    state,                                                                          -- recording or stopped
    stop_reason,                                                                    -- why it ended, NULL while recording
    strftime('%Y-%m-%dT%H:%M:%fZ', start_wall_ns / 1e9, 'unixepoch') AS started_at, -- UTC
    round((coalesce(end_ts, data_ts) - start_ts) / 1e9, 3)           AS elapsed_s,  -- recorded time
    round(on_cpu_ns / 1e6, 3)                                        AS on_cpu_ms,  -- on-CPU time of all threads
    n_samples,                                                                      -- samples
    n_lost,                                                                         -- records and samples that are missing
    n_truncated,                                                                    -- samples with a cut stack
    n_unnamed,                                                                      -- samples in code without a name
    n_pending,                                                                      -- samples that the summaries may still lack
    hostname,                                                                       -- machine
    os_release,                                                                     -- kernel
    arch,                                                                           -- architecture
    n_cpus,                                                                         -- CPUs
    frequency_hz,                                                                   -- samples asked for per CPU second
    stax_version                                                                    -- recorded by
FROM run;

CREATE VIEW v_top AS -- Functions, most self time first.
SELECT
    symbol.name                                                                           AS name,            -- function
    binary.name                                                                           AS binary,          -- file its code is in
    round(symbol_sum.self_on_cpu_ns / 1e6, 3)                                             AS self_ms,         -- in the function itself
    round(100.0 * symbol_sum.self_on_cpu_ns / nullif((SELECT on_cpu_ns FROM run), 0), 2)  AS self_pct,        -- ... of the run
    round(symbol_sum.total_on_cpu_ns / 1e6, 3)                                            AS total_ms,        -- with everything it calls
    round(100.0 * symbol_sum.total_on_cpu_ns / nullif((SELECT on_cpu_ns FROM run), 0), 2) AS total_pct,       -- ... of the run
    symbol_sum.n_self_samples                                                             AS n_self_samples,  -- samples in the function itself
    symbol_sum.n_total_samples                                                            AS n_total_samples, -- samples with it on the stack
    symbol.kind                                                                           AS kind,            -- function or unnamed
    symbol.id                                                                             AS symbol           -- symbol.id
FROM symbol_sum
JOIN symbol ON symbol.id = symbol_sum.symbol
LEFT JOIN binary ON binary.id = symbol.binary
WHERE symbol.kind IN ('function', 'unnamed')
    AND symbol_sum.n_total_samples > 0
ORDER BY symbol_sum.self_on_cpu_ns DESC, symbol_sum.total_on_cpu_ns DESC, symbol.id;

CREATE VIEW v_counters AS -- What counters counted in each function: a row for each of both. Empty in runs without counters.
SELECT
    counter.name  AS counter,   -- event that was counted
    counter.unit  AS unit,      -- what one count is
    symbol.name   AS name,      -- function
    binary.name   AS binary,    -- file its code is in
    CASE counter.slot
        WHEN 0 THEN symbol_counter.self_c0
        WHEN 1 THEN symbol_counter.self_c1
        WHEN 2 THEN symbol_counter.self_c2
        ELSE symbol_counter.self_c3
    END           AS self,      -- counted in samples in the function itself
    CASE counter.slot
        WHEN 0 THEN symbol_counter.total_c0
        WHEN 1 THEN symbol_counter.total_c1
        WHEN 2 THEN symbol_counter.total_c2
        ELSE symbol_counter.total_c3
    END           AS total,     -- ... with everything it calls
    round(symbol_sum.self_on_cpu_ns / 1e6, 3)  AS self_ms,  -- on-CPU time of those samples
    round(symbol_sum.total_on_cpu_ns / 1e6, 3) AS total_ms, -- ... with everything it calls
    symbol.id     AS symbol     -- symbol.id
FROM counter
CROSS JOIN symbol_counter
JOIN symbol_sum ON symbol_sum.symbol = symbol_counter.symbol
JOIN symbol ON symbol.id = symbol_counter.symbol
LEFT JOIN binary ON binary.id = symbol.binary
WHERE symbol.kind IN ('function', 'unnamed')
    AND symbol_sum.n_total_samples > 0
ORDER BY counter.slot, 5 DESC, 6 DESC, symbol.id;

CREATE VIEW v_thread_functions AS -- Functions of each thread, most self time first.
SELECT
    thread.tid                                        AS tid,             -- thread id
    thread.name                                       AS thread,          -- its name
    symbol.name                                       AS name,            -- function
    round(symbol_thread_sum.self_on_cpu_ns / 1e6, 3)  AS self_ms,         -- in the function itself
    round(symbol_thread_sum.total_on_cpu_ns / 1e6, 3) AS total_ms,        -- with everything it calls
    symbol_thread_sum.n_self_samples                  AS n_self_samples,  -- samples in the function itself
    symbol_thread_sum.n_total_samples                 AS n_total_samples, -- samples with it on the stack
    symbol_thread_sum.utid                            AS utid,            -- thread.utid
    symbol.id                                         AS symbol           -- symbol.id
FROM symbol_thread_sum
JOIN symbol ON symbol.id = symbol_thread_sum.symbol
JOIN thread ON thread.utid = symbol_thread_sum.utid
WHERE symbol.kind IN ('function', 'unnamed')
ORDER BY symbol_thread_sum.self_on_cpu_ns DESC, symbol_thread_sum.utid, symbol.id;

CREATE VIEW v_flame AS -- The call tree as indented text, heaviest branch first, without what is below 1 %.
WITH RECURSIVE walk (node, parent, symbol, depth, is_inlined, self_on_cpu_ns, total_on_cpu_ns, n_total_samples) AS (
    SELECT
        id,
        parent,
        symbol,
        depth,
        is_inlined,
        self_on_cpu_ns,
        total_on_cpu_ns,
        n_total_samples
    FROM call_tree
    WHERE parent = 0
        AND n_total_samples > 0
    UNION ALL
    SELECT
        call_tree.id,
        call_tree.parent,
        call_tree.symbol,
        call_tree.depth,
        call_tree.is_inlined,
        call_tree.self_on_cpu_ns,
        call_tree.total_on_cpu_ns,
        call_tree.n_total_samples
    FROM walk
    JOIN call_tree ON call_tree.parent = walk.node
    WHERE call_tree.total_on_cpu_ns >= (SELECT on_cpu_ns / 100 FROM run)
        AND call_tree.n_total_samples > 0
    ORDER BY 4 DESC, 7 DESC, 1 -- the deepest first makes the walk depth-first
    LIMIT -1                   -- else SQLite drops the order, because the walk is joined below
)
SELECT
    printf('%*s%s', 2 * walk.depth, '', symbol.name)                                AS tree,            -- function under its caller; roots are processes
    round(100.0 * walk.total_on_cpu_ns / nullif((SELECT on_cpu_ns FROM run), 0), 2) AS total_pct,       -- of the run
    round(walk.total_on_cpu_ns / 1e6, 3)                                            AS total_ms,        -- with everything below
    round(walk.self_on_cpu_ns / 1e6, 3)                                             AS self_ms,         -- in this function, called this way
    walk.n_total_samples                                                            AS n_total_samples, -- samples
    binary.name                                                                     AS binary,          -- file its code is in
    walk.is_inlined                                                                 AS is_inlined,      -- 1: inlined into its caller
    walk.depth                                                                      AS depth,           -- 0 at the roots
    walk.node                                                                       AS node,            -- call_tree.id
    walk.parent                                                                     AS parent           -- call_tree.id of the caller, 0 at the roots
FROM walk
CROSS JOIN symbol ON symbol.id = walk.symbol
LEFT JOIN binary ON binary.id = symbol.binary;

CREATE VIEW v_call_tree AS -- Every node of the call tree with its names, in no order.
SELECT
    call_tree.id                              AS node,            -- call_tree.id
    call_tree.parent                          AS parent,          -- call_tree.id of the caller, 0 at the roots
    call_tree.depth                           AS depth,           -- 0 at the roots
    symbol.name                               AS name,            -- function; process name at the roots
    binary.name                               AS binary,          -- file its code is in
    symbol.kind                               AS kind,            -- function, unnamed, process or marker
    call_tree.is_inlined                      AS is_inlined,      -- 1: inlined into its caller
    call_tree.is_recursive                    AS is_recursive,    -- 1: also nearer to the root
    round(call_tree.self_on_cpu_ns / 1e6, 3)  AS self_ms,         -- in this function, called this way
    round(call_tree.total_on_cpu_ns / 1e6, 3) AS total_ms,        -- with everything below
    call_tree.n_self_samples                  AS n_self_samples,  -- samples with exactly this stack
    call_tree.n_total_samples                 AS n_total_samples, -- samples of this node and below
    round(call_tree.total_off_cpu_ns / 1e6, 3) AS blocked_ms,     -- finished waits of this node and below
    call_tree.n_total_waits                   AS n_waits,         -- how many
    call_tree.symbol                          AS symbol           -- symbol.id
FROM call_tree
JOIN symbol ON symbol.id = call_tree.symbol
LEFT JOIN binary ON binary.id = symbol.binary;

CREATE VIEW v_calls AS -- Who calls whom: one row a pair. A stack that holds a pair twice counts twice in it.
SELECT
    caller.name                                AS caller,          -- calling function, or the process
    callee.name                                AS callee,          -- called function
    round(sum(child.total_on_cpu_ns) / 1e6, 3) AS total_ms,        -- of the callee when called from there
    sum(child.n_total_samples)                 AS n_total_samples, -- samples
    caller.id                                  AS caller_symbol,   -- symbol.id
    callee.id                                  AS callee_symbol    -- symbol.id
FROM call_tree AS parent
JOIN call_tree AS child ON child.parent = parent.id
JOIN symbol AS caller ON caller.id = parent.symbol
JOIN symbol AS callee ON callee.id = child.symbol
WHERE child.n_total_samples > 0
GROUP BY parent.symbol, child.symbol
ORDER BY sum(child.total_on_cpu_ns) DESC;

CREATE VIEW v_folded AS -- Stacks in the folded form that flame graph tools read: process;caller;callee.
WITH RECURSIVE walk (node, path, n_self_samples, self_on_cpu_ns) AS (
    SELECT
        call_tree.id,
        replace(symbol.name, ';', ':'),
        call_tree.n_self_samples,
        call_tree.self_on_cpu_ns
    FROM call_tree
    JOIN symbol ON symbol.id = call_tree.symbol
    WHERE call_tree.parent = 0
    UNION ALL
    SELECT
        call_tree.id,
        walk.path || ';' || replace(symbol.name, ';', ':'),
        call_tree.n_self_samples,
        call_tree.self_on_cpu_ns
    FROM walk
    JOIN call_tree ON call_tree.parent = walk.node
    JOIN symbol ON symbol.id = call_tree.symbol
)
SELECT
    path           AS stack,     -- functions from the process down, separated by ;
    n_self_samples AS n_samples, -- samples with exactly this stack
    self_on_cpu_ns AS on_cpu_ns  -- ns
FROM walk
WHERE n_self_samples > 0;

CREATE VIEW v_threads AS -- Threads, most on-CPU time first. NULL: not recorded.
SELECT
    thread.tid                                                                                   AS tid,            -- thread id
    thread.name                                                                                  AS name,           -- last name it had
    process.pid                                                                                  AS pid,            -- process id
    process.name                                                                                 AS process,        -- process name
    round(coalesce(thread_sum.on_cpu_ns, 0) / 1e6, 3)                                            AS on_cpu_ms,      -- on a CPU
    round(100.0 * coalesce(thread_sum.on_cpu_ns, 0)
        / nullif((SELECT sum(on_cpu_ns) FROM thread_sum), 0), 2)                                 AS on_cpu_pct,     -- ... of all threads
    coalesce(thread_sum.n_samples, 0)                                                            AS n_samples,      -- samples
    round(thread_sum.runnable_ns / 1e6, 3)                                                       AS runnable_ms,    -- waiting for a CPU
    round((thread_sum.idle_ns + thread_sum.lock_ns + thread_sum.sem_ns + thread_sum.ipc_ns
        + thread_sum.io_r_ns + thread_sum.io_w_ns + thread_sum.ready_ns + thread_sum.sleep_ns
        + thread_sum.conn_ns + thread_sum.other_ns) / 1e6, 3)                                    AS blocked_ms,     -- waiting for anything else
    round((thread.start_ts - run.start_ts) / 1e9, 3)                                             AS start_s,        -- first seen
    round((thread.end_ts - run.start_ts) / 1e9, 3)                                               AS end_s,          -- ended, NULL: alive when last seen
    thread.is_main_thread                                                                        AS is_main_thread, -- 1: first thread of its process
    thread.utid                                                                                  AS utid,           -- thread.utid
    thread.upid                                                                                  AS upid            -- process.upid
FROM thread
JOIN run
JOIN process ON process.upid = thread.upid
LEFT JOIN thread_sum ON thread_sum.utid = thread.utid
ORDER BY thread_sum.on_cpu_ns DESC, thread.utid;

CREATE VIEW v_ledger AS -- Where the wall time of each thread went: wall = on_cpu + runnable + the ten reasons + unknown. Empty if not recorded.
WITH life (utid, wall_ns, open_state, open_reason, open_ns) AS (
    SELECT
        thread.utid,
        min(coalesce(thread.end_ts, run.end_ts, run.data_ts), coalesce(run.end_ts, run.data_ts)) - thread.start_ts,
        thread_sum.open_state,
        thread_sum.open_reason,
        max(0, min(coalesce(thread.end_ts, run.end_ts, run.data_ts), coalesce(run.end_ts, run.data_ts)) - thread_sum.open_ts)
    FROM thread
    JOIN run
    JOIN thread_sum ON thread_sum.utid = thread.utid
    WHERE run.has_off_cpu = 1
), account (utid, wall, on_cpu, runnable, idle, lock, sem, ipc, io_r, io_w, ready, sleep, conn, other) AS (
    SELECT
        life.utid,
        life.wall_ns,
        s.on_cpu_ns + iif(life.open_state = 'running', life.open_ns, 0),
        coalesce(s.runnable_ns, 0) + iif(life.open_state = 'runnable', life.open_ns, 0),
        coalesce(s.idle_ns, 0) + iif(life.open_reason = 'idle', life.open_ns, 0),
        coalesce(s.lock_ns, 0) + iif(life.open_reason = 'lock', life.open_ns, 0),
        coalesce(s.sem_ns, 0) + iif(life.open_reason = 'sem', life.open_ns, 0),
        coalesce(s.ipc_ns, 0) + iif(life.open_reason = 'ipc', life.open_ns, 0),
        coalesce(s.io_r_ns, 0) + iif(life.open_reason = 'ioR', life.open_ns, 0),
        coalesce(s.io_w_ns, 0) + iif(life.open_reason = 'ioW', life.open_ns, 0),
        coalesce(s.ready_ns, 0) + iif(life.open_reason = 'ready', life.open_ns, 0),
        coalesce(s.sleep_ns, 0) + iif(life.open_reason = 'sleep', life.open_ns, 0),
        coalesce(s.conn_ns, 0) + iif(life.open_reason = 'conn', life.open_ns, 0),
        coalesce(s.other_ns, 0) + iif(life.open_reason = 'other', life.open_ns, 0)
    FROM life
    JOIN thread_sum AS s ON s.utid = life.utid
)
SELECT
    thread.tid                     AS tid,         -- thread id
    thread.name                    AS name,        -- last name it had
    process.name                   AS process,     -- process name
    round(account.wall / 1e6, 3)   AS wall_ms,     -- from its start, or that of the run, to its end or the newest event
    round(on_cpu / 1e6, 3)         AS on_cpu_ms,   -- on a CPU
    round(runnable / 1e6, 3)       AS runnable_ms, -- ready to run, but no CPU was free
    round(idle / 1e6, 3)           AS idle_ms,     -- blocked by reason: parked for work
    round(lock / 1e6, 3)           AS lock_ms,     -- mutexes
    round(sem / 1e6, 3)            AS sem_ms,      -- semaphores
    round(ipc / 1e6, 3)            AS ipc_ms,      -- pipes, message queues, threads and child processes
    round(io_r / 1e6, 3)           AS io_r_ms,     -- reading
    round(io_w / 1e6, 3)           AS io_w_ms,     -- writing
    round(ready / 1e6, 3)          AS ready_ms,    -- poll, select, epoll
    round(sleep / 1e6, 3)          AS sleep_ms,    -- timers
    round(conn / 1e6, 3)           AS conn_ms,     -- connect, accept, open
    round(other / 1e6, 3)          AS other_ms,    -- anything else
    round((wall - on_cpu - runnable - idle - lock - sem - ipc - io_r - io_w - ready - sleep - conn
        - other) / 1e6, 3)         AS unknown_ms,  -- no record accounts for it
    account.utid                   AS utid         -- thread.utid
FROM account
JOIN thread ON thread.utid = account.utid
JOIN process ON process.upid = thread.upid
ORDER BY account.wall DESC, account.utid;

CREATE VIEW v_waits AS -- Finished off-CPU intervals that have a row of their own, longest first; see folded_state for the others.
SELECT
    round((thread_state.ts - run.start_ts) / 1e9, 6)     AS start_s,     -- since the start of the run
    round(thread_state.dur / 1e6, 3)                     AS dur_ms,      -- how long
    thread_state.state                                   AS state,       -- blocked or runnable
    thread_state.reason                                  AS reason,      -- NULL when runnable
    thread_state.reason_from                             AS reason_from, -- how the reason is known
    (
        WITH RECURSIVE up (callsite, frame, parent) AS (
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM callsite
            WHERE callsite.id = thread_state.callsite
            UNION ALL
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM up
            JOIN callsite ON callsite.id = up.parent
        )
        SELECT symbol.name
        FROM up
        JOIN frame ON frame.id = up.frame
        LEFT JOIN frame_line ON frame_line.frame = frame.id AND frame_line.depth = 0
        JOIN symbol ON symbol.id = coalesce(frame_line.symbol, frame.symbol)
        LEFT JOIN binary ON binary.id = frame.binary
        WHERE symbol.kind IN ('function', 'unnamed')
            AND coalesce(binary.kind, '') NOT IN ('kernel', 'module')
        LIMIT 1
    )                                                    AS function,    -- innermost function outside the kernel, NULL: no stack
    thread_state.stack_from                              AS stack_from,  -- how the stack was got
    thread.name                                          AS thread,      -- last name it had
    thread.tid                                           AS tid,         -- thread id
    process.pid                                          AS pid,         -- process id
    thread_state.waker                                   AS waker,       -- what ended it: thread (of the target), outside, interrupt; NULL: not known
    waker.name                                           AS waker_thread, -- name of that thread
    waker.tid                                            AS waker_tid,   -- thread id
    thread_state.utid                                    AS utid,        -- thread.utid
    thread_state.waker_utid                              AS waker_utid,  -- thread.utid of the waker
    thread_state.id                                      AS id           -- thread_state.id
FROM thread_state
JOIN run
JOIN thread ON thread.utid = thread_state.utid
JOIN process ON process.upid = thread.upid
LEFT JOIN thread AS waker ON waker.utid = thread_state.waker_utid
ORDER BY thread_state.dur DESC, thread_state.id;

CREATE VIEW v_open_waits AS -- What threads have been waiting for since their last switch, longest first: waits of 0.1 s and more have a stack.
SELECT
    round((thread_sum.open_ts - run.start_ts) / 1e9, 6)  AS start_s,     -- since the start of the run
    round((coalesce(run.end_ts, run.data_ts) - thread_sum.open_ts) / 1e6, 3) AS dur_ms, -- until the newest data, or the end of the run
    thread_sum.open_reason                               AS reason,      -- as far as it is known yet
    thread_sum.open_reason_from                          AS reason_from, -- how the reason is known
    (
        WITH RECURSIVE up (callsite, frame, parent) AS (
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM callsite
            WHERE callsite.id = thread_sum.open_callsite
            UNION ALL
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM up
            JOIN callsite ON callsite.id = up.parent
        )
        SELECT symbol.name
        FROM up
        JOIN frame ON frame.id = up.frame
        LEFT JOIN frame_line ON frame_line.frame = frame.id AND frame_line.depth = 0
        JOIN symbol ON symbol.id = coalesce(frame_line.symbol, frame.symbol)
        LEFT JOIN binary ON binary.id = frame.binary
        WHERE symbol.kind IN ('function', 'unnamed')
            AND coalesce(binary.kind, '') NOT IN ('kernel', 'module')
        LIMIT 1
    )                                                    AS function,    -- innermost function outside the kernel, NULL: no stack
    thread_sum.open_stack_from                           AS stack_from,  -- how the stack was got
    thread.name                                          AS thread,      -- last name it had
    thread.tid                                           AS tid,         -- thread id
    process.pid                                          AS pid,         -- process id
    thread_sum.utid                                      AS utid,        -- thread.utid
    thread_sum.open_callsite                             AS callsite     -- callsite.id
FROM thread_sum
JOIN run
JOIN thread ON thread.utid = thread_sum.utid
JOIN process ON process.upid = thread.upid
WHERE thread_sum.open_state = 'blocked'
ORDER BY thread_sum.open_ts, thread_sum.utid;

CREATE VIEW v_wakers AS -- Who ended the waits of whom, most waiting time first; only wakeups that were recorded.
SELECT
    waker_sum.waker                           AS waker,        -- thread (of the target), outside (another program's), interrupt
    waker.name                                AS waker_thread, -- thread that woke, NULL: not of the target
    waker.tid                                 AS waker_tid,    -- its thread id
    thread.name                               AS thread,       -- thread that was woken
    thread.tid                                AS tid,          -- its thread id
    sum(waker_sum.n_wakeups)                  AS n_wakeups,    -- how often
    round(sum(waker_sum.blocked_ns) / 1e6, 3) AS blocked_ms,   -- waiting time those wakeups ended
    waker_sum.waker_utid                      AS waker_utid,   -- thread.utid, 0: not a thread of the target
    waker_sum.utid                            AS utid          -- thread.utid
FROM waker_sum
JOIN thread ON thread.utid = waker_sum.utid
LEFT JOIN thread AS waker ON waker.utid = waker_sum.waker_utid
GROUP BY waker_sum.waker, waker_sum.waker_utid, waker_sum.utid
ORDER BY sum(waker_sum.blocked_ns) DESC, waker_sum.waker_utid, waker_sum.utid;

CREATE VIEW v_wakeups AS -- Single wakeups that ended a wait, in the order of thread_state; see folded_wakeup for the others.
SELECT
    round((wakeup.ts - run.start_ts) / 1e9, 6) AS at_s,         -- since the start of the run
    round(wakeup.dur / 1e6, 3)                 AS blocked_ms,   -- how long the thread had waited
    thread.name                                AS thread,       -- thread that was woken
    thread.tid                                 AS tid,          -- its thread id
    wakeup.waker                               AS waker,        -- thread (of the target), outside (another program's), interrupt
    waker.name                                 AS waker_thread, -- thread that woke it, NULL: not of the target
    wakeup.waker_tid                           AS waker_tid,    -- its thread id, NULL: an interrupt
    (
        WITH RECURSIVE up (callsite, frame, parent) AS (
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM callsite
            WHERE callsite.id = wakeup.waker_callsite
            UNION ALL
            SELECT
                callsite.id,
                callsite.frame,
                callsite.parent
            FROM up
            JOIN callsite ON callsite.id = up.parent
        )
        SELECT symbol.name
        FROM up
        JOIN frame ON frame.id = up.frame
        LEFT JOIN frame_line ON frame_line.frame = frame.id AND frame_line.depth = 0
        JOIN symbol ON symbol.id = coalesce(frame_line.symbol, frame.symbol)
        LEFT JOIN binary ON binary.id = frame.binary
        WHERE symbol.kind IN ('function', 'unnamed')
            AND coalesce(binary.kind, '') NOT IN ('kernel', 'module')
        LIMIT 1
    )                                          AS function,     -- innermost function of the waker outside the kernel, NULL: not known
    wakeup.utid                                AS utid,         -- thread.utid
    wakeup.waker_utid                          AS waker_utid,   -- thread.utid of the waker
    wakeup.id                                  AS id            -- wakeup.id
FROM wakeup
JOIN run
JOIN thread ON thread.utid = wakeup.utid
LEFT JOIN thread AS waker ON waker.utid = wakeup.waker_utid
ORDER BY wakeup.id;

CREATE VIEW v_processes AS -- Processes, most on-CPU time first.
SELECT
    process.pid                                                                         AS pid,        -- process id
    process.name                                                                        AS name,       -- name since its last exec
    process.cmdline                                                                     AS cmdline,    -- arguments
    parent.pid                                                                          AS parent_pid, -- process that forked it, NULL for the target itself
    round(coalesce(sum(thread_sum.on_cpu_ns), 0) / 1e6, 3)                              AS on_cpu_ms,  -- of all its threads
    round(100.0 * coalesce(sum(thread_sum.on_cpu_ns), 0)
        / nullif((SELECT sum(on_cpu_ns) FROM thread_sum), 0), 2)                        AS on_cpu_pct, -- ... of all processes
    coalesce(sum(thread_sum.n_samples), 0)                                              AS n_samples,  -- samples
    count(thread.utid)                                                                  AS n_threads,  -- threads it ever had
    round((process.start_ts - run.start_ts) / 1e9, 3)                                   AS start_s,    -- first seen
    round((process.end_ts - run.start_ts) / 1e9, 3)                                     AS end_s,      -- ended, NULL: alive when last seen
    process.upid                                                                        AS upid        -- process.upid
FROM process
JOIN run
LEFT JOIN process AS parent ON parent.upid = process.parent_upid
LEFT JOIN thread ON thread.upid = process.upid
LEFT JOIN thread_sum ON thread_sum.utid = thread.utid
GROUP BY process.upid
ORDER BY coalesce(sum(thread_sum.on_cpu_ns), 0) DESC, process.upid;

CREATE VIEW v_hot_frames AS -- Single code locations, most time first.
SELECT
    symbol.name                                                                         AS name,       -- function, the innermost inlined one
    printf('0x%x', frame.rel_address)                                                   AS address,    -- relative to the binary, as addr2line takes it
    frame.rel_address - container.rel_address                                           AS offset,     -- bytes from the start of the function that it is inlined into
    binary.name                                                                         AS binary,     -- file
    round(sum(frame_sum.on_cpu_ns) / 1e6, 3)                                            AS on_cpu_ms,  -- at this location
    round(100.0 * sum(frame_sum.on_cpu_ns) / nullif((SELECT on_cpu_ns FROM run), 0), 2) AS on_cpu_pct, -- ... of the run
    sum(frame_sum.n_samples)                                                            AS n_samples,  -- samples
    frame.id                                                                            AS frame,      -- frame.id
    symbol.id                                                                           AS symbol      -- symbol.id
FROM frame_sum
JOIN frame ON frame.id = frame_sum.frame
JOIN symbol AS container ON container.id = frame.symbol
LEFT JOIN frame_line ON frame_line.frame = frame.id AND frame_line.depth = 0
JOIN symbol ON symbol.id = coalesce(frame_line.symbol, frame.symbol)
LEFT JOIN binary ON binary.id = frame.binary
GROUP BY frame_sum.frame
ORDER BY sum(frame_sum.on_cpu_ns) DESC, frame.id;

CREATE VIEW v_binaries AS -- Files that code ran from, most self time first, and why names may be missing.
SELECT
    binary.name                                                                                        AS name,           -- last component of path
    round(coalesce(sum(symbol_sum.self_on_cpu_ns), 0) / 1e6, 3)                                        AS self_ms,        -- in its code
    round(100.0 * coalesce(sum(symbol_sum.self_on_cpu_ns), 0) / nullif(run.on_cpu_ns, 0), 2)           AS self_pct,       -- ... of the run
    round(coalesce(sum(symbol_sum.self_on_cpu_ns) FILTER (WHERE symbol.kind = 'unnamed'), 0) / 1e6, 3) AS unnamed_ms,     -- ... of it in code without a name
    coalesce(sum(symbol_sum.n_self_samples), 0)                                                        AS n_self_samples, -- samples
    binary.kind                                                                                        AS kind,           -- main, shared, kernel, module, vdso, jit, unknown
    binary.names_from                                                                                  AS names_from,     -- symbol table used
    binary.note                                                                                        AS note,           -- why names are missing
    binary.build_id                                                                                    AS build_id,       -- in hex
    binary.path                                                                                        AS path,           -- as the target sees it
    binary.id                                                                                          AS binary          -- binary.id
FROM binary
JOIN run
LEFT JOIN symbol ON symbol.binary = binary.id
LEFT JOIN symbol_sum ON symbol_sum.symbol = symbol.id
WHERE binary.kind <> 'marker'
GROUP BY binary.id
ORDER BY coalesce(sum(symbol_sum.self_on_cpu_ns), 0) DESC, binary.id;

CREATE VIEW v_mappings AS -- Executable mappings in the order they appeared.
SELECT
    round((mapping.ts - run.start_ts) / 1e9, 3) AS at_s,        -- when it was made or first seen
    process.pid                                 AS pid,         -- process id
    printf('0x%x', mapping.start)               AS start,       -- virtual address
    mapping.size                                AS size,        -- bytes
    printf('0x%x', mapping.file_offset)         AS file_offset, -- of start in the file
    binary.path                                 AS path,        -- file
    mapping.upid                                AS upid,        -- process.upid
    mapping.binary                              AS binary       -- binary.id
FROM mapping
JOIN run
JOIN process ON process.upid = mapping.upid
JOIN binary ON binary.id = mapping.binary
ORDER BY mapping.id;

CREATE VIEW v_samples AS -- Single samples in time order with their names.
SELECT
    round((sample.ts - run.start_ts) / 1e9, 6) AS at_s,      -- when
    thread.tid                                 AS tid,       -- thread id
    thread.name                                AS thread,    -- its name
    process.pid                                AS pid,       -- process id
    sample.cpu                                 AS cpu,       -- CPU
    symbol.name                                AS name,      -- function that ran, the innermost inlined one
    printf('0x%x', frame.rel_address)          AS address,   -- relative to the binary
    binary.name                                AS binary,    -- file
    caller.name                                AS caller,    -- function that called it, or that it is inlined into, NULL: not known
    coalesce(callsite.depth, 0)                AS n_callers, -- callers on the stack
    round(sample.on_cpu_ns / 1e6, 3)           AS on_cpu_ms, -- on-CPU time it stands for
    sample.ts                                  AS ts,        -- sample.ts
    sample.utid                                AS utid,      -- thread.utid
    sample.callsite                            AS callsite,  -- callsite.id of its callers
    sample.frame                               AS frame,     -- frame.id
    symbol.id                                  AS symbol     -- symbol.id of the function that ran
FROM run
JOIN sample
JOIN thread ON thread.utid = sample.utid
JOIN process ON process.upid = thread.upid
JOIN frame ON frame.id = sample.frame
LEFT JOIN frame_line ON frame_line.frame = frame.id AND frame_line.depth = 0
LEFT JOIN frame_line AS outer_line ON outer_line.frame = frame.id AND outer_line.depth = 1
JOIN symbol ON symbol.id = coalesce(frame_line.symbol, frame.symbol)
LEFT JOIN binary ON binary.id = frame.binary
LEFT JOIN callsite ON callsite.id = sample.callsite
LEFT JOIN frame AS caller_frame ON caller_frame.id = callsite.frame
LEFT JOIN frame_line AS caller_line ON caller_line.frame = caller_frame.id AND caller_line.depth = 0
LEFT JOIN symbol AS caller
    ON caller.id = coalesce(outer_line.symbol, caller_line.symbol, caller_frame.symbol)
    AND caller.kind IN ('function', 'unnamed')
ORDER BY sample.ts;

CREATE VIEW v_timeline AS -- On-CPU time of each thread in steps of 100 ms, in time order.
SELECT
    time_bucket.bucket / 10.0               AS at_s,        -- start of the step
    thread.tid                              AS tid,         -- thread id
    thread.name                             AS thread,      -- its name
    process.name                            AS process,     -- process name
    round(time_bucket.on_cpu_ns / 1e6, 3)   AS on_cpu_ms,   -- on a CPU
    round(time_bucket.on_cpu_ns / 1e6, 1)   AS on_cpu_pct,  -- ... of one CPU: 100 ms are 100 %
    time_bucket.n_samples                   AS n_samples,   -- samples
    round(time_bucket.runnable_ns / 1e6, 3) AS runnable_ms, -- waiting for a CPU, NULL: not recorded
    round(time_bucket.blocked_ns / 1e6, 3)  AS blocked_ms,  -- waiting for anything else, NULL: not recorded
    time_bucket.utid                        AS utid         -- thread.utid
FROM time_bucket
JOIN thread ON thread.utid = time_bucket.utid
JOIN process ON process.upid = thread.upid
ORDER BY time_bucket.bucket, time_bucket.utid;

CREATE VIEW v_loss AS -- What is missing from the run, in time order.
SELECT
    round((loss.ts - run.start_ts) / 1e9, 3) AS at_s, -- when it was noticed
    loss.kind                                AS kind, -- ring_full, queue_full, throttled, ...
    loss.n                                   AS n,    -- records, samples or (throttled) pauses
    loss.cpu                                 AS cpu   -- CPU, NULL: not known
FROM run
JOIN loss
ORDER BY loss.id;

--------------------------------------------------------------------------------------------------
-- Views with Perfetto's names and columns, for SQL written for its trace processor. The tables
-- process and thread already carry Perfetto's columns.

CREATE VIEW perf_sample AS -- Single samples.
SELECT
    sample.ts                                                                   AS id,             -- unique
    sample.ts                                                                   AS ts,             -- ns, CLOCK_MONOTONIC
    sample.utid                                                                 AS utid,           -- thread.utid
    sample.cpu                                                                  AS cpu,            -- CPU
    CASE WHEN binary.kind IN ('kernel', 'module') THEN 'kernel' ELSE 'user' END AS cpu_mode,       -- kernel or user
    sample.callsite << 32 | sample.frame                                        AS callsite_id,    -- stack_profile_callsite.id
    NULL                                                                        AS unwind_error,   -- not kept for single samples
    0                                                                           AS perf_session_id -- one session a run
FROM sample
JOIN frame ON frame.id = sample.frame
LEFT JOIN binary ON binary.id = frame.binary;

CREATE VIEW stack_profile_callsite AS -- Stacks as a tree. Leaves are sampled pcs, numbered callsite << 32 | frame; the rest is callsite.
SELECT
    callsite.id                AS id,        -- unique
    callsite.depth             AS depth,     -- 0 at the root
    nullif(callsite.parent, 0) AS parent_id, -- one step towards the root, NULL at the root
    callsite.frame             AS frame_id   -- stack_profile_frame.id
FROM callsite
UNION ALL
SELECT
    leaf.callsite << 32 | leaf.frame,
    coalesce(callsite.depth + 1, 0),
    nullif(leaf.callsite, 0),
    leaf.frame
FROM (
    SELECT
        callsite,
        frame
    FROM sample
    GROUP BY callsite, frame
) AS leaf
LEFT JOIN callsite ON callsite.id = leaf.callsite;

CREATE VIEW stack_profile_frame AS -- Code locations.
SELECT
    frame.id          AS id,               -- frame.id
    symbol.name       AS name,             -- function that contains it
    frame.binary      AS mapping,          -- stack_profile_mapping.id
    frame.rel_address AS rel_pc,           -- relative to the binary
    (
        SELECT frame_line.frame << 16
        FROM frame_line
        WHERE frame_line.frame = frame.id
            AND frame_line.depth = 0
    )                 AS symbol_set_id,    -- stack_profile_symbol.symbol_set_id, NULL: no lines are known
    NULL              AS deobfuscated_name -- names are demangled already
FROM frame
JOIN symbol ON symbol.id = frame.symbol;

CREATE VIEW stack_profile_symbol AS -- Lines of code locations and functions inlined there, the innermost first.
SELECT
    frame_line.frame << 16 | frame_line.depth AS id,            -- of the innermost: symbol_set_id
    frame_line.frame << 16                    AS symbol_set_id, -- one for each location
    symbol.name                               AS name,          -- function
    frame_line.file                           AS source_file,   -- NULL: not known
    frame_line.line                           AS line_number,   -- from 1, NULL: not known
    EXISTS (
        SELECT 1
        FROM frame_line AS outer_line
        WHERE outer_line.frame = frame_line.frame
            AND outer_line.depth = frame_line.depth + 1
    )                                         AS inlined        -- 1: inlined into the next
FROM frame_line
JOIN symbol ON symbol.id = frame_line.symbol;

CREATE VIEW stack_profile_mapping AS -- Binaries, each with the place it was first mapped at.
SELECT
    binary.id                                 AS id,           -- binary.id
    coalesce(binary.build_id, '')             AS build_id,     -- in hex
    coalesce(mapping.file_offset, 0)          AS exact_offset, -- of start in the file
    coalesce(mapping.file_offset, 0)          AS start_offset, -- ... the same
    coalesce(mapping.start, 0)                AS start,        -- virtual address
    coalesce(mapping.start + mapping.size, 0) AS "end",        -- first byte after it
    0                                         AS load_bias,    -- frame.rel_address has it applied
    binary.path                               AS name          -- path
FROM binary
LEFT JOIN mapping ON mapping.id = (SELECT min(id) FROM mapping WHERE mapping.binary = binary.id);
