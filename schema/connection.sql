-- Statements that set up a connection or a transaction; none touches a table of a run.

--@ pragma_page_size
-- FACTS: 16 KiB pages write 2.5 times the WAL of 4 KiB pages.
PRAGMA page_size = 4096;

--@ pragma_wal
-- => journal_mode: wal when it worked
PRAGMA journal_mode = WAL;

--@ pragma_journal_delete
-- => journal_mode: delete when it worked
PRAGMA journal_mode = DELETE;

--@ pragma_no_autocheckpoint
-- => pages
PRAGMA wal_autocheckpoint = 0;

--@ pragma_synchronous_off
-- tmpfs does not survive the machine: syncing would buy nothing.
PRAGMA synchronous = OFF;

--@ pragma_synchronous_normal
PRAGMA synchronous = NORMAL;

--@ pragma_writer_cache
-- 32 MiB: the upper levels of every table and the summary pages a batch touches.
PRAGMA cache_size = -32768;

--@ pragma_reader_cache
-- 16 MiB.
PRAGMA cache_size = -16384;

--@ pragma_temp_memory
PRAGMA temp_store = MEMORY;

--@ pragma_no_secure_delete
-- Debian turns it on; nothing here is secret, and zeroing pages costs writes.
-- => secure_delete
PRAGMA secure_delete = OFF;

--@ pragma_no_mmap
-- A file that is truncated under a mapping kills the process.
-- => mmap_size
PRAGMA mmap_size = 0;

--@ pragma_cell_size_check
PRAGMA cell_size_check = ON;

--@ pragma_query_only
PRAGMA query_only = ON;

--@ attach
-- Adds a file to a connection, before db_harden() forbids it.
-- :uri TEXT  of the file, with its mode
-- :name TEXT  what its tables are prefixed with
ATTACH :uri AS :name;

--@ pragma_application_id
-- => application_id
PRAGMA application_id;

--@ pragma_user_version
-- => user_version
PRAGMA user_version;

--@ pragma_set_application_id
-- SCHEMA_APPLICATION_ID
PRAGMA application_id = 0x53544158;

--@ pragma_set_user_version
-- SCHEMA_VERSION
PRAGMA user_version = 6;

--@ begin_read
BEGIN;

--@ begin_write
BEGIN IMMEDIATE;

--@ commit_work
COMMIT;

--@ rollback_work
ROLLBACK;
