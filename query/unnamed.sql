-- Code without names, or with poor ones.

--@ unnamed_binaries
-- Binaries by the self time of their unnamed and poorly named functions.
-- :limit INTEGER  rows wanted
-- => binary, kind, build_id, names_from, note, on_cpu_ns (ns), unnamed_ns (ns), poor_ns (ns), n_unnamed
SELECT
    coalesce(binary.path, '[unknown]') AS binary,
    coalesce(binary.kind, 'unknown') AS kind,
    coalesce(binary.build_id, '') AS build_id,
    coalesce(binary.names_from, 'none') AS names_from,
    coalesce(binary.note, '') AS note,
    sum(symbol_sum.self_on_cpu_ns) AS on_cpu_ns,
    sum(CASE symbol.kind WHEN 'unnamed' THEN symbol_sum.self_on_cpu_ns ELSE 0 END) AS unnamed_ns,
    sum(CASE WHEN symbol.source IN ('dynsym', 'gnu_debugdata')
                 THEN symbol_sum.self_on_cpu_ns ELSE 0 END) AS poor_ns,
    sum(symbol.kind = 'unnamed') AS n_unnamed
FROM symbol_sum
JOIN symbol ON symbol.id = symbol_sum.symbol
LEFT JOIN binary ON binary.id = symbol.binary
WHERE symbol_sum.self_on_cpu_ns > 0
    AND symbol.kind IN ('function', 'unnamed')
GROUP BY symbol.binary
HAVING unnamed_ns > 0 OR poor_ns > 0
ORDER BY unnamed_ns DESC, poor_ns DESC
LIMIT :limit;
