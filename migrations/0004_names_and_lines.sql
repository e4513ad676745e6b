-- Version 4: languages, and which function a part or a clone belongs to. In files of version 3 each is
-- a function of its own, under the name it had then.
ALTER TABLE symbol ADD COLUMN language TEXT NOT NULL DEFAULT '';
ALTER TABLE symbol ADD COLUMN whole INTEGER;
-- Packages.
ALTER TABLE binary ADD COLUMN package TEXT;
-- Line tables of whole functions: files of version 3 have lines of sampled addresses only, in frame_line.
CREATE TABLE code_line (
    symbol           INTEGER NOT NULL,
    rel_address      INTEGER NOT NULL,
    file             INTEGER,
    line             INTEGER,
    call             INTEGER NOT NULL,
    PRIMARY KEY (symbol, rel_address)
) STRICT, WITHOUT ROWID;
CREATE TABLE inlined_call (
    id               INTEGER PRIMARY KEY,
    symbol           INTEGER NOT NULL,
    parent           INTEGER NOT NULL,
    function         TEXT    NOT NULL,
    file             INTEGER,
    line             INTEGER
) STRICT;
CREATE TABLE source_file (
    id               INTEGER PRIMARY KEY,
    path             TEXT    NOT NULL UNIQUE,
    note             TEXT
) STRICT;
PRAGMA user_version = 4;
