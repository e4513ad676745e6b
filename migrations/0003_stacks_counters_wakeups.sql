-- Version 3: how stacks ended. Of files of version 2 no more is known than run.n_truncated.
CREATE TABLE stack_end (
    cause            TEXT    PRIMARY KEY,
    n_samples        INTEGER NOT NULL,
    n_guessed_samples INTEGER NOT NULL,
    n_waits          INTEGER NOT NULL,
    n_guessed_waits  INTEGER NOT NULL
) STRICT;
-- Counters. Files of version 2 have none: their table of counters is empty.
DROP TABLE counter;
CREATE TABLE counter (
    slot             INTEGER PRIMARY KEY,
    name             TEXT    NOT NULL,
    unit             TEXT    NOT NULL,
    n_attributed     INTEGER NOT NULL,
    n_counted        INTEGER,
    enabled_ns       INTEGER,
    running_ns       INTEGER
) STRICT;
CREATE TABLE call_tree_counter (
    node             INTEGER PRIMARY KEY,
    self_c0          INTEGER,
    self_c1          INTEGER,
    self_c2          INTEGER,
    self_c3          INTEGER,
    total_c0         INTEGER,
    total_c1         INTEGER,
    total_c2         INTEGER,
    total_c3         INTEGER
) STRICT;
CREATE TABLE symbol_counter (
    symbol           INTEGER PRIMARY KEY,
    self_c0          INTEGER,
    self_c1          INTEGER,
    self_c2          INTEGER,
    self_c3          INTEGER,
    total_c0         INTEGER,
    total_c1         INTEGER,
    total_c2         INTEGER,
    total_c3         INTEGER
) STRICT;
CREATE TABLE frame_counter (
    frame            INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    c0               INTEGER,
    c1               INTEGER,
    c2               INTEGER,
    c3               INTEGER,
    PRIMARY KEY (frame, utid)
) STRICT, WITHOUT ROWID;
CREATE TABLE thread_counter (
    utid             INTEGER PRIMARY KEY,
    c0               INTEGER,
    c1               INTEGER,
    c2               INTEGER,
    c3               INTEGER
) STRICT;
CREATE TABLE stack_counter (
    snapshot         INTEGER NOT NULL,
    stack            INTEGER NOT NULL,
    c0               INTEGER,
    c1               INTEGER,
    c2               INTEGER,
    c3               INTEGER,
    PRIMARY KEY (snapshot, stack)
) STRICT, WITHOUT ROWID;
-- Wakeups. Files of version 2 have none, so the tables for them are empty there.
ALTER TABLE thread_state ADD COLUMN waker TEXT;
ALTER TABLE folded_state ADD COLUMN n_buckets INTEGER NOT NULL DEFAULT 1;
DROP TABLE wakeup;
CREATE TABLE wakeup (
    id               INTEGER PRIMARY KEY,
    ts               INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    dur              INTEGER NOT NULL,
    waker            TEXT    NOT NULL,
    waker_tid        INTEGER,
    waker_utid       INTEGER,
    waker_callsite   INTEGER
) STRICT;
CREATE TABLE folded_wakeup (
    bucket           INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    waker            TEXT    NOT NULL,
    waker_utid       INTEGER NOT NULL,
    n_wakeups        INTEGER NOT NULL,
    dur              INTEGER NOT NULL,
    n_buckets        INTEGER NOT NULL,
    PRIMARY KEY (bucket, utid, waker, waker_utid)
) STRICT, WITHOUT ROWID;
DROP TABLE waker_sum;
CREATE TABLE waker_sum (
    waker            TEXT    NOT NULL,
    waker_utid       INTEGER NOT NULL,
    utid             INTEGER NOT NULL,
    waker_callsite   INTEGER NOT NULL,
    n_wakeups        INTEGER NOT NULL,
    blocked_ns       INTEGER NOT NULL,
    PRIMARY KEY (waker, waker_utid, utid, waker_callsite)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 3;
