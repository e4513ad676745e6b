-- The line table of a function.

--@ line_table_spans
-- :symbol INTEGER  symbol.id
-- => rel_address, file (source_file.id, 0: not known), line (0: none), call (inlined_call.id, 0: none)
SELECT
    rel_address,
    coalesce(file, 0) AS file,
    coalesce(line, 0) AS line,
    call
FROM code_line
WHERE symbol = :symbol
ORDER BY rel_address;

--@ line_table_file
-- :id INTEGER  source_file.id
-- => path
SELECT path
FROM source_file
WHERE id = :id;

--@ line_table_call
-- :id INTEGER  inlined_call.id
-- => parent (inlined_call.id, 0: none), function
SELECT
    parent,
    function
FROM inlined_call
WHERE id = :id;
