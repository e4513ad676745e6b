-- Single waits.

--@ interval_by_id
-- What is known of an interval.
-- :id INTEGER  thread_state.id
-- => reason_from, callsite, stack_from, waker ('': not known), waker_utid, waker_callsite
SELECT
    reason_from,
    coalesce(callsite, 0) AS callsite,
    stack_from,
    coalesce(waker, '') AS waker,
    coalesce(waker_utid, 0) AS waker_utid,
    coalesce(waker_callsite, 0) AS waker_callsite
FROM thread_state
WHERE id = :id;

--@ open_wait_of
-- How the wait that a thread is in is known.
-- :utid INTEGER  thread.utid
-- => reason_from, stack_from
SELECT
    open_reason_from AS reason_from,
    open_stack_from AS stack_from
FROM thread_sum
WHERE utid = :utid;
