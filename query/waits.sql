-- Time off the CPU: single intervals, those folded away, and those still open.

--@ wait_ids
-- Where the single intervals begin and end.
-- => first, last
SELECT
    (SELECT min(id) FROM thread_state) AS first,
    (SELECT max(id) FROM thread_state) AS last;

--@ wait_at
-- The first single interval from an id on.
-- :id INTEGER  thread_state.id
-- => id, end_ts (ns)
SELECT
    id,
    ts + dur AS end_ts
FROM thread_state
WHERE id >= :id
ORDER BY id
LIMIT 1;

--@ wait_rows
-- Single intervals that reach into a range.
-- :first INTEGER  thread_state.id; none before it reaches that far
-- :from INTEGER  ns
-- :to INTEGER  ns, exclusive
-- => id, utid, state, reason, ts (ns), dur (ns), callsite, is_guessed
SELECT
    id,
    utid,
    state,
    coalesce(reason, '') AS reason,
    ts,
    dur,
    coalesce(callsite, 0) AS callsite,
    iif(reason_from IN ('earlier', 'futex'), 1, 0) AS is_guessed
FROM thread_state
WHERE id >= :first
    AND ts < :to
    AND ts + dur > :from;

--@ wait_longest
-- Single intervals of one reason, the longest first.
-- :reason TEXT  NULL: runnable
-- => id, utid, ts (ns), dur (ns), callsite
SELECT
    id,
    utid,
    ts,
    dur,
    coalesce(callsite, 0) AS callsite
FROM thread_state
WHERE reason IS :reason
ORDER BY dur DESC;

--@ wait_sums
-- Finished intervals of the whole run, by reason.
-- => reason ('': runnable), n_intervals, dur (ns), n_folded_intervals, folded_dur (ns)
SELECT
    reason,
    n_intervals,
    dur,
    n_folded_intervals,
    folded_dur
FROM wait_sum;

--@ wait_folded
-- What was summed up instead of being kept one by one, in steps of 100 ms.
-- :first INTEGER  folded_state.bucket
-- :last INTEGER  inclusive
-- => bucket, utid, state, reason, callsite, n_intervals, dur (ns), n_buckets, guessed_ns (NULL: not known)
SELECT
    bucket,
    utid,
    state,
    reason,
    callsite,
    n_intervals,
    dur,
    n_buckets,
    guessed_ns
FROM folded_state
WHERE bucket <= :last
    AND bucket + n_buckets > :first;

--@ wait_open
-- Threads that were off the CPU at the last commit.
-- => utid, state, reason, ts (ns), end_ts (ns), callsite
SELECT
    s.utid AS utid,
    s.open_state AS state,
    coalesce(s.open_reason, '') AS reason,
    s.open_ts AS ts,
    t.end_ts AS end_ts,
    coalesce(s.open_callsite, 0) AS callsite
FROM thread_sum AS s
JOIN thread AS t ON t.utid = s.utid
WHERE s.open_state IN ('blocked', 'runnable')
    AND s.open_ts IS NOT NULL;

--@ wait_markers
-- The symbols that stand for reasons below the stacks of waits.
-- => id, name
SELECT
    id,
    name
FROM symbol
WHERE kind = 'marker';

--@ wait_roots
-- Finished waits of all threads.
-- => n_waits, off_cpu_ns (ns)
SELECT
    coalesce(sum(n_total_waits), 0) AS n_waits,
    coalesce(sum(total_off_cpu_ns), 0) AS off_cpu_ns
FROM call_tree
WHERE parent = 0;

--@ wait_stackless
-- Those without a stack: their reason stands right below the process.
-- => off_cpu_ns (ns)
SELECT coalesce(sum(leaf.self_off_cpu_ns), 0) AS off_cpu_ns
FROM call_tree AS root
JOIN call_tree AS leaf ON leaf.parent = root.id
WHERE root.parent = 0;

--@ wait_leaves
-- Finished waits of one reason, of all threads, by where they stand in the call tree.
-- :marker INTEGER  symbol.id of the reason
-- => id, n_waits, off_cpu_ns (ns)
SELECT
    id,
    n_self_waits AS n_waits,
    self_off_cpu_ns AS off_cpu_ns
FROM call_tree
WHERE symbol = :marker
    AND n_self_waits > 0;

--@ wait_children
-- Children of a call tree node below which somebody waited.
-- :parent INTEGER  call_tree.id, 0: the roots
-- => id, symbol, is_inlined, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns), is_recursive
SELECT
    id,
    symbol,
    is_inlined,
    n_self_waits AS n_self_samples,
    self_off_cpu_ns AS self_on_cpu_ns,
    n_total_waits AS n_total_samples,
    total_off_cpu_ns AS total_on_cpu_ns,
    is_recursive
FROM call_tree
WHERE parent = :parent
    AND n_total_waits > 0;
