-- The call tree from its roots down.

--@ flame_children
-- Children of a node; 0: the roots.
-- :parent INTEGER  call_tree.id
-- => id, symbol, is_inlined, n_self_samples, self_on_cpu_ns (ns), n_total_samples, total_on_cpu_ns (ns)
SELECT
    id,
    symbol,
    is_inlined,
    n_self_samples,
    self_on_cpu_ns,
    n_total_samples,
    total_on_cpu_ns
FROM call_tree
WHERE parent = :parent
    AND n_total_samples > 0;
