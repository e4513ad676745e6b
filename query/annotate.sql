-- Functions by name and by address, and the samples in one.

--@ functions_matching
-- Functions with samples whose name contains a text, upper or lower case: the one that is called
-- exactly that first, then the hottest.
-- :text TEXT  empty: all
-- :base TEXT, :clone TEXT  the same of a part of a function ("parse", "[clone .cold]"), or NULL
-- :limit INTEGER
-- => symbol, n_all (that match), n_samples and on_cpu_ns (ns) of its own code with what is inlined
--    there; of what has no code of its own: where it is inlined
WITH own (symbol, n_samples, on_cpu_ns) AS MATERIALIZED (
    SELECT
        f.symbol,
        ifnull(sum(t.n_samples), 0),
        ifnull(sum(t.on_cpu_ns), 0)
    FROM frame AS f
    LEFT JOIN frame_sum AS t ON t.frame = f.id
    GROUP BY f.symbol
)
SELECT
    s.id AS symbol,
    count(*) OVER () AS n_all,
    ifnull(own.n_samples, t.n_self_samples) AS n_samples,
    ifnull(own.on_cpu_ns, t.self_on_cpu_ns) AS on_cpu_ns
FROM symbol AS s
LEFT JOIN own ON own.symbol = s.id
JOIN symbol_sum AS t ON t.symbol = ifnull(s.whole, s.id)
WHERE s.kind IN ('function', 'unnamed')
    AND t.n_total_samples > 0
    AND (s.whole IS NULL OR own.n_samples > 0)
    AND (
        :text = ''
        OR instr(lower(s.name), lower(:text)) > 0
        OR (s.whole IS NOT NULL AND instr(lower(s.linkage_name), lower(:text)) > 0)
        OR (instr(lower(s.name), lower(:base)) > 0 AND instr(s.name, :clone) > 0)
    )
ORDER BY
    coalesce(:text IN (s.name, s.linkage_name), 0) DESC, -- without a linkage name NULL
    on_cpu_ns DESC,
    t.total_on_cpu_ns DESC,
    s.id
LIMIT :limit;

--@ functions_at
-- Functions that hold an address of a binary, the hottest first.
-- :binary INTEGER  binary.id, 0: any
-- :name TEXT  name or path of the binary, empty: any
-- :rel_address INTEGER
-- :limit INTEGER
-- => as functions_matching
WITH own (symbol, n_samples, on_cpu_ns) AS MATERIALIZED (
    SELECT
        f.symbol,
        ifnull(sum(t.n_samples), 0),
        ifnull(sum(t.on_cpu_ns), 0)
    FROM frame AS f
    LEFT JOIN frame_sum AS t ON t.frame = f.id
    GROUP BY f.symbol
)
SELECT
    s.id AS symbol,
    count(*) OVER () AS n_all,
    ifnull(own.n_samples, 0) AS n_samples,
    ifnull(own.on_cpu_ns, 0) AS on_cpu_ns
FROM symbol AS s
JOIN binary AS b ON b.id = s.binary
LEFT JOIN own ON own.symbol = s.id
WHERE s.kind IN ('function', 'unnamed')
    AND (:binary = 0 OR b.id = :binary)
    AND (:name = '' OR b.name = :name OR b.path = :name)
    AND (
        (s.rel_address <= :rel_address AND :rel_address - s.rel_address < s.size)
        OR s.id IN (SELECT symbol FROM frame WHERE rel_address = :rel_address)
    )
ORDER BY
    on_cpu_ns DESC,
    s.id
LIMIT :limit;

--@ mappings_of_address
-- Files that were mapped at an address, the process with the most threads first.
-- :address INTEGER
-- => binary, has_addresses, file_offset
SELECT DISTINCT
    m.binary AS binary,
    b.has_addresses AS has_addresses,
    m.file_offset + (:address - m.start) AS file_offset
FROM mapping AS m
JOIN binary AS b ON b.id = m.binary
WHERE m.start <= :address
    AND :address - m.start < m.size
ORDER BY m.id DESC
LIMIT 16;

--@ generated_at
-- Functions made at run time that lay at an address, the hottest first: one may have replaced another.
-- :address INTEGER  of a process
-- :limit INTEGER
-- => as functions_matching
WITH own (symbol, n_samples, on_cpu_ns) AS MATERIALIZED (
    SELECT
        f.symbol,
        ifnull(sum(t.n_samples), 0),
        ifnull(sum(t.on_cpu_ns), 0)
    FROM frame AS f
    LEFT JOIN frame_sum AS t ON t.frame = f.id
    GROUP BY f.symbol
)
SELECT
    s.id AS symbol,
    count(*) OVER () AS n_all,
    ifnull(own.n_samples, 0) AS n_samples,
    ifnull(own.on_cpu_ns, 0) AS on_cpu_ns
FROM symbol AS s
LEFT JOIN own ON own.symbol = s.id
WHERE s.kind = 'function'
    AND s.source IN ('jitdump', 'perf_map')
    AND s.address <= :address
    AND :address - s.address < max(s.size, 1)
ORDER BY
    on_cpu_ns DESC,
    s.id
LIMIT :limit;

--@ annotate_host
-- The function whose code holds the most samples of a function that is inlined there.
-- :symbol INTEGER  symbol.id of the inlined function
-- => symbol (NULL: none)
SELECT f.symbol AS symbol
FROM frame_line AS l
JOIN frame AS f ON f.id = l.frame
JOIN frame_sum AS t ON t.frame = f.id
WHERE l.symbol = :symbol
    AND f.symbol <> :symbol
    AND NOT EXISTS (SELECT 1 FROM frame AS own WHERE own.symbol = :symbol)
GROUP BY f.symbol
ORDER BY sum(t.on_cpu_ns) DESC
LIMIT 1;

--@ annotate_inlined_into
-- Functions that a function is inlined into, besides its own code: the most samples there first.
-- Those of all threads or some.
-- :symbol INTEGER  symbol.id
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => symbol, n_all (functions), all_ns (in all of them)
SELECT
    f.symbol AS symbol,
    count(*) OVER () AS n_all,
    sum(sum(t.on_cpu_ns)) OVER () AS all_ns
FROM (SELECT DISTINCT frame FROM frame_line WHERE symbol = :symbol) AS l
JOIN frame AS f ON f.id = l.frame
JOIN symbol AS s ON s.id = f.symbol
CROSS JOIN frame_sum AS t ON t.frame = f.id
LEFT JOIN thread AS th ON th.utid = t.utid
LEFT JOIN process AS p ON p.upid = th.upid
WHERE :symbol NOT IN (s.id, ifnull(s.whole, 0))
    AND (:tid IS NULL OR th.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid)
GROUP BY f.symbol
ORDER BY sum(t.on_cpu_ns) DESC
LIMIT 4;

--@ annotate_function
-- :symbol INTEGER  symbol.id
-- => name, binary (binary.id), rel_address, size (bytes), source, address (of what was made at run
--    time; 0: others, not known)
SELECT
    name,
    coalesce(binary, 0) AS binary,
    coalesce(rel_address, 0) AS rel_address,
    coalesce(size, 0) AS size,
    source,
    iif(source IN ('jitdump', 'perf_map'), coalesce(address, 0), 0) AS address
FROM symbol
WHERE id = :symbol;

--@ annotate_arch
-- => arch
SELECT arch
FROM run;

--@ annotate_sums
-- Samples of a function by address, of all threads or some.
-- :symbol INTEGER  symbol.id
-- :tid INTEGER  or NULL
-- :pid INTEGER  or NULL
-- => frame, rel_address, n_samples, on_cpu_ns (ns), c0, c1, c2, c3
SELECT
    f.id AS frame,
    f.rel_address AS rel_address,
    sum(t.n_samples) AS n_samples,
    sum(t.on_cpu_ns) AS on_cpu_ns,
    coalesce(sum(c.c0), 0) AS c0,
    coalesce(sum(c.c1), 0) AS c1,
    coalesce(sum(c.c2), 0) AS c2,
    coalesce(sum(c.c3), 0) AS c3
FROM frame AS f
CROSS JOIN frame_sum AS t ON t.frame = f.id
LEFT JOIN frame_counter AS c ON c.frame = t.frame AND c.utid = t.utid
LEFT JOIN thread AS th ON th.utid = t.utid
LEFT JOIN process AS p ON p.upid = th.upid
WHERE f.symbol = :symbol
    AND (:tid IS NULL OR th.tid = :tid)
    AND (:pid IS NULL OR p.pid = :pid)
GROUP BY f.id
ORDER BY f.rel_address;

--@ annotate_samples
-- Single samples of a function in a range.
-- :symbol INTEGER  symbol.id
-- :after INTEGER  ns, exclusive
-- :upto INTEGER  ns, inclusive
-- => utid, callsite, frame, rel_address, on_cpu_ns (ns), c0, c1, c2, c3
SELECT
    s.utid AS utid,
    s.callsite AS callsite,
    s.frame AS frame,
    f.rel_address AS rel_address,
    s.on_cpu_ns AS on_cpu_ns,
    coalesce(s.c0, 0) AS c0,
    coalesce(s.c1, 0) AS c1,
    coalesce(s.c2, 0) AS c2,
    coalesce(s.c3, 0) AS c3
FROM sample AS s
JOIN frame AS f ON f.id = s.frame
WHERE s.ts > :after
    AND s.ts <= :upto
    AND f.symbol = :symbol;

--@ symbols_of_binary
-- Where the named functions of a file are.
-- :binary INTEGER  binary.id
-- => symbol, rel_address, size (bytes)
SELECT
    id AS symbol,
    rel_address,
    coalesce(size, 0) AS size
FROM symbol
WHERE binary = :binary
    AND kind = 'function'
    AND rel_address IS NOT NULL
    AND source NOT IN ('jitdump', 'perf_map')
ORDER BY rel_address;

--@ callees_of_generated
-- Functions of files where code made at run time calls them: as the processes had those files mapped
-- that were sampled in it.
-- :symbol INTEGER  symbol.id of what calls
-- => symbol, address, size (bytes)
SELECT DISTINCT
    s.id AS symbol,
    s.address AS address,
    coalesce(s.size, 0) AS size
FROM symbol AS s
JOIN mapping AS m ON m.binary = s.binary
WHERE s.address IS NOT NULL
    AND s.source NOT IN ('jitdump', 'perf_map')
    AND m.start <= s.address
    AND s.address - m.start < m.size
    AND m.upid IN (
        SELECT th.upid
        FROM frame AS f
        JOIN frame_sum AS t ON t.frame = f.id
        JOIN thread AS th ON th.utid = t.utid
        WHERE f.symbol = :symbol
    )
ORDER BY s.address;

--@ annotate_frame_lines
-- Where in the source an address is, the innermost function first.
-- :frame INTEGER  frame.id
-- => depth, symbol, file, line
SELECT
    depth,
    symbol,
    file,
    line
FROM frame_line
WHERE frame = :frame
ORDER BY depth;
