-- Symbols by id and by name.

--@ symbol_kinds
-- Symbols added since.
-- :after INTEGER  symbol.id
-- => id, kind, is_kernel
SELECT
    s.id AS id,
    s.kind AS kind,
    coalesce(b.kind IN ('kernel', 'module'), 0) AS is_kernel
FROM symbol AS s
LEFT JOIN binary AS b ON b.id = s.binary
WHERE s.id > :after
ORDER BY s.id;

--@ symbol_by_id
-- What the views print of a symbol; parts and clones of a function with what tells them from it.
-- :symbol INTEGER  symbol.id
-- => name, kind, binary, language (empty: not known), is_inlined (wherever it stands), version (how
--    V8 made this code of a function, NULL: not known, other code)
SELECT
    CASE
        WHEN s.whole IS NULL OR s.source IN ('jitdump', 'perf_map') THEN s.name
        ELSE s.name || ' [clone ' || substr(s.linkage_name, instr(s.linkage_name, '.')) || ']'
    END AS name,
    s.kind AS kind,
    b.name AS binary,
    s.language AS language,
    s.source = 'dwarf' AS is_inlined,
    CASE iif(
        s.source IN ('jitdump', 'perf_map'),
        substr(s.linkage_name, instr(s.linkage_name, ':') + 1, 1),
        ''
    )
        WHEN '~' THEN 'interpreted'
        WHEN '^' THEN 'baseline'
        WHEN '+' THEN 'maglev'
        WHEN '*' THEN 'optimised'
    END AS version
FROM symbol AS s
LEFT JOIN binary AS b ON b.id = s.binary
WHERE s.id = :symbol;

--@ symbols_named
-- Functions of exactly this name; several binaries may have one each.
-- :name TEXT
-- => id
SELECT id
FROM symbol
WHERE name = :name
    AND kind IN ('function', 'unnamed');

--@ symbols_holding
-- Functions whose name contains a text.
-- :text TEXT
-- => id, name
SELECT
    id,
    name
FROM symbol
WHERE kind IN ('function', 'unnamed')
    AND instr(name, :text) > 0;

--@ symbols_containing
-- Functions whose name contains a text, the heaviest first.
-- :text TEXT
-- :limit INTEGER
-- => name
SELECT s.name AS name
FROM symbol AS s
LEFT JOIN symbol_sum AS t ON t.symbol = s.id
WHERE s.kind IN ('function', 'unnamed')
    AND instr(lower(s.name), lower(:text)) > 0
GROUP BY s.name
ORDER BY max(t.total_on_cpu_ns) DESC
LIMIT :limit;

--@ symbols_heaviest
-- Candidates for "did you mean".
-- :limit INTEGER
-- => name
SELECT s.name AS name
FROM symbol_sum AS t
JOIN symbol AS s ON s.id = t.symbol
WHERE s.kind = 'function'
ORDER BY t.total_on_cpu_ns DESC
LIMIT :limit;

--@ symbol_has_samples
-- Whether a function whose name contains a text has samples.
-- :text TEXT
-- => found (1)
SELECT 1 AS found
FROM symbol AS s
WHERE s.kind IN ('function', 'unnamed')
    AND instr(lower(s.name), lower(:text)) > 0
    AND EXISTS (
        SELECT 1
        FROM symbol_sum AS t
        WHERE t.symbol = s.id
            AND t.n_total_samples > 0
    )
LIMIT 1;
