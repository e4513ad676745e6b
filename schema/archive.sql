-- Finishing a saved copy and checking a foreign file.

--@ archive_hold
-- Opens the snapshot that a copy is taken from.
-- => n
SELECT
    count(*) AS n
FROM run;

--@ archive_finish
-- A copy of a live run is a stopped run that ends with its newest event.
UPDATE run
SET
    stop_reason = CASE WHEN state = 'recording' THEN 'saved_live' ELSE stop_reason END,
    end_ts = coalesce(end_ts, data_ts),
    state = 'stopped';

--@ archive_quick_check
-- => result: ok, or what is wrong
PRAGMA main.quick_check(1);

--@ archive_views
-- => name
SELECT
    name
FROM sqlite_schema
WHERE type = 'view';
