-- What the sandbox itself asks, before the authorizer is in place.

--@ sandbox_names
-- Tables, views and their columns, for completion and suggestions.
-- :schema TEXT  main, or the name of an attached file
-- => table_name, column_name, is_view
SELECT
    tables.name           AS table_name,
    columns.name          AS column_name,
    tables.type = 'view'  AS is_view
FROM pragma_table_list AS tables
JOIN pragma_table_xinfo(tables.name, :schema) AS columns
WHERE tables.schema = :schema AND tables.name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY tables.name, columns.cid;

--@ sandbox_connect
-- Table-valued functions that queries may use. SQLite declares each on its first use, with calls to
-- the authorizer that look like changes of the schema, so that has to happen before.
-- => n
SELECT
    1 AS n
FROM json_each('[]'),
    json_tree('[]'),
    pragma_table_info('run'),
    pragma_table_xinfo('run'),
    pragma_index_list('run'),
    pragma_index_info('run'),
    pragma_index_xinfo('run'),
    pragma_table_list,
    pragma_function_list,
    pragma_compile_options
LIMIT 0;
