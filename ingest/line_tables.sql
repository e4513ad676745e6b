-- Line tables of functions: which are wanted, and their rows.

--@ line_tables_wanted
-- Functions in files that have no line table yet, the hottest first.
-- :min_self_samples INTEGER  samples of their own, or an eighth of all with them on the stack; 0: any
-- :is_again INTEGER  1: also those that were looked up in vain, or have inlined calls without names
-- :limit INTEGER
-- => symbol, binary, rel_address, size (bytes)
SELECT
    s.id AS symbol,
    s.binary AS binary,
    s.rel_address AS rel_address,
    CASE
        WHEN s.size > 0 THEN s.size
        ELSE (SELECT max(f.rel_address) + 64 - s.rel_address FROM frame AS f WHERE f.symbol = s.id)
    END AS size
FROM symbol AS s
JOIN symbol_sum AS t ON t.symbol = ifnull(s.whole, s.id)
JOIN binary AS b ON b.id = s.binary
WHERE s.kind IN ('function', 'unnamed')
    AND t.n_total_samples > 0
    AND max(t.n_self_samples, t.n_total_samples / 8) >= :min_self_samples
    AND b.kind IN ('main', 'shared', 'vdso')
    AND b.has_addresses = 1
    AND s.source <> 'dwarf'
    AND (
        NOT EXISTS (
            SELECT 1 FROM code_line AS l
            WHERE l.symbol = s.id AND (NOT :is_again OR l.file IS NOT NULL OR l.call > 0)
        )
        OR (
            :is_again
            AND s.id IN (
                SELECT c.symbol FROM inlined_call AS c
                WHERE c.function = '(inlined function without a name)'
            )
        )
    )
ORDER BY t.self_on_cpu_ns DESC, t.total_on_cpu_ns DESC, s.id
LIMIT :limit;

--@ line_tables_totals
-- => n_rows, last_file, last_call (ids, 0: none)
SELECT
    (SELECT count(*) FROM code_line) AS n_rows,
    (SELECT coalesce(max(id), 0) FROM source_file) AS last_file,
    (SELECT coalesce(max(id), 0) FROM inlined_call) AS last_call;

--@ line_tables_files
-- => id, path
SELECT
    id,
    path
FROM source_file;

--@ line_tables_has
-- :symbol INTEGER  symbol.id
-- => found (1)
SELECT 1 AS found
FROM code_line
WHERE symbol = :symbol
LIMIT 1;

--@ line_tables_forget_calls
-- Inlined calls of a function that has a table: they lie side by side.
-- :symbol INTEGER  symbol.id
WITH known (call) AS MATERIALIZED (
    SELECT max(call) FROM code_line WHERE symbol = :symbol
)
DELETE FROM inlined_call
WHERE id > coalesce((
    SELECT c.id FROM inlined_call AS c
    WHERE c.id < (SELECT call FROM known) AND c.symbol <> :symbol
    ORDER BY c.id DESC
    LIMIT 1
), 0)
    AND id < coalesce((
        SELECT c.id FROM inlined_call AS c
        WHERE c.id > (SELECT call FROM known) AND c.symbol <> :symbol
        ORDER BY c.id
        LIMIT 1
    ), 9223372036854775807)
    AND symbol = :symbol;

--@ line_tables_forget
-- :symbol INTEGER  symbol.id
DELETE FROM code_line
WHERE symbol = :symbol;

--@ line_tables_forget_nameless
-- Tables with inlined calls that had no names: of a file whose debug information is whole now.
-- :binary INTEGER  binary.id
DELETE FROM code_line
WHERE symbol IN (
    SELECT c.symbol
    FROM inlined_call AS c
    JOIN symbol AS s ON s.id = c.symbol
    WHERE s.binary = :binary
        AND c.function = '(inlined function without a name)'
);

--@ line_tables_forget_nameless_calls
-- Afterwards: the calls of those tables.
-- :binary INTEGER  binary.id
DELETE FROM inlined_call
WHERE symbol IN (
    SELECT c.symbol
    FROM inlined_call AS c
    JOIN symbol AS s ON s.id = c.symbol
    WHERE s.binary = :binary
        AND c.function = '(inlined function without a name)'
);

--@ line_tables_put
-- :symbol INTEGER
-- :rel_address INTEGER
-- :file INTEGER
-- :line INTEGER
-- :call INTEGER
INSERT OR REPLACE INTO code_line (symbol, rel_address, file, line, call)
VALUES (:symbol, :rel_address, :file, :line, :call);

--@ line_tables_put_call
-- :id INTEGER
-- :symbol INTEGER
-- :parent INTEGER
-- :function TEXT
-- :file INTEGER
-- :line INTEGER
INSERT INTO inlined_call (id, symbol, parent, function, file, line)
VALUES (:id, :symbol, :parent, :function, :file, :line);

--@ line_tables_put_file
-- :id INTEGER
-- :path TEXT
INSERT INTO source_file (id, path)
VALUES (:id, :path);

--@ line_tables_binaries
-- Files with functions that are wanted.
-- => binary (binary.id), path, build_id (empty: none), start_wall_ns (of the run, ns since 1970)
SELECT
    b.id AS binary,
    b.path AS path,
    coalesce(b.build_id, '') AS build_id,
    r.start_wall_ns AS start_wall_ns
FROM binary AS b
CROSS JOIN run AS r
WHERE b.kind IN ('main', 'shared')
    AND b.has_addresses = 1
    AND EXISTS (
        SELECT 1
        FROM symbol AS s
        JOIN symbol_sum AS t ON t.symbol = s.id
        WHERE s.binary = b.id
            AND t.n_total_samples > 0
            AND NOT EXISTS (SELECT 1 FROM code_line AS l WHERE l.symbol = s.id)
    );
