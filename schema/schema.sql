-- stax run database, schema version 5. One file holds one recorded run.
--
-- Times are nanoseconds of CLOCK_MONOTONIC in ts, durations in dur or *_ns; run maps them to wall time.
-- Threads and processes are named by utid and upid, because tids and pids are reused.
-- Facts are what was recorded and are only ever added to. Names say what code is called and may be
-- replaced by better ones. Summaries follow from both and are kept up to date while recording.
-- v_* views are for people; perf_sample and stack_profile_* carry Perfetto's names and columns.

--------------------------------------------------------------------------------------------------
-- Facts

CREATE TABLE run (
    id               INTEGER PRIMARY KEY, -- number of the run on the machine that recorded it
    state            TEXT    NOT NULL,    -- recording or stopped
    stop_reason      TEXT,                -- target_exited, stopped, time_limit, storage_full, capture_failed, server_died
    pid              INTEGER NOT NULL,    -- process that was launched or attached to
    is_launched      INTEGER NOT NULL,    -- 1: stax record -- command, 0: --pid
    command          TEXT    NOT NULL,    -- command line of the target, for people
    start_ts         INTEGER NOT NULL,    -- CLOCK_MONOTONIC ns when recording began
    end_ts           INTEGER,             -- ... when it ended, NULL while recording
    start_wall_ns    INTEGER NOT NULL,    -- CLOCK_REALTIME ns since 1970 at start_ts
    data_ts          INTEGER NOT NULL,    -- newest event this file holds
    frequency_hz     INTEGER NOT NULL,    -- samples asked for per second of CPU time
    period_ns        INTEGER NOT NULL,    -- on-CPU time between two samples of a CPU
    has_children     INTEGER NOT NULL,    -- 1: descendants of the target were recorded too
    hostname         TEXT    NOT NULL,    -- machine
    os_release       TEXT    NOT NULL,    -- kernel name and release
    arch             TEXT    NOT NULL,    -- machine architecture, as uname -m prints it
    n_cpus           INTEGER NOT NULL,    -- CPUs online at the start
    stax_version     TEXT    NOT NULL,    -- version that recorded it
    n_samples        INTEGER NOT NULL,    -- samples recorded, also those whose rows were dropped since
    on_cpu_ns        INTEGER NOT NULL,    -- sum of all sample weights
    n_lost           INTEGER NOT NULL,    -- sum of loss.n of ring_full, queue_full and malformed
    n_truncated      INTEGER NOT NULL,    -- samples whose stack is known to be cut
    n_unnamed        INTEGER NOT NULL,    -- samples whose sampled pc has no symbol
    n_moved          INTEGER NOT NULL,    -- samples whose ts was moved up to keep ts unique and ascending
    max_moved_ns     INTEGER NOT NULL,    -- the farthest of those moves
    n_pending        INTEGER NOT NULL,    -- samples that slow summaries (call_tree, *_sum) may still lack; 0 when stopped, unless the server died after rows were dropped
    raw_from_ts      INTEGER NOT NULL,    -- sample rows before this were dropped to stay within the size bound (a snapshot's ts + 1, or 0)
    n_renames        INTEGER NOT NULL,    -- how often names were replaced since the recording
    has_off_cpu      INTEGER NOT NULL     -- 1: context switches were recorded, so that every thread's wall time is accounted for
) STRICT;

CREATE TABLE ability (
    name             TEXT    PRIMARY KEY, -- kernel_stacks, off_cpu, wait_stacks, parked_stacks, wakeups, counters, full_stacks; late_names (only where better names are known to be missing), whole_run (only where storing it failed)
    is_available     INTEGER NOT NULL,    -- 1: this run has it
    reason           TEXT    NOT NULL,    -- why not, empty if it has
    unlock           TEXT    NOT NULL     -- command that would lift it on the recording machine
) STRICT;

CREATE TABLE process (
    upid             INTEGER PRIMARY KEY, -- unique process id of this run
    pid              INTEGER NOT NULL,    -- process id
    parent_upid      INTEGER,             -- process.upid that forked it, NULL for the target itself
    name             TEXT    NOT NULL,    -- name since its last exec
    cmdline          TEXT,                -- arguments, separated by spaces, where known
    start_ts         INTEGER NOT NULL,    -- ns, first seen
    end_ts           INTEGER              -- ns, NULL: alive when last seen
) STRICT;

CREATE TABLE thread (
    utid             INTEGER PRIMARY KEY, -- unique thread id of this run
    upid             INTEGER NOT NULL,    -- process.upid
    tid              INTEGER NOT NULL,    -- thread id
    name             TEXT    NOT NULL,    -- last name it had
    is_main_thread   INTEGER NOT NULL,    -- 1: tid equals its process's pid
    start_ts         INTEGER NOT NULL,    -- ns, first seen
    end_ts           INTEGER              -- ns, NULL: alive when last seen
) STRICT;

CREATE TABLE binary (
    id               INTEGER PRIMARY KEY, -- a file or other source of code
    path             TEXT    NOT NULL,    -- as the target sees it; [kernel], [vdso], [anon] (one of each process), [unknown], [marker] for others
    name             TEXT    NOT NULL,    -- last component of path
    kind             TEXT    NOT NULL,    -- main, shared, kernel, module, vdso, jit (code made at run time: a jitdump, a perf map, or [anon]), unknown, marker (process names and other roots)
    build_id         TEXT,                -- GNU build id in hex, NULL if it has none or is unreadable
    has_addresses    INTEGER NOT NULL,    -- 1: frame.rel_address is the ELF virtual address, 0: the file offset
    names_from       TEXT    NOT NULL,    -- best symbol table found, words as symbol.source
    note             TEXT,                -- why names are missing or doubtful: deleted, replaced, unreadable, stripped; why a debug file was refused; what its debug information lacks; what is wrong with a jitdump; at the end what debuginfod servers said (debuginfod at URL: ...)
    package          TEXT                 -- that the file came in, as the recording machine's dpkg knows it; NULL: none or not known
) STRICT;

CREATE TABLE mapping (
    id               INTEGER PRIMARY KEY, -- executable mappings in the order they appeared
    ts               INTEGER NOT NULL,    -- ns, when it was made or first seen
    upid             INTEGER NOT NULL,    -- process.upid
    start            INTEGER NOT NULL,    -- virtual address
    size             INTEGER NOT NULL,    -- bytes
    file_offset      INTEGER NOT NULL,    -- of start in the file, bytes
    binary           INTEGER NOT NULL     -- binary.id
) STRICT;

CREATE TABLE sample (
    ts               INTEGER PRIMARY KEY, -- ns; unique: equal stamps of two CPUs are moved by 1 ns
    utid             INTEGER NOT NULL,    -- thread.utid that ran
    cpu              INTEGER NOT NULL,    -- on this CPU
    callsite         INTEGER NOT NULL,    -- callsite.id of its callers; the outermost is the process's name
    frame            INTEGER NOT NULL,    -- frame.id of the sampled pc
    on_cpu_ns        INTEGER NOT NULL,    -- the weight: on-CPU time this sample stands for
    c0               INTEGER,             -- what counter 0 counted since the thread's last sample (on this CPU); NULL: no such counter
    c1               INTEGER,             -- ... counter 1
    c2               INTEGER,             -- ... counter 2
    c3               INTEGER              -- ... counter 3
) STRICT;

-- Rows come in the order in which intervals ended. Intervals that are not here are in folded_state; the one a
-- thread is in now is in thread_sum.open_*.
CREATE TABLE thread_state (
    id               INTEGER PRIMARY KEY, -- an off-CPU interval
    ts               INTEGER NOT NULL,    -- ns, when the thread left its CPU
    dur              INTEGER NOT NULL,    -- ns
    utid             INTEGER NOT NULL,    -- thread.utid
    state            TEXT    NOT NULL,    -- blocked or runnable (preempted, or not started yet)
    reason           TEXT,                -- idle, lock, sem, ipc, ioR, ioW, ready, sleep, conn, other; NULL when runnable
    reason_from      TEXT,                -- kernel_stack, wchan, syscall, user_function, earlier (a guess: another wait of the thread), futex (a guess: its arguments), none; NULL when runnable
    callsite         INTEGER,             -- callsite.id of where it waits, innermost function included; without a stack the process's name; NULL when runnable
    stack_from       TEXT,                -- switch (taken as it left its CPU), parked (read while it waited), last_sample (its last sample before), none; NULL when runnable
    waker_utid       INTEGER,             -- thread.utid that ended the wait, NULL: not a thread of the target, or not known
    waker_callsite   INTEGER,             -- callsite.id of where the waker was, innermost function included, NULL: not known
    waker            TEXT,                -- thread (of the target), outside (another program's), interrupt (a timer, a device); NULL: no wakeup was recorded
    UNIQUE (reason, dur, id)              -- finds the longest of each reason
) STRICT;

-- Off-CPU intervals that have no row of their own: short ones of busy times, and those whose rows were given
-- up to stay within the size bound. Their time is exact.
CREATE TABLE folded_state (
    bucket           INTEGER NOT NULL,    -- (ts - run.start_ts) / 100 ms when they ended, to within a few 10 ms
    utid             INTEGER NOT NULL,    -- thread.utid
    state            TEXT    NOT NULL,    -- as thread_state.state
    reason           TEXT    NOT NULL,    -- as thread_state.reason, empty when runnable
    callsite         INTEGER NOT NULL,    -- callsite.id where the thread's last wait of this reason with a stack was, else the process's name; 0 when runnable
    n_intervals      INTEGER NOT NULL,    -- how many
    dur              INTEGER NOT NULL,    -- ns, sum of them
    n_buckets        INTEGER NOT NULL,    -- how many buckets from that one on they are of; more than 1 where old rows were added up
    guessed_ns       INTEGER,             -- ns of dur whose reason is guessed (thread_state.reason_from earlier, futex); NULL: not known
    PRIMARY KEY (bucket, utid, state, reason, callsite)
) STRICT, WITHOUT ROWID;

-- Wakeups that ended a wait, as thread_state keeps those; the others are in folded_wakeup. Where wakeups come
-- faster than they may be recorded, some are not recorded at all: their waits have no waker.
CREATE TABLE wakeup (
    id               INTEGER PRIMARY KEY, -- a blocked thread was made runnable
    ts               INTEGER NOT NULL,    -- ns
    utid             INTEGER NOT NULL,    -- thread.utid that was woken
    dur              INTEGER NOT NULL,    -- ns, how long it had waited
    waker            TEXT    NOT NULL,    -- as thread_state.waker
    waker_tid        INTEGER,             -- thread id of the waker, NULL: an interrupt
    waker_utid       INTEGER,             -- thread.utid of the waker, NULL: not a thread of the target
    waker_callsite   INTEGER              -- callsite.id of where it was, innermost function included, NULL: not known
) STRICT;

CREATE TABLE folded_wakeup (
    bucket           INTEGER NOT NULL,    -- (ts - run.start_ts) / 100 ms, to within a few 10 ms
    utid             INTEGER NOT NULL,    -- thread.utid that was woken
    waker            TEXT    NOT NULL,    -- as thread_state.waker
    waker_utid       INTEGER NOT NULL,    -- thread.utid of the waker, 0: not a thread of the target
    n_wakeups        INTEGER NOT NULL,    -- how many
    dur              INTEGER NOT NULL,    -- ns, how long it had waited, in all
    n_buckets        INTEGER NOT NULL,    -- as folded_state.n_buckets
    PRIMARY KEY (bucket, utid, waker, waker_utid)
) STRICT, WITHOUT ROWID;

CREATE TABLE loss (
    id               INTEGER PRIMARY KEY, -- data that is missing
    ts               INTEGER NOT NULL,    -- ns, when it was noticed
    cpu              INTEGER,             -- CPU it happened on, NULL: not known
    kind             TEXT    NOT NULL,    -- ring_full, queue_full, malformed; late, throttled, no_events, not_dumpable, stacks (of waits), wakeups, unsampled (n in ms of CPU time)
    n                INTEGER NOT NULL     -- how many records, samples or (throttled) pauses
) STRICT;

CREATE TABLE stack_end (
    cause            TEXT    PRIMARY KEY, -- how stacks ended: root (at the thread's first function, or nothing says otherwise), else why they are unfinished: stack_copy_exhausted, no_cfi, bad_cfa, too_deep, bad_memory, bad_return_address, unknown_register, pending, kernel_limit, no_mapping
    n_samples        INTEGER NOT NULL,    -- samples whose stack ended so; run.n_truncated is the sum of all but root
    n_guessed_samples INTEGER NOT NULL,   -- ... with frames that are likely, not certain: found by frame pointers, or in memory read after the sample
    n_waits          INTEGER NOT NULL,    -- the same of finished off-CPU intervals that have a stack of their own
    n_guessed_waits  INTEGER NOT NULL     -- ...
) STRICT;

CREATE TABLE counter (
    slot             INTEGER PRIMARY KEY, -- 0 to 3: c0 to c3 of other tables
    name             TEXT    NOT NULL,    -- event name, as perf spells it
    unit             TEXT    NOT NULL,    -- what one count is: cycle, instruction, miss, fault, ns, ...
    n_attributed     INTEGER NOT NULL,    -- counts that samples told of: the sum of sample.cN, rows dropped since included
    n_counted        INTEGER,             -- all counts of the run, also those after a thread's last sample; NULL until it has ended
    enabled_ns       INTEGER,             -- CPU time of all that was recorded; NULL until the run has ended
    running_ns       INTEGER              -- ... in which it was counted; less: the CPU has too few counters, and counts are scaled up
) STRICT;

--------------------------------------------------------------------------------------------------
-- Names

CREATE TABLE symbol (
    id               INTEGER PRIMARY KEY, -- a function, or what stands for one
    kind             TEXT    NOT NULL,    -- function, unnamed (binary+0x...), process (root of a call tree), marker
    name             TEXT    NOT NULL,    -- demangled, without suffixes of parts and clones, control bytes as \xNN
    linkage_name     TEXT,                -- as the symbol table, jitdump or perf map has it, NULL if equal to name
    binary           INTEGER,             -- binary.id, NULL for process and marker
    rel_address      INTEGER,             -- start, relative to its binary (frame.rel_address); source dwarf: 0
    size             INTEGER,             -- bytes, 0 if not known
    source           TEXT    NOT NULL,    -- symtab, dynsym (public names only), gnu_debugdata (left in a stripped file), plt (stub, name@plt), debug_file and debuginfod (separate debug file, and where from), dwarf (known as inlined only), jitdump and perf_map (told by the runtime that made it), kallsyms, eh_frame (start only), none
    language         TEXT    NOT NULL,    -- c, c++, rust, d, go, ocaml, swift, zig, javascript, ...; from its linkage name, its lines or its binary; empty: not known
    whole            INTEGER,             -- symbol.id of the function that it is a part or a clone of (foo.cold, foo.isra.0), or of the first version of a JavaScript function that was compiled more than once, which summaries have instead of it; NULL: none
    address          INTEGER              -- sources jitdump and perf_map: start in memory, where its bytes belong; it may have moved on later. Functions of files that such code calls: where it calls them. NULL: others, and files from before version 5
) STRICT;

CREATE TABLE frame (
    id               INTEGER PRIMARY KEY, -- a code location
    binary           INTEGER NOT NULL,    -- binary.id
    rel_address      INTEGER NOT NULL,    -- address in the binary as addr2line takes it; callers: return address minus 1, inside the call. Kind jit: jitdump: offset of the code in it; perf map: address + how many other pieces of code lay there before << 48; [anon]: address
    symbol           INTEGER NOT NULL     -- symbol.id of the function that contains it
) STRICT;

CREATE TABLE frame_line (
    frame            INTEGER NOT NULL,    -- frame.id
    depth            INTEGER NOT NULL,    -- 0: innermost inlined function
    symbol           INTEGER NOT NULL,    -- symbol.id; the largest depth is frame.symbol, the others are inlined there
    file             TEXT,                -- source file, absolute where the compiler said where it ran
    line             INTEGER,             -- source line, from 1: of the address, then of each inlined call in its caller; of the function where a runtime tells no more
    PRIMARY KEY (frame, depth)
) STRICT, WITHOUT ROWID;

CREATE TABLE callsite (
    id               INTEGER PRIMARY KEY, -- a stack of callers: parent's callers, then this return address
    parent           INTEGER NOT NULL,    -- callsite.id one step towards the root, 0 at the root; smaller than id
    frame            INTEGER NOT NULL,    -- frame.id of the return address
    depth            INTEGER NOT NULL,    -- 0 at the root
    node             INTEGER NOT NULL     -- call_tree.id of the same callers by function
) STRICT;

CREATE TABLE code (
    symbol           INTEGER PRIMARY KEY, -- symbol.id of a sampled function
    rel_address      INTEGER NOT NULL,    -- of the first byte
    bytes            BLOB    NOT NULL     -- its machine code
) STRICT;

-- The line table of functions with samples, in ranges: each reaches to the next one of its function. Functions that
-- were looked up in vain have one range of which nothing is known.
CREATE TABLE code_line (
    symbol           INTEGER NOT NULL,    -- symbol.id
    rel_address      INTEGER NOT NULL,    -- where the range begins, as code.rel_address
    file             INTEGER,             -- source_file.id, NULL: not known
    line             INTEGER,             -- source line, from 1; NULL: none
    call             INTEGER NOT NULL,    -- inlined_call.id of the innermost inlined function, 0: the function's own code
    PRIMARY KEY (symbol, rel_address)
) STRICT, WITHOUT ROWID;

CREATE TABLE inlined_call (
    id               INTEGER PRIMARY KEY, -- a call that the compiler replaced by the called function's code
    symbol           INTEGER NOT NULL,    -- symbol.id of the function whose code it is part of
    parent           INTEGER NOT NULL,    -- inlined_call.id that it is made in, smaller than id; 0: the function itself
    function         TEXT    NOT NULL,    -- name of what is inlined, as symbol.name
    file             INTEGER,             -- source_file.id of the call, NULL: not known
    line             INTEGER              -- ... and its line
) STRICT;

CREATE TABLE source_file (
    id               INTEGER PRIMARY KEY, -- a source file of code_line and inlined_call
    path             TEXT    NOT NULL UNIQUE, -- absolute where the compiler said where it ran
    note             TEXT                 -- of its text in source_line: newer (the file was changed after the code was built), too_large (it has none); NULL: nothing is known against it
) STRICT;

CREATE TABLE source_line (
    file             TEXT    NOT NULL,    -- frame_line.file, source_file.path
    line             INTEGER NOT NULL,    -- from 1
    text             TEXT    NOT NULL,    -- the line
    PRIMARY KEY (file, line)
) STRICT, WITHOUT ROWID;

--------------------------------------------------------------------------------------------------
-- Summaries. call_tree, symbol_sum, symbol_thread_sum, frame_sum and callsite_sum write their small
-- changes late under load (run.n_pending says how many samples are affected); all are exact when stopped.

CREATE TABLE call_tree (
    parent           INTEGER NOT NULL,    -- call_tree.id of the caller, 0 at the roots
    id               INTEGER NOT NULL,    -- unique, larger than parent; not dense: nodes go when names change
    symbol           INTEGER NOT NULL,    -- symbol.id; the roots are process names
    depth            INTEGER NOT NULL,    -- 0 at the roots
    is_inlined       INTEGER NOT NULL,    -- 1: inlined into parent
    is_recursive     INTEGER NOT NULL,    -- 1: symbol also occurs nearer to the root
    n_self_samples   INTEGER NOT NULL,    -- samples with exactly this stack
    self_on_cpu_ns   INTEGER NOT NULL,    -- ... and their weight
    n_total_samples  INTEGER NOT NULL,    -- samples of this node and everything below
    total_on_cpu_ns  INTEGER NOT NULL,    -- ... and their weight
    n_self_waits     INTEGER NOT NULL,    -- finished blocked intervals of this node, which is then a marker named by the reason: [lock], [sleep], ...
    self_off_cpu_ns  INTEGER NOT NULL,    -- ... and their duration
    n_total_waits    INTEGER NOT NULL,    -- ... of this node and everything below
    total_off_cpu_ns INTEGER NOT NULL,    -- ... and their duration
    PRIMARY KEY (parent, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE symbol_sum (
    symbol           INTEGER PRIMARY KEY, -- symbol.id
    n_self_samples   INTEGER NOT NULL,    -- samples in the function itself
    self_on_cpu_ns   INTEGER NOT NULL,    -- ... and their weight
    n_total_samples  INTEGER NOT NULL,    -- samples with the function anywhere on the stack, once each
    total_on_cpu_ns  INTEGER NOT NULL,    -- ... and their weight
    n_self_waits     INTEGER NOT NULL,    -- finished blocked intervals that end in this marker ([lock], ...)
    self_off_cpu_ns  INTEGER NOT NULL,    -- ... and their duration
    n_total_waits    INTEGER NOT NULL,    -- ... with the function anywhere on the stack, once each
    total_off_cpu_ns INTEGER NOT NULL     -- ... and their duration
) STRICT;

CREATE TABLE symbol_thread_sum (
    utid             INTEGER NOT NULL,    -- thread.utid
    symbol           INTEGER NOT NULL,    -- symbol.id
    n_self_samples   INTEGER NOT NULL,    -- as symbol_sum, of this thread
    self_on_cpu_ns   INTEGER NOT NULL,
    n_total_samples  INTEGER NOT NULL,
    total_on_cpu_ns  INTEGER NOT NULL,
    PRIMARY KEY (utid, symbol)
) STRICT, WITHOUT ROWID;

CREATE TABLE frame_sum (
    frame            INTEGER NOT NULL,    -- frame.id of sampled pcs
    utid             INTEGER NOT NULL,    -- thread.utid
    n_samples        INTEGER NOT NULL,    -- samples at this location
    on_cpu_ns        INTEGER NOT NULL,    -- ... and their weight
    PRIMARY KEY (frame, utid)
) STRICT, WITHOUT ROWID;

CREATE TABLE callsite_sum (
    callsite         INTEGER NOT NULL,    -- callsite.id
    utid             INTEGER NOT NULL,    -- thread.utid
    n_samples        INTEGER NOT NULL,    -- samples with exactly these callers, whatever the sampled pc
    on_cpu_ns        INTEGER NOT NULL,    -- ... and their weight
    PRIMARY KEY (callsite, utid)
) STRICT, WITHOUT ROWID;

-- The ledger: wall time of a thread = on_cpu_ns + runnable_ns + the ten reasons + unknown_ns + the open interval.
CREATE TABLE thread_sum (
    utid             INTEGER PRIMARY KEY, -- thread.utid
    n_samples        INTEGER NOT NULL,    -- samples
    on_cpu_ns        INTEGER NOT NULL,    -- on-CPU time; with run.has_off_cpu exact, and no less than its samples' weights
    runnable_ns      INTEGER,             -- waiting for a CPU; NULL here and below: not recorded
    idle_ns          INTEGER,             -- blocked by reason: parked for work
    lock_ns          INTEGER,             -- mutexes
    sem_ns           INTEGER,             -- semaphores
    ipc_ns           INTEGER,             -- pipes, message queues, child processes
    io_r_ns          INTEGER,             -- reading (reason ioR)
    io_w_ns          INTEGER,             -- writing (reason ioW)
    ready_ns         INTEGER,             -- poll, select, epoll
    sleep_ns         INTEGER,             -- timers
    conn_ns          INTEGER,             -- connect, accept, open
    other_ns         INTEGER,             -- anything else
    unknown_ns       INTEGER,             -- wall time that no record accounts for
    n_switches       INTEGER,             -- times it left a CPU
    open_state       TEXT,                -- what it has been doing since open_ts, not in the sums yet: running, runnable, blocked, unknown; NULL: it ended
    open_reason      TEXT,                -- if blocked, as thread_state.reason
    open_ts          INTEGER,             -- ns; since when
    guessed_ns       INTEGER,             -- ns of the ten reasons that are guessed (thread_state.reason_from earlier, futex) without the open interval; NULL: not known
    open_callsite    INTEGER,             -- of a wait of 0.1 s or more that it is in: callsite.id; NULL here and below: none
    open_reason_from TEXT,                -- as thread_state.reason_from
    open_stack_from  TEXT                 -- as thread_state.stack_from
) STRICT;

-- Finished intervals of all threads.
CREATE TABLE wait_sum (
    reason           TEXT    PRIMARY KEY, -- as thread_state.reason; empty: runnable
    n_intervals      INTEGER NOT NULL,    -- rows of thread_state
    dur              INTEGER NOT NULL,    -- ns, sum of them
    n_folded_intervals INTEGER NOT NULL,  -- intervals in folded_state
    folded_dur       INTEGER NOT NULL     -- ns, sum of them
) STRICT, WITHOUT ROWID;

CREATE TABLE time_bucket (
    bucket           INTEGER NOT NULL,    -- (ts - run.start_ts) / 100 ms
    utid             INTEGER NOT NULL,    -- thread.utid
    n_samples        INTEGER NOT NULL,    -- samples
    on_cpu_ns        INTEGER NOT NULL,    -- ... and their weight
    runnable_ns      INTEGER,             -- waiting for a CPU; NULL: not recorded. Here and below without thread_state rows of 10 s and more
    blocked_ns       INTEGER,             -- waiting for anything else; NULL: not recorded
    PRIMARY KEY (bucket, utid)
) STRICT, WITHOUT ROWID;

CREATE TABLE stack (
    id               INTEGER PRIMARY KEY, -- a stack of functions that one thread was sampled in
    utid             INTEGER NOT NULL,    -- thread.utid
    node             INTEGER NOT NULL     -- call_tree.id of its innermost function
) STRICT;

-- Time filters: what each stack had summed up to some moments. A range is the difference of two moments;
-- samples between a moment and the nearest snapshot are read from sample.
CREATE TABLE snapshot (
    id               INTEGER PRIMARY KEY, -- 1, 2, ... in time order
    ts               INTEGER NOT NULL,    -- holds every sample with ts up to and including this
    n_samples        INTEGER NOT NULL     -- how many those are
) STRICT;

CREATE TABLE stack_sum (
    snapshot         INTEGER NOT NULL,    -- snapshot.id
    stack            INTEGER NOT NULL,    -- stack.id
    n_samples        INTEGER NOT NULL,    -- samples since the start of the run
    on_cpu_ns        INTEGER NOT NULL,    -- ... and their weight
    PRIMARY KEY (snapshot, stack)
) STRICT, WITHOUT ROWID;

-- Sums of counters, beside those of time. Rows are there only in runs that record counters, and what no counter
-- uses is NULL; counter has the names.

CREATE TABLE call_tree_counter (
    node             INTEGER PRIMARY KEY, -- call_tree.id
    self_c0          INTEGER,             -- counts of counter 0 in samples with exactly this stack
    self_c1          INTEGER,             -- ... counter 1
    self_c2          INTEGER,             -- ... counter 2
    self_c3          INTEGER,             -- ... counter 3
    total_c0         INTEGER,             -- ... of this node and everything below
    total_c1         INTEGER,             -- ... counter 1
    total_c2         INTEGER,             -- ... counter 2
    total_c3         INTEGER              -- ... counter 3
) STRICT;

CREATE TABLE symbol_counter (
    symbol           INTEGER PRIMARY KEY, -- symbol.id
    self_c0          INTEGER,             -- counts of counter 0 in samples in the function itself
    self_c1          INTEGER,             -- ... counter 1
    self_c2          INTEGER,             -- ... counter 2
    self_c3          INTEGER,             -- ... counter 3
    total_c0         INTEGER,             -- ... with the function anywhere on the stack, once each
    total_c1         INTEGER,             -- ... counter 1
    total_c2         INTEGER,             -- ... counter 2
    total_c3         INTEGER              -- ... counter 3
) STRICT;

CREATE TABLE frame_counter (
    frame            INTEGER NOT NULL,    -- frame.id of sampled pcs
    utid             INTEGER NOT NULL,    -- thread.utid
    c0               INTEGER,             -- counts of counter 0 in samples at this location
    c1               INTEGER,             -- ... counter 1
    c2               INTEGER,             -- ... counter 2
    c3               INTEGER,             -- ... counter 3
    PRIMARY KEY (frame, utid)
) STRICT, WITHOUT ROWID;

CREATE TABLE thread_counter (
    utid             INTEGER PRIMARY KEY, -- thread.utid
    c0               INTEGER,             -- counts of counter 0 in its samples
    c1               INTEGER,             -- ... counter 1
    c2               INTEGER,             -- ... counter 2
    c3               INTEGER              -- ... counter 3
) STRICT;

CREATE TABLE stack_counter (
    snapshot         INTEGER NOT NULL,    -- snapshot.id
    stack            INTEGER NOT NULL,    -- stack.id
    c0               INTEGER,             -- counts of counter 0 since the start of the run
    c1               INTEGER,             -- ... counter 1
    c2               INTEGER,             -- ... counter 2
    c3               INTEGER,             -- ... counter 3
    PRIMARY KEY (snapshot, stack)
) STRICT, WITHOUT ROWID;

-- Every recorded wakeup that ended a wait, single and folded.
CREATE TABLE waker_sum (
    waker            TEXT    NOT NULL,    -- as thread_state.waker
    waker_utid       INTEGER NOT NULL,    -- thread.utid that woke, 0: not a thread of the target
    utid             INTEGER NOT NULL,    -- thread.utid that was woken
    waker_callsite   INTEGER NOT NULL,    -- callsite.id of where the waker was, 0: not kept
    n_wakeups        INTEGER NOT NULL,    -- how often
    blocked_ns       INTEGER NOT NULL,    -- waiting time those wakeups ended
    PRIMARY KEY (waker, waker_utid, utid, waker_callsite)
) STRICT, WITHOUT ROWID;
