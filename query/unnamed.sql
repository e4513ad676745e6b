-- Code without names, or with poor ones.

--@ unnamed_symbols
-- Functions with samples, those of a binary together.
-- => symbol, id (binary.id, 0: none), binary, kind, build_id, names_from, note, package, is_unnamed, is_poor, has_map (a file told of code made at run time), self_on_cpu_ns (ns)
SELECT
    symbol.id AS symbol,
    coalesce(symbol.binary, 0) AS id,
    coalesce(binary.path, '[unknown]') AS binary,
    coalesce(binary.kind, 'unknown') AS kind,
    coalesce(binary.build_id, '') AS build_id,
    coalesce(binary.names_from, 'none') AS names_from,
    coalesce(binary.note, '') AS note,
    coalesce(binary.package, '') AS package,
    symbol.kind = 'unnamed' AS is_unnamed,
    symbol.source IN ('dynsym', 'gnu_debugdata') AS is_poor,
    EXISTS (SELECT 1 FROM binary AS b WHERE b.names_from IN ('jitdump', 'perf_map')) AS has_map,
    symbol_sum.self_on_cpu_ns AS self_on_cpu_ns
FROM symbol_sum
JOIN symbol ON symbol.id = symbol_sum.symbol
LEFT JOIN binary ON binary.id = symbol.binary
WHERE symbol_sum.n_self_samples > 0
    AND symbol.kind IN ('function', 'unnamed')
ORDER BY symbol.binary;
