#!/usr/bin/env bash
# What the views say about waiting: ledgers that close while recording and after, sums that agree
# between views, the longest waits found, and open waits counted.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

closes='[.data.threads[] | select((.on_cpu_ns + .runnable_ns + .off_cpu_ns + .unknown_ns - .wall_ns | fabs) > 1000
         or (([.reasons[]] | add) != .off_cpu_ns) or .wall_ns < 0)] == []'

# An idle program makes no events: its one wait has not ended, and grows.
sleep 60 &
idle=$!
start stax record --pid "$idle" >/dev/null 2>&1
record=$last_pid
sleeping_ns() {
    stax threads --json 2>/dev/null | jq '.data.threads[0].reasons.sleep_ns // 0' 2>/dev/null
}
has_slept() {
    local ns
    ns=$(sleeping_ns)
    ((${ns:-0} > $1))
}
wait_for 10 has_slept 1000000000
stax threads --json >"$TMP/live.json"
check_json "live: every ledger closes" "$TMP/live.json" "$closes"
check_json "live: nothing is unknown of an idle program" "$TMP/live.json" '.data.threads[0] | .unknown_ns == 0 and .blocked == "sleep"'
stax waits --json >"$TMP/live.json"
check_json "live: the wait is listed as open" "$TMP/live.json" \
    '.data.n_waits == 1 and (.data.waits[0] | .is_open and .reason == "sleep" and .dur_ns > 1000000000)'
check_json "live: ... with its stack, and how it is known" "$TMP/live.json" \
    '.data.waits[0] | .stack_from == "parked" and .reason_from != null and (.function | test("nanosleep")) and (.stack | length > 3)'
check "live: so it is in SQL" test "sleep|1" = "$(sqlite3 -readonly "$(stax sql --path)" \
    "SELECT reason, function LIKE '%nanosleep%' FROM v_open_waits")"
check_json "live: the tree says what it lacks" <(stax flame --off-cpu --json) \
    '.data.roots == [] and .data.open_off_cpu_ns > 1000000000 and (.warnings | any(test("not ended")))'
stax stop >/dev/null
wait_for 10 gone "$record"
kill "$idle"
check_json "stopped: the wait has ended with the run" <(stax waits --json) \
    '.data.n_waits == 1 and (.data.waits[0] | (.is_open | not) and .reason == "sleep")'

start stax record -- sleep 60 >/dev/null 2>&1
record=$last_pid
has_open_stack() {
    stax waits --json 2>/dev/null | jq -e '.data.waits[0] | .is_open and (.function // "" | test("nanosleep"))' >/dev/null
}
check "live: the stack of a wait that began while it records" wait_for 5 has_open_stack
end_run
wait_for 5 gone "$record"

stax record -- "$STAX_WORKLOADS/waits" >"$TMP/truth.json" 2>"$TMP/err" || fail "record" "$(cat "$TMP/err")"
stax threads -n 0 --json >"$TMP/threads.json"
stax save "$TMP/a.stax" >/dev/null
for run in "" "--run $TMP/a.stax"; do
    name=${run:+archive: }
    # shellcheck disable=SC2086
    {
        stax threads -n 0 $run --json >"$TMP/threads.json"
        stax top --off-cpu -n 5000 $run --json >"$TMP/top.json" 2>/dev/null
        stax flame --off-cpu --threshold-pct 0 -d 1000 $run --json >"$TMP/flame.json" 2>/dev/null
        stax waits -n 10000 $run --json >"$TMP/waits.json"
    }
    check_json "${name}every ledger closes" "$TMP/threads.json" "$closes"
    jq -s '{blocked: ([.[0].data.threads[].off_cpu_ns] | add), top: .[1].data, flame: .[2].data, waits: .[3].data}' \
        "$TMP"/{threads,top,flame,waits}.json >"$TMP/all.json"
    check_json "${name}top, flame and waits hold all blocked time" "$TMP/all.json" \
        '.blocked > 0 and .top.off_cpu_ns == .blocked and ([.flame.roots[].total_off_cpu_ns] | add) == .blocked
         and .waits.off_cpu_ns + .waits.folded_off_cpu_ns == .blocked'
    check_json "${name}every path of the tree ends in a reason" "$TMP/flame.json" \
        '[.. | objects | select(.self_off_cpu_ns? > 0) | .name] | length > 0 and
         all(IN("[idle]", "[lock]", "[sem]", "[ipc]", "[ioR]", "[ioW]", "[ready]", "[sleep]", "[conn]", "[other]"))'
    check_json "${name}the longest wait comes first" "$TMP/waits.json" \
        '[.data.waits[].dur_ns] | . == (sort | reverse) and .[0] > 10000000'
    for reason in idle lock sem ipc ioR ioW ready sleep conn; do
        key=$(sed 's/ioR/io_r/; s/ioW/io_w/' <<<"$reason")_ns
        # shellcheck disable=SC2086
        jq -s --arg key "$key" '{want: ([.[0].data.threads[].reasons[$key]] | add), got: .[1].data}' \
            "$TMP/threads.json" <(stax flame --reason $reason --threshold-pct 0 $run --json 2>/dev/null) >"$TMP/one.json"
        check_json "${name}flame --reason $reason" "$TMP/one.json" '.got.off_cpu_ns == .want and .got.reason != null'
    done
done
# A range, cut out of the middle, is no longer than it is, but for summed waits at its edges.
stax threads -n 0 --from 0.2 --to 0.7 --json >"$TMP/range.json"
check_json "a range has no more than its length" "$TMP/range.json" \
    '.data.threads | length > 0 and all(.wall_ns <= 500000000 and .off_cpu_ns + .runnable_ns <= .wall_ns + 100000000)'
stax sql --json "SELECT sum(abs(wall_ms - on_cpu_ms - runnable_ms - idle_ms - lock_ms - sem_ms - ipc_ms
    - io_r_ms - io_w_ms - ready_ms - sleep_ms - conn_ms - other_ms - unknown_ms)), max(abs(unknown_ms)), count(*)
    FROM v_ledger" >"$TMP/sql.json"
check_json "v_ledger closes and knows everything" "$TMP/sql.json" '.data.rows[0] | .[0] < 1 and .[1] < 0.01 and .[2] > 5'
if [[ $(stax sql --csv "SELECT is_available FROM ability WHERE name = 'wait_stacks'" | tail -1) == 1 ]]; then
    check_json "the longest waits have their stack" "$TMP/waits.json" \
        '[.data.waits[:20][] | select(.stack_from == "switch" and .function != null)] | length >= 18'
    check_json "functions outside the kernel have the waits" "$TMP/top.json" \
        '([.data.functions[] | select(.binary != "[kernel]") | .self_off_cpu_ns] | add) > 0.8 * .data.off_cpu_ns'
else
    check_json "where 5 % of the waiting has no stack, why is said" "$TMP/top.json" \
        '(.data.stackless_off_cpu_ns > 0.05 * .data.off_cpu_ns) as $much | (.data.off_cpu_ns > 0) and
         (.warnings | any(test("of the waiting has no stack"))) == $much and
         (.warnings | any(test("no stacks of waits"))) == $much'
fi

# Thousands of long waits each second: nearly every one has a stack of its own, and the others say so.
stax record -- "$STAX_WORKLOADS/sleepers" >"$TMP/truth.json" 2>"$TMP/err" || fail "record" "$(cat "$TMP/err")"
stax sql --json "SELECT count(*), sum(stack_from IN ('switch', 'parked')),
    sum(stack_from IN ('switch', 'parked') AND reason_from = 'none')
    FROM thread_state WHERE state = 'blocked' AND dur > 30000000" >"$TMP/sql.json"
least=0.97
if [[ $(stax sql --csv "SELECT is_available FROM ability WHERE name = 'wait_stacks'" | tail -1) != 1 ]]; then
    least=0.65 # each is looked at while it lasts, which a busy host has less time for
fi
jq -s '{n: .[0].n_waits, row: .[1].data.rows[0]}' "$TMP"/{truth,sql}.json >"$TMP/all.json"
check_json "many threads with long waits: they have their stacks" "$TMP/all.json" \
    '.n == 6000 and .row[0] >= .n and .row[1] > $least * .n and .row[2] < 0.02 * .n' --argjson least "$least"

# One thread whose waits are short: each is looked at while it lasts, also where only /proc tells why.
stax record -- "$STAX_WORKLOADS/sleepers" --threads 1 --rounds 40 --ms 30 >"$TMP/truth.json" 2>"$TMP/err" || fail "record" "$(cat "$TMP/err")"
stax sql --json "SELECT count(*), total(reason_from NOT IN ('earlier', 'none') AND stack_from IN ('switch', 'parked'))
    FROM thread_state WHERE state = 'blocked' AND dur > 27000000 AND dur < 60000000" >"$TMP/sql.json"
jq -s '{n: .[0].n_waits, row: .[1].data.rows[0]}' "$TMP"/{truth,sql}.json >"$TMP/all.json"
check_json "waits of 30 ms are looked at" "$TMP/all.json" '.n == 80 and .row[0] >= 0.9 * .n and .row[1] >= 0.95 * .row[0]'
finish
