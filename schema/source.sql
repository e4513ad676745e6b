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

--@ source_run_start
-- => start_wall_ns (ns since 1970)
SELECT start_wall_ns
FROM run;
