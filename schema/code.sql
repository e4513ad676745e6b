-- Machine code of functions: what table code holds, and what is needed to read the rest from files.

--@ code_function
-- A function and the file it is from.
-- :symbol INTEGER  symbol.id
-- => name, linkage_name, source, rel_address (NULL: none), size (bytes), binary (binary.id), path, kind, build_id, has_addresses
SELECT
    s.name AS name,
    coalesce(s.linkage_name, s.name) AS linkage_name,
    s.source AS source,
    s.rel_address AS rel_address,
    coalesce(s.size, 0) AS size,
    coalesce(b.id, 0) AS binary,
    coalesce(b.path, '') AS path,
    coalesce(b.kind, '') AS kind,
    coalesce(b.build_id, '') AS build_id,
    coalesce(b.has_addresses, 0) AS has_addresses
FROM symbol AS s
LEFT JOIN binary AS b ON b.id = s.binary
WHERE s.id = :symbol;

--@ code_binary
-- :binary INTEGER  binary.id
-- => path, kind, build_id
SELECT
    path,
    kind,
    coalesce(build_id, '') AS build_id
FROM binary
WHERE id = :binary;

--@ code_kernel
-- The kernel that was recorded.
-- => build_id (empty: not known), release, boot_wall_ns (ns since 1970, to within clock steps)
SELECT
    coalesce((SELECT build_id FROM binary WHERE kind = 'kernel'), '') AS build_id,
    CASE
        WHEN instr(os_release, ' ') > 0 THEN substr(os_release, instr(os_release, ' ') + 1)
        ELSE os_release
    END AS release,
    start_wall_ns - start_ts AS boot_wall_ns
FROM run;

--@ code_last_frame
-- :symbol INTEGER  symbol.id
-- => rel_address (of the last frame in it, NULL: none)
SELECT max(rel_address) AS rel_address
FROM frame
WHERE symbol = :symbol;

--@ code_stored
-- :symbol INTEGER  symbol.id
-- => rel_address, bytes
SELECT
    rel_address,
    bytes
FROM code
WHERE symbol = :symbol;

--@ code_mapped
-- Who mapped a file and since when, on the clock of the machine; those that live come first.
-- :binary INTEGER  binary.id
-- => pid, first_wall_ns (ns since 1970)
SELECT
    p.pid AS pid,
    r.start_wall_ns + (min(m.ts) - r.start_ts) AS first_wall_ns
FROM mapping AS m
JOIN process AS p ON p.upid = m.upid
CROSS JOIN run AS r
WHERE m.binary = :binary
GROUP BY p.upid
ORDER BY p.end_ts IS NOT NULL, p.upid DESC
LIMIT 8;

--@ code_wanted
-- Functions with samples, of their own or of what they call, and their parts, whose code is not stored yet, the hottest first.
-- => symbol
SELECT s.id AS symbol
FROM symbol AS s
JOIN symbol_sum AS t ON t.symbol = ifnull(s.whole, s.id)
JOIN binary AS b ON b.id = s.binary
WHERE (b.kind IN ('main', 'shared', 'vdso', 'kernel', 'module') OR s.source = 'jitdump')
    AND s.kind IN ('function', 'unnamed')
    AND s.source <> 'dwarf'
    AND t.n_total_samples > 0
    AND s.id NOT IN (SELECT symbol FROM code)
ORDER BY t.self_on_cpu_ns DESC, t.total_on_cpu_ns DESC, s.id;

--@ code_insert
-- :symbol INTEGER  symbol.id
-- :rel_address INTEGER  of the first byte
-- :bytes BLOB
INSERT INTO code (symbol, rel_address, bytes)
VALUES (:symbol, :rel_address, :bytes);

--@ code_totals
-- => n_functions, n_bytes
SELECT
    count(*) AS n_functions,
    coalesce(sum(length(bytes)), 0) AS n_bytes
FROM code;
