-- Who ended the waits of whom.

--@ waker_sums
-- Every recorded wakeup, added up.
-- => waker, waker_utid (0: not a thread of the target), utid, waker_callsite (0: not kept), n_wakeups, blocked_ns (ns)
SELECT
    waker,
    waker_utid,
    utid,
    waker_callsite,
    n_wakeups,
    blocked_ns
FROM waker_sum;

--@ waker_rows
-- Single wakeups of a range, added up; of their waits what lies in the range.
-- :from INTEGER  ns
-- :to INTEGER  ns, exclusive
-- => waker, waker_utid, utid, waker_callsite, n_wakeups, blocked_ns (ns)
SELECT
    waker,
    coalesce(waker_utid, 0) AS waker_utid,
    utid,
    coalesce(waker_callsite, 0) AS waker_callsite,
    count(*) AS n_wakeups,
    sum(CASE WHEN ts - dur >= :from THEN dur ELSE ts - :from END) AS blocked_ns
FROM wakeup
WHERE ts >= :from
    AND ts < :to
GROUP BY 1, 2, 3, 4;

--@ waker_folded
-- Those that were summed up, by the buckets that reach into a range.
-- :first INTEGER  bucket
-- :last INTEGER  inclusive
-- => waker, waker_utid, utid, n_wakeups, blocked_ns (ns), bucket, n_buckets
SELECT
    waker,
    waker_utid,
    utid,
    n_wakeups,
    dur AS blocked_ns,
    bucket,
    n_buckets
FROM folded_wakeup
WHERE bucket <= :last
    AND bucket + n_buckets > :first;

--@ waker_blocked
-- Finished waits of threads, whoever ended them.
-- :tid INTEGER  thread.tid, NULL: any
-- :pid INTEGER  process.pid, NULL: any
-- => off_cpu_ns (ns)
SELECT
    coalesce(sum(s.idle_ns + s.lock_ns + s.sem_ns + s.ipc_ns + s.io_r_ns + s.io_w_ns + s.ready_ns
        + s.sleep_ns + s.conn_ns + s.other_ns), 0) AS off_cpu_ns
FROM thread_sum AS s
JOIN thread AS t ON t.utid = s.utid
JOIN process AS p ON p.upid = t.upid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid);

--@ chain_rows
-- Blocked intervals that reach into a range.
-- :first INTEGER  thread_state.id; none before it reaches that far
-- :from INTEGER  ns
-- :to INTEGER  ns, exclusive
-- => id, utid, dur (ns), is_woken (by a thread of the target), callsite
SELECT
    id,
    utid,
    dur,
    waker_utid IS NOT NULL AS is_woken,
    coalesce(callsite, 0) AS callsite
FROM thread_state
WHERE id >= :first
    AND state = 'blocked'
    AND ts < :to
    AND ts + dur > :from;

--@ chain_wait
-- :id INTEGER  thread_state.id
-- => utid, ts (ns), dur (ns), reason, callsite, waker, waker_utid, waker_callsite
SELECT
    utid,
    ts,
    dur,
    reason,
    coalesce(callsite, 0) AS callsite,
    coalesce(waker, '') AS waker,
    coalesce(waker_utid, 0) AS waker_utid,
    coalesce(waker_callsite, 0) AS waker_callsite
FROM thread_state
WHERE id = :id;

--@ chain_before
-- The wait of a thread that ended in a span of time and takes most of it, looked for among the rows
-- before an id.
-- :last INTEGER  thread_state.id
-- :n INTEGER  rows
-- :utid INTEGER  thread.utid
-- :from INTEGER  ns, exclusive
-- :to INTEGER  ns, inclusive
-- => id, end_ts (ns)
SELECT
    id,
    end_ts
FROM (
    SELECT
        id,
        utid,
        state,
        ts,
        ts + dur AS end_ts
    FROM thread_state
    WHERE id <= :last
    ORDER BY id DESC
    LIMIT :n
)
WHERE utid = :utid
    AND state = 'blocked'
    AND end_ts > :from
    AND end_ts <= :to
ORDER BY
    end_ts - max(ts, :from) DESC,
    end_ts DESC
LIMIT 1;
