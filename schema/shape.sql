-- What a schema consists of, for comparing a foreign file with our own.

--@ shape_objects
-- => type, name, sql (NULL for automatic indexes), root_page (0: no storage, a view or virtual table)
SELECT
    type,
    name,
    sql,
    rootpage AS root_page
FROM sqlite_schema
ORDER BY type, name;

--@ shape_view
-- :name TEXT
-- => sql
SELECT
    sql
FROM sqlite_schema
WHERE type = 'view' AND name = :name;

--@ shape_columns
-- The columns of every table and view.
-- => table_name, type (table, view), is_without_rowid, is_strict, name, column_type, is_not_null, key_position, hidden
SELECT
    tables.name       AS table_name,
    tables.type       AS type,
    tables.wr         AS is_without_rowid,
    tables.strict     AS is_strict,
    columns.name      AS name,
    columns.type      AS column_type,
    columns."notnull" AS is_not_null,
    columns.pk        AS key_position,
    columns.hidden    AS hidden
FROM pragma_table_list AS tables
JOIN pragma_table_xinfo(tables.name) AS columns
WHERE tables.schema = 'main' AND tables.name NOT LIKE 'sqlite\_%' ESCAPE '\'
ORDER BY tables.name, columns.cid;
