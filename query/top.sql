-- Functions by self or total time.

--@ top_self
-- The largest rows by self time; processes and markers among them are the caller's to skip.
-- :limit INTEGER  rows wanted
-- => symbol, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns)
SELECT
    symbol,
    n_self_samples,
    self_on_cpu_ns,
    n_total_samples,
    total_on_cpu_ns
FROM symbol_sum
WHERE n_total_samples > 0
ORDER BY self_on_cpu_ns DESC, total_on_cpu_ns DESC, symbol
LIMIT :limit;

--@ top_total
-- The same by total time.
-- :limit INTEGER  rows wanted
-- => symbol, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns)
SELECT
    symbol,
    n_self_samples,
    self_on_cpu_ns,
    n_total_samples,
    total_on_cpu_ns
FROM symbol_sum
WHERE n_total_samples > 0
ORDER BY total_on_cpu_ns DESC, self_on_cpu_ns DESC, symbol
LIMIT :limit;

--@ top_of_threads
-- All rows of some threads.
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => symbol, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns)
SELECT
    s.symbol AS symbol,
    sum(s.n_self_samples) AS n_self_samples,
    sum(s.self_on_cpu_ns) AS self_on_cpu_ns,
    sum(s.n_total_samples) AS n_total_samples,
    sum(s.total_on_cpu_ns) AS total_on_cpu_ns
FROM thread AS t
JOIN process AS p ON p.upid = t.upid
CROSS JOIN symbol_thread_sum AS s ON s.utid = t.utid
WHERE (:tid IS NULL OR t.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid)
GROUP BY s.symbol;

--@ top_n_functions
-- Functions with samples.
-- => n
SELECT count(*) AS n
FROM symbol_sum
JOIN symbol ON symbol.id = symbol_sum.symbol
WHERE symbol_sum.n_total_samples > 0
    AND symbol.kind IN ('function', 'unnamed');
