-- Counters and their sums.

--@ counters
-- What the run counts.
-- => slot, name, n_attributed, n_counted, enabled_ns (ns), running_ns (ns)
SELECT
    slot,
    name,
    n_attributed,
    n_counted,
    enabled_ns,
    running_ns
FROM counter
ORDER BY slot;

--@ symbol_counters
-- Counts of one function.
-- :symbol INTEGER  symbol.id
-- => self_c0, self_c1, self_c2, self_c3, total_c0, total_c1, total_c2, total_c3
SELECT
    self_c0,
    self_c1,
    self_c2,
    self_c3,
    total_c0,
    total_c1,
    total_c2,
    total_c3
FROM symbol_counter
WHERE symbol = :symbol;

--@ node_counters
-- Counts of one node of the call tree.
-- :node INTEGER  call_tree.id
-- => self_c0, self_c1, self_c2, self_c3, total_c0, total_c1, total_c2, total_c3
SELECT
    self_c0,
    self_c1,
    self_c2,
    self_c3,
    total_c0,
    total_c1,
    total_c2,
    total_c3
FROM call_tree_counter
WHERE node = :node;

--@ top_by_counter
-- The largest functions by what a counter counted in them, or with all they call.
-- :slot INTEGER  counter.slot
-- :is_total INTEGER
-- :limit INTEGER  rows wanted
-- => symbol, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns)
SELECT
    s.symbol AS symbol,
    s.n_self_samples AS n_self_samples,
    s.self_on_cpu_ns AS self_on_cpu_ns,
    s.n_total_samples AS n_total_samples,
    s.total_on_cpu_ns AS total_on_cpu_ns
FROM symbol_counter AS c
JOIN symbol_sum AS s ON s.symbol = c.symbol
WHERE s.n_total_samples > 0
ORDER BY
    CASE :slot
        WHEN 0 THEN iif(:is_total, c.total_c0, c.self_c0)
        WHEN 1 THEN iif(:is_total, c.total_c1, c.self_c1)
        WHEN 2 THEN iif(:is_total, c.total_c2, c.self_c2)
        ELSE iif(:is_total, c.total_c3, c.self_c3)
    END DESC,
    s.self_on_cpu_ns DESC,
    s.symbol
LIMIT :limit;

--@ thread_counters
-- Counts of one thread.
-- :utid INTEGER  thread.utid
-- => c0, c1, c2, c3
SELECT
    c0,
    c1,
    c2,
    c3
FROM thread_counter
WHERE utid = :utid;

--@ threads_counters
-- Counts of some threads.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => c0, c1, c2, c3
SELECT
    coalesce(sum(c.c0), 0) AS c0,
    coalesce(sum(c.c1), 0) AS c1,
    coalesce(sum(c.c2), 0) AS c2,
    coalesce(sum(c.c3), 0) AS c3
FROM thread AS t
JOIN process AS p ON p.upid = t.upid
JOIN thread_counter AS c ON c.utid = t.utid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid);
