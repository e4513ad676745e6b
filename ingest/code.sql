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
