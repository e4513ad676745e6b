-- Version 3: how stacks ended. Of files of version 2 no more is known than run.n_truncated.
CREATE TABLE stack_end (
    cause            TEXT    PRIMARY KEY,
    n_samples        INTEGER NOT NULL,
    n_guessed_samples INTEGER NOT NULL,
    n_waits          INTEGER NOT NULL,
    n_guessed_waits  INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 3;
