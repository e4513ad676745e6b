-- Version 3: how stacks ended. Of files of version 2 no more is known than run.n_truncated.
CREATE TABLE stack_end (
    cause            TEXT    PRIMARY KEY,
    n_samples        INTEGER NOT NULL,
    n_guessed_samples INTEGER NOT NULL,
    n_waits          INTEGER NOT NULL,
    n_guessed_waits  INTEGER NOT NULL
) STRICT;
-- And wakeups. Files of version 2 have none, so the tables for them are empty there.
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
