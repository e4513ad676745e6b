-- Machine code that was stored, to see what it calls.

--@ code_of_files
-- => binary (binary.id), rel_address, bytes
SELECT
    s.binary AS binary,
    c.rel_address AS rel_address,
    c.bytes AS bytes
FROM code AS c
JOIN symbol AS s ON s.id = c.symbol
JOIN binary AS b ON b.id = s.binary
WHERE b.kind IN ('main', 'shared')
    AND b.has_addresses = 1;

--@ code_of_generated
-- Code that was made at run time, where it lay.
-- => address (of the first byte), bytes, upid (a process that was sampled there)
WITH sampled (symbol, upid) AS MATERIALIZED (
    SELECT
        f.symbol,
        min(th.upid)
    FROM frame_sum AS t
    JOIN frame AS f ON f.id = t.frame
    JOIN thread AS th ON th.utid = t.utid
    GROUP BY f.symbol
)
SELECT
    s.address + (c.rel_address - s.rel_address) AS address,
    c.bytes AS bytes,
    p.upid AS upid
FROM code AS c
JOIN symbol AS s ON s.id = c.symbol
JOIN sampled AS p ON p.symbol = s.id
WHERE s.source IN ('jitdump', 'perf_map')
    AND s.address IS NOT NULL
ORDER BY p.upid;

--@ files_of_process
-- Where a process had files mapped, the latest first.
-- :upid INTEGER
-- => binary (binary.id), start, size (bytes), file_offset
SELECT
    m.binary AS binary,
    m.start AS start,
    m.size AS size,
    m.file_offset AS file_offset
FROM mapping AS m
JOIN binary AS b ON b.id = m.binary
WHERE m.upid = :upid
    AND b.kind IN ('main', 'shared')
    AND b.has_addresses = 1
ORDER BY m.id DESC;

--@ functions_without_address
-- Functions of files of which nothing has said where they lay in memory.
-- => id, binary, rel_address
SELECT id, binary, rel_address
  FROM symbol
 WHERE kind = 'function'
   AND address IS NULL
   AND binary IS NOT NULL
   AND rel_address IS NOT NULL;

--@ set_symbol_address
-- Where a function of a file lay in memory.
-- :id INTEGER
-- :address INTEGER
UPDATE symbol
   SET address = :address
 WHERE id = :id;
