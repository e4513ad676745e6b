-- What every document says of its run.

--@ run_row
-- The run of this file.
-- => id, state, stop_reason, pid, is_launched, command, start_ts, end_ts, start_wall_ns, data_ts,
--    frequency_hz, n_samples, on_cpu_ns, n_lost, n_truncated, n_unnamed, n_pending, raw_from_ts, n_renames,
--    has_off_cpu
SELECT
    id,
    state,
    stop_reason,
    pid,
    is_launched,
    command,
    start_ts,
    end_ts,
    start_wall_ns,
    data_ts,
    frequency_hz,
    n_samples,
    on_cpu_ns,
    n_lost,
    n_truncated,
    n_unnamed,
    n_pending,
    raw_from_ts,
    n_renames,
    has_off_cpu
FROM run
LIMIT 1;

--@ run_loss_sums
-- Losses that are told as numbers: pauses of sampling; threads and processes that were there, and of
-- which nothing could be recorded, at all or from an exec on; all that may have held samples of
-- recorded threads.
-- => n_throttled, n_unrecorded, n_unseen
SELECT
    ifnull(sum(iif(kind = 'throttled', n, 0)), 0) AS n_throttled,
    ifnull(sum(iif(kind IN ('no_events', 'not_dumpable'), n, 0)), 0) AS n_unrecorded,
    ifnull(
        sum(iif(kind IN ('ring_full', 'queue_full', 'malformed', 'throttled'), n, 0)), 0
    ) AS n_unseen
FROM loss;

--@ run_ledger
-- CPU time of all threads by their switches, which samples stand for more or less of.
-- => on_cpu_ns (ns)
SELECT ifnull(sum(on_cpu_ns), 0) AS on_cpu_ns
FROM thread_sum;

--@ run_unfinished
-- The most frequent cause of unfinished stacks of samples.
-- => cause, n_samples
SELECT
    cause,
    n_samples
FROM stack_end
WHERE cause != 'root'
    AND n_samples > 0
ORDER BY n_samples DESC, cause
LIMIT 1;

--@ run_losses
-- What is missing or in disorder, by kind, the most first.
-- => kind, n
SELECT
    kind,
    sum(n) AS n
FROM loss
GROUP BY kind
ORDER BY n DESC, kind;

--@ run_is_lossy
-- Whether anything is missing that may have held samples.
-- => is_lossy
SELECT count(*) > 0 AS is_lossy
FROM loss
WHERE kind NOT IN ('late', 'wakeups', 'stacks');

--@ run_n_threads
-- All threads of the run.
-- => n_threads
SELECT count(*) AS n_threads
FROM thread;

--@ run_missing_ability
-- An ability this run lacks.
-- :name TEXT  ability.name
-- => reason, unlock
SELECT
    reason,
    unlock
FROM ability
WHERE name = :name
    AND is_available = 0;
