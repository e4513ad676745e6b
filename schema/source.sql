-- Text of source lines: what is stored, and what is wanted.

--@ source_stored
-- :file TEXT
-- :line INTEGER
-- => text
SELECT text
FROM source_line
WHERE file = :file
    AND line = :line;

--@ source_wanted
-- The lines of every function with samples, by file: those between its sampled ones, and those of its line table.
-- => file, first_line, last_line
SELECT
    l.file AS file,
    min(l.line) AS first_line,
    max(l.line) AS last_line
FROM frame_sum AS t
JOIN frame_line AS l ON l.frame = t.frame
WHERE l.file IS NOT NULL
    AND l.line > 0
GROUP BY l.file, l.symbol
UNION ALL
SELECT
    f.path AS file,
    l.line AS first_line,
    l.line AS last_line
FROM (SELECT DISTINCT file, line FROM code_line WHERE line > 0) AS l
JOIN source_file AS f ON f.id = l.file
ORDER BY file, first_line;

--@ source_insert
-- :file TEXT
-- :line INTEGER
-- :text TEXT
INSERT OR IGNORE INTO source_line (file, line, text)
VALUES (:file, :line, :text);

--@ source_clear
-- For archives that shall not hold any.
DELETE FROM source_line;

--@ source_totals
-- => n_lines, n_bytes
SELECT
    count(*) AS n_lines,
    coalesce(sum(length(text)), 0) AS n_bytes
FROM source_line;

--@ source_note
-- What the archive says of a file's text.
-- :path TEXT
-- => note (empty: nothing)
SELECT coalesce(note, '') AS note
FROM source_file
WHERE path = :path;

--@ source_set_note
-- :path TEXT
-- :note TEXT
UPDATE source_file
SET note = :note
WHERE path = :path;

--@ source_binary
-- The file that a function is in.
-- :symbol INTEGER  symbol.id
-- => path
SELECT b.path AS path
FROM symbol AS s
JOIN binary AS b ON b.id = s.binary
WHERE s.id = :symbol;

--@ source_binaries
-- Which files of code have lines of which source files.
-- => file (path of the source), binary (path)
SELECT DISTINCT
    f.path AS file,
    b.path AS binary
FROM (SELECT DISTINCT file, symbol FROM code_line WHERE line > 0) AS l
JOIN source_file AS f ON f.id = l.file
JOIN symbol AS s ON s.id = l.symbol
JOIN binary AS b ON b.id = s.binary
ORDER BY f.path;

--@ source_run_start
-- => start_wall_ns (ns since 1970)
SELECT start_wall_ns
FROM run;
