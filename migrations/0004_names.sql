-- Version 4: languages, and which function a part or a clone belongs to. In files of version 3 each is
-- a function of its own, under the name it had then.
ALTER TABLE symbol ADD COLUMN language TEXT NOT NULL DEFAULT '';
ALTER TABLE symbol ADD COLUMN whole INTEGER;
-- Packages.
ALTER TABLE binary ADD COLUMN package TEXT;
PRAGMA user_version = 4;
