-- Reading the shape of a run's call tree into memory.

--@ tree_nodes
-- Every node, parents before children in no particular order.
-- => id, parent, symbol, is_inlined, is_recursive, last_id (of all), n (of all)
SELECT
    id,
    parent,
    symbol,
    is_inlined,
    is_recursive,
    (SELECT max(id) FROM call_tree) AS last_id,
    (SELECT count(*) FROM call_tree) AS n
FROM call_tree;

--@ tree_callsites
-- Callsites added since.
-- :after INTEGER  callsite.id
-- => id, parent, frame, node
SELECT
    id,
    parent,
    frame,
    node
FROM callsite
WHERE id > :after
ORDER BY id;

--@ tree_frames
-- Frames added since, with the function that they count for: a part or a clone counts for its whole.
-- :after INTEGER  frame.id
-- => id, symbol
SELECT
    f.id AS id,
    ifnull(s.whole, f.symbol) AS symbol
FROM frame AS f
LEFT JOIN symbol AS s ON s.id = f.symbol
WHERE f.id > :after
ORDER BY f.id;

--@ tree_inlined
-- Functions of the frames that have more than one, outermost first; as in tree_frames.
-- => frame, symbol
SELECT
    l.frame AS frame,
    ifnull(s.whole, l.symbol) AS symbol
FROM frame_line AS l
LEFT JOIN symbol AS s ON s.id = l.symbol
WHERE l.depth > 0
    OR EXISTS (SELECT 1 FROM frame_line AS m WHERE m.frame = l.frame AND m.depth = 1)
ORDER BY l.frame, l.depth DESC;

--@ tree_stacks
-- Stacks added since.
-- :after INTEGER  stack.id
-- => id, utid, node
SELECT
    id,
    utid,
    node
FROM stack
WHERE id > :after
ORDER BY id;
