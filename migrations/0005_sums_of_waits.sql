-- Version 5: the longest waits of each reason are found without reading all; where code made at run time lay.
CREATE TABLE new_thread_state (
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
    waker_callsite   INTEGER,
    waker            TEXT,
    UNIQUE (reason, dur, id)
) STRICT;
INSERT INTO new_thread_state
SELECT id, ts, dur, utid, state, reason, reason_from, callsite, stack_from, waker_utid,
       waker_callsite, waker
  FROM thread_state;
DROP TABLE thread_state;
ALTER TABLE new_thread_state RENAME TO thread_state;
-- How much of the reasons is guessed. Of intervals that were added up in files of version 4 it is not known.
ALTER TABLE folded_state ADD COLUMN guessed_ns INTEGER;
UPDATE folded_state SET guessed_ns = 0 WHERE state = 'runnable';
ALTER TABLE thread_sum ADD COLUMN guessed_ns INTEGER;
UPDATE thread_sum
   SET guessed_ns = w.guessed_ns
  FROM (SELECT t.utid, iif(total(s.is_unknown), NULL, ifnull(sum(s.guessed_ns), 0)) AS guessed_ns
          FROM thread_sum AS t
          LEFT JOIN (SELECT utid, dur AS guessed_ns, 0 AS is_unknown
                       FROM thread_state
                      WHERE reason_from = 'earlier'
                     UNION ALL
                     SELECT utid, guessed_ns, guessed_ns IS NULL FROM folded_state) AS s
            ON s.utid = t.utid
         GROUP BY t.utid) AS w
 WHERE w.utid = thread_sum.utid AND thread_sum.idle_ns IS NOT NULL;
-- Where code made at run time lay in memory was not kept.
ALTER TABLE symbol ADD COLUMN address INTEGER;
CREATE TABLE wait_sum (
    reason           TEXT    PRIMARY KEY,
    n_intervals      INTEGER NOT NULL,
    dur              INTEGER NOT NULL,
    n_folded_intervals INTEGER NOT NULL,
    folded_dur       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO wait_sum
SELECT reason, sum(n), sum(dur), sum(n_folded), sum(folded_dur)
  FROM (SELECT ifnull(reason, '') AS reason, 1 AS n, dur, 0 AS n_folded, 0 AS folded_dur
          FROM thread_state
         UNION ALL
        SELECT reason, 0, 0, n_intervals, dur FROM folded_state)
 GROUP BY 1;
PRAGMA user_version = 5;
