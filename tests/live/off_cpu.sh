#!/usr/bin/env bash
# Where wall time goes, thread by thread, against what the program measured of itself; that every
# ledger closes; and that all places tell the same sums.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

stax record -- "$STAX_WORKLOADS/waits" >"$TMP/truth.json" 2>"$TMP/record.err"
status=$?
if ((status != 0)); then
    fail "record exits with the target's status" "status $status" "$(cat "$TMP/record.err")"
    finish
fi
path=$(stax sql --path)
db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
db "SELECT json_group_array(json_object('name', t.name, 'tid', t.tid, 'on_cpu_ns', s.on_cpu_ns,
        'unknown_ns', s.unknown_ns, 'reasons', json_object('idle', s.idle_ns, 'lock', s.lock_ns,
        'sem', s.sem_ns, 'ipc', s.ipc_ns, 'ioR', s.io_r_ns, 'ioW', s.io_w_ns, 'ready', s.ready_ns,
        'sleep', s.sleep_ns, 'conn', s.conn_ns, 'other', s.other_ns)))
    FROM thread t JOIN thread_sum s USING (utid)" >"$TMP/sums.json"

# One check a thread, so that a failure names what was not recognised. Waits for the helper at a
# barrier are waits for a lock. In both the thread may be preempted, which is no wait: the kernel's
# count of that (with the time from wake-up to CPU) bounds it.
for name in $(jq -r '.threads[].name' "$TMP/truth.json"); do
    jq --arg name "$name" --slurpfile truth "$TMP/truth.json" \
        '($truth[0].threads[] | select(.name == $name)) as $t | {truth: $t, got: (.[] | select(.tid == $t.tid))} |
         .want = $t.wait_ns + (if $t.reason == "lock" then $t.barrier_ns else 0 end)' "$TMP/sums.json" >"$TMP/one.json"
    check_json "$name: on-CPU time within 2 % or 15 ms" "$TMP/one.json" \
        '(.got.on_cpu_ns - .truth.cpu_ns | fabs) <= ([0.02 * .truth.cpu_ns, 15000000] | max)'
    # One wait (of 60 ms) may be taken for one of another kind where all that is seen is a futex.
    check_json "$name: its reason within 3 % or 80 ms" "$TMP/one.json" \
        '([0.03 * .want, 80000000] | max) as $near | .got.reasons[.truth.reason] as $got |
         $got <= .want + $near and $got >= .want - .truth.delay_ns - $near'
done
check_json "no time is unknown" "$TMP/sums.json" 'all(.[]; .unknown_ns == 0)'
reasons="idle_ns + lock_ns + sem_ns + ipc_ns + io_r_ns + io_w_ns + ready_ns + sleep_ns + conn_ns + other_ns"
check "every ledger closes" test 0 = "$(db "
    SELECT count(*) FROM thread t JOIN thread_sum s USING (utid), run r
     WHERE ifnull(t.end_ts, r.end_ts) - t.start_ts <>
           s.on_cpu_ns + runnable_ns + $reasons + unknown_ns")"
check "a stopped run has no open states" test 0 = "$(db 'SELECT count(*) FROM thread_sum WHERE open_state IS NOT NULL')"
check "intervals are never negative and never huge" test 0 = "$(db '
    SELECT count(*) FROM thread_state s, run r WHERE dur < 0 OR ts < start_ts OR ts + dur > end_ts')"
check "intervals of a thread do not overlap" test 0 = "$(db '
    SELECT count(*) FROM (SELECT ts, lag(ts + dur) OVER (PARTITION BY utid ORDER BY ts) AS before FROM thread_state)
     WHERE before > ts')"
check "the call tree holds all blocked time" test "$(db "SELECT sum($reasons) FROM thread_sum")" = \
    "$(db 'SELECT sum(total_off_cpu_ns) FROM call_tree WHERE parent = 0')"
check "rows and folded rows hold all blocked time" test "$(db "SELECT sum($reasons) FROM thread_sum")" = \
    "$(db "SELECT sum(dur) FROM (SELECT dur FROM thread_state WHERE state = 'blocked'
           UNION ALL SELECT dur FROM folded_state WHERE state = 'blocked')")"
check "buckets hold all off-CPU time" test "$(db "SELECT sum(runnable_ns + $reasons) FROM thread_sum")" = \
    "$(db "SELECT (SELECT sum(runnable_ns + blocked_ns) FROM time_bucket) +
           ifnull((SELECT sum(dur) FROM thread_state WHERE dur >= 10000000000), 0)")"
check "sample weights never exceed the on-CPU time" test 0 = "$(db '
    SELECT count(*) FROM thread_sum s
     WHERE on_cpu_ns < (SELECT sum(on_cpu_ns) FROM sample WHERE sample.utid = s.utid)')"
if [[ $(db "SELECT is_available FROM ability WHERE name = 'wait_stacks'") == 1 ]]; then
    check "nearly every wait of 10 ms has its own stack" test 1 = "$(db "
        SELECT sum(stack_from = 'switch') >= 0.95 * count(*) FROM thread_state
         WHERE state = 'blocked' AND dur >= 10000000")"
    check "a sleep's stack ends in the kernel's sleep" test 1 = "$(db "
        SELECT count(*) > 0 FROM thread_state t JOIN callsite c ON c.id = t.callsite
          JOIN frame f ON f.id = c.frame JOIN symbol s ON s.id = f.symbol
         WHERE t.reason = 'sleep' AND t.stack_from = 'switch'")"
else
    check "what is missing is said" test 1 = "$(db "
        SELECT reason <> '' AND unlock <> '' FROM ability WHERE name = 'wait_stacks'")"
fi

# Attached while blocked: the wait that was under way belongs to its reason from the start on.
start sleep 60
target=$last_pid
stax record -p "$target" -l 1 >/dev/null 2>"$TMP/err" || fail "record --pid" "$(cat "$TMP/err")"
path=$(stax sql --path)
check "a thread that was blocked all along is blocked all along" test "1|1" = "$(db '
    SELECT abs(sleep_ns - (end_ts - r.start_ts)) < 50000000, unknown_ns = 0 FROM thread_sum,
           (SELECT start_ts, end_ts FROM run) r')"
finish
