-- What the sandbox itself asks, before the authorizer is in place.

--@ sandbox_names
-- Tables, views and their columns, for completion and suggestions.
-- => table_name, column_name, is_view
SELECT
    tables.name           AS table_name,
    columns.name          AS column_name,
    tables.type = 'view'  AS is_view
FROM pragma_table_list AS tables
JOIN pragma_table_xinfo(tables.name) AS columns
WHERE tables.schema = 'main' AND tables.name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY tables.name, columns.cid;
