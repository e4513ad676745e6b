-- Version 2: off-CPU time. A file of version 1 has none of it, so thread_state is empty there.
ALTER TABLE run ADD COLUMN has_off_cpu INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_tree ADD COLUMN n_self_waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_tree ADD COLUMN self_off_cpu_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_tree ADD COLUMN n_total_waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_tree ADD COLUMN total_off_cpu_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE symbol_sum ADD COLUMN n_self_waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE symbol_sum ADD COLUMN self_off_cpu_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE symbol_sum ADD COLUMN n_total_waits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE symbol_sum ADD COLUMN total_off_cpu_ns INTEGER NOT NULL DEFAULT 0;
ALTER TABLE thread_sum ADD COLUMN n_switches INTEGER;
ALTER TABLE thread_sum ADD COLUMN open_state TEXT;
ALTER TABLE thread_sum ADD COLUMN open_reason TEXT;
ALTER TABLE thread_sum ADD COLUMN open_ts INTEGER;
DROP TABLE thread_state;
CREATE TABLE thread_state (
    id               INTEGER PRIMARY KEY,
    ts               INTEGER NOT NULL,
    dur              INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    reason           TEXT,
    reason_from      TEXT,
    callsite         INTEGER,
    stack_from       TEXT,
    waker_utid       INTEGER,
    waker_callsite   INTEGER
) STRICT;
CREATE TABLE folded_state (
    bucket           INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    state            TEXT    NOT NULL,
    reason           TEXT    NOT NULL,
    callsite         INTEGER NOT NULL,
    n_intervals      INTEGER NOT NULL,
    dur              INTEGER NOT NULL,
    PRIMARY KEY (bucket, utid, state, reason, callsite)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
