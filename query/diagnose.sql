-- How well a run was recorded.

--@ diagnose_losses
-- What is missing, by kind.
-- => kind, n, first_ts (ns since the run's start), last_ts (ns since the run's start)
SELECT
    loss.kind AS kind,
    sum(loss.n) AS n,
    min(loss.ts) - run.start_ts AS first_ts,
    max(loss.ts) - run.start_ts AS last_ts
FROM loss
CROSS JOIN run
GROUP BY loss.kind
ORDER BY n DESC;

--@ diagnose_stacks
-- How stacks ended; what is unfinished first, by how often.
-- => cause, n_samples, n_guessed_samples, n_waits, n_guessed_waits
SELECT
    cause,
    n_samples,
    n_guessed_samples,
    n_waits,
    n_guessed_waits
FROM stack_end
ORDER BY cause = 'root', n_samples + n_waits DESC, cause;

--@ diagnose_abilities
-- What the host let this run record.
-- => name, is_available, reason, unlock
SELECT
    name,
    is_available,
    reason,
    unlock
FROM ability
ORDER BY name;

--@ diagnose_unresolved
-- Binaries by the CPU time spent in functions without a name.
-- :limit INTEGER  rows wanted
-- => binary, note, on_cpu_ns (ns)
SELECT
    coalesce(binary.path, '[unknown]') AS binary,
    coalesce(binary.note, '') AS note,
    sum(symbol_sum.self_on_cpu_ns) AS on_cpu_ns
FROM symbol_sum
JOIN symbol ON symbol.id = symbol_sum.symbol
LEFT JOIN binary ON binary.id = symbol.binary
WHERE symbol.kind = 'unnamed'
    AND symbol_sum.self_on_cpu_ns > 0
GROUP BY symbol.binary
ORDER BY on_cpu_ns DESC
LIMIT :limit;
