#!/usr/bin/env bash
# Who wakes whom: a chain of three threads in known counts, alone, beside another program, and beside a
# storm of wakeups in the target itself; and what is said where the host gives no wakeups.
# shellcheck source-path=SCRIPTDIR source=lib.sh
if ((EUID == 0)) && [[ ! ${WAKERS_INSIDE:-} && ! -e /sys/kernel/tracing/events ]] && unshare -m true 2>/dev/null; then
    # tracefs is mounted for this test alone; where that is forbidden the first part goes without.
    WAKERS_INSIDE=1 exec unshare -m -- bash -c 'mount -t tracefs nodev /sys/kernel/tracing; exec "$0"' "$0"
fi
. "$(dirname "$0")/lib.sh"
need_perf

db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
# Records the chain with these arguments; its truth and what was recorded of each link.
record_chain() {
    if ! stax record -- "$STAX_WORKLOADS/wake_chain" "$@" >"$TMP/truth.json" 2>"$TMP/err"; then
        fail "record wake_chain $*" "$(cat "$TMP/err")"
        finish
    fi
    path=$(stax sql --path)
    db "SELECT json_group_array(json_object('tid', w.tid, 'name', w.name, 'waker', s.waker, 'waker_tid', k.tid,
            'waker_name', k.name, 'n_wakeups', s.n, 'blocked_ns', s.ns))
          FROM (SELECT waker, waker_utid, utid, sum(n_wakeups) AS n, sum(blocked_ns) AS ns FROM waker_sum GROUP BY 1, 2, 3) s
          JOIN thread w USING (utid) LEFT JOIN thread k ON k.utid = s.waker_utid" >"$TMP/wakers.json"
    jq --slurpfile truth "$TMP/truth.json" '{wakers: ., truth: $truth[0]}' "$TMP/wakers.json" >"$TMP/both.json"
}
# named LABEL SHARE: b and c are woken by nobody but their wakers, and so often. A wakeup may come before
# the thread has left its CPU: it then ends no wait.
named() {
    local label=$1 share=$2 name
    for name in chain-b chain-c; do
        check_json "$label: $name is woken by none but its waker" "$TMP/both.json" \
            '(.truth.threads[] | select(.name == $name)) as $t |
             [.wakers[] | select(.tid == $t.tid and .waker == "thread") | .waker_tid] == [$t.waker_tid]' --arg name "$name"
        check_json "$label: $name is woken as often as it blocked" "$TMP/both.json" \
            '(.truth.threads[] | select(.name == $name)) as $t |
             ([.wakers[] | select(.tid == $t.tid and .waker_tid == $t.waker_tid) | .n_wakeups] | add // 0) as $n |
             $n <= $t.n_blocked + 1 and $n >= $share * $t.n_blocked - 2' --arg name "$name" --argjson share "$share"
    done
}
# Where the wakers were, from their roots on; a stack that does not come there says so.
stacks_reach_roots() {
    db "WITH RECURSIVE up(id, callsite, name) AS (
            SELECT w.id, w.waker_callsite, NULL FROM wakeup w JOIN thread t USING (utid)
             WHERE w.waker = 'thread' AND w.waker_callsite > 0 AND t.name IN ('chain-b', 'chain-c')
            UNION ALL SELECT up.id, c.parent, s.name FROM up JOIN callsite c ON c.id = up.callsite
              JOIN frame f ON f.id = c.frame JOIN symbol s ON s.id = f.symbol)
        SELECT json_group_array(json_object('is_own', is_own, 'has_root', has_root, 'is_cut', is_cut)) FROM (
            SELECT max(name IN ('wake_b', 'wake_c')) AS is_own, max(name LIKE '%clone%') AS has_root,
                   max(name = '[truncated stack]') AS is_cut
              FROM up WHERE name IS NOT NULL GROUP BY id)" >"$TMP/stacks.json"
    check_json "a waker's stack reaches its root or is marked" "$TMP/stacks.json" \
        'length > 100 and all(.[]; .has_root == 1 or .is_cut == 1)'
    ! is_root || check_json "a waker's stack has the program's own functions" "$TMP/stacks.json" \
        '([.[] | select(.is_own == 1 and .is_cut == 0)] | length) > 0.95 * length'
}
ledger_closes() {
    check "$1: every ledger closes, and nothing is unknown" test "0|0" = "$(db "
        SELECT count(*) FILTER (WHERE abs(ifnull(t.end_ts, r.end_ts) - t.start_ts - s.on_cpu_ns - runnable_ns - unknown_ns
                   - idle_ns - lock_ns - sem_ns - ipc_ns - io_r_ns - io_w_ns - ready_ns - sleep_ns - conn_ns - other_ns) > 1),
               count(*) FILTER (WHERE unknown_ns > 0 AND r.n_lost = 0)
          FROM thread t JOIN thread_sum s USING (utid), run r")"
    check "$1: a wakeup ends the wait it is of" test 0 = "$(db '
        SELECT count(*) FROM wakeup w LEFT JOIN thread_state t
            ON t.utid = w.utid AND t.ts + t.dur = w.ts AND t.dur = w.dur AND t.waker = w.waker WHERE t.id IS NULL')"
}

record_chain --rounds 200 --period-ms 5
if [[ $(db "SELECT is_available FROM ability WHERE name = 'wakeups'") != 1 ]]; then
    check "why there are no wakers is said, and what would help" test 1 = "$(db "
        SELECT reason <> '' AND unlock <> '' FROM ability WHERE name = 'wakeups'")"
    check_json "stax wakers says it too" <(stax wakers --json 2>/dev/null) \
        '.data.wakers == [] and (.warnings | any(test("no wakers: .*to record it: ")))'
    check_json "waits flow without" <(stax waits --json) '.data.n_waits > 100 and all(.data.waits[]; .waker == null)'
    ledger_closes "without wakeups"
    if [[ ${STAX_DAEMON_HAS_TRACEFS:-} ]]; then
        fail "a staxd that sees tracefs gives wakeups" "$(db "SELECT reason FROM ability WHERE name = 'wakeups'")"
    elif is_root || [[ $STAX_DAEMON_SOCKET ]]; then
        skip "wakers" "$(db "SELECT reason FROM ability WHERE name = 'wakeups'")"
    fi
    finish
fi

named "alone" 0.9
stacks_reach_roots
ledger_closes "alone"
check_json "alone: the waiting time of c has its waker" "$TMP/both.json" \
    '(.truth.threads[] | select(.name == "chain-c")) as $t | ([.wakers[] | select(.tid == $t.tid) | .blocked_ns] | add) as $ns |
     $ns <= 1.03 * $t.off_cpu_ns + 20e6 and $ns >= 0.85 * $t.off_cpu_ns - 20e6'
tid_c=$(jq '.threads[] | select(.name == "chain-c").tid' "$TMP/truth.json")
stax wakers --tid "$tid_c" --json >"$TMP/view.json"
check_json "stax wakers --tid: who, how often, and where" "$TMP/view.json" \
    '.data.wakers[0] | .waker == "thread" and .waker_thread == "chain-b" and .thread == "chain-c" and .n_wakeups > 100
     and any(.stacks[].stack[]; . == "run_b")'
check_json "stax wakers: only that thread" "$TMP/view.json" 'all(.data.wakers[]; .thread == "chain-c") and .data.off_cpu_ns > 0'
check_json "a range has a part of it" <(stax wakers --tid "$tid_c" --from 0.3 --to 0.6 --json) \
    '.data.n_wakeups > 10 and .data.n_wakeups < 100 and .data.blocked_ns <= .data.off_cpu_ns + 10e6'
check_json "the waker is on the wait" <(stax waits --tid "$tid_c" -n 50 --json) \
    '[.data.waits[] | select(.waker == "thread" and .waker_thread == "chain-b" and .waker_function != null)] | length >= 40'
check_json "the chain leads from c to b to a" <(stax wakers --chain --tid "$tid_c" --json) \
    '.data.chain | length >= 2 and .[0].thread == "chain-c" and .[0].waker_thread == "chain-b"
     and .[1].thread == "chain-b" and .[1].waker_thread == "chain-a"'
stax save "$TMP/a.stax" >/dev/null
check_json "an archive says the same" <(stax wakers --run "$TMP/a.stax" --tid "$tid_c" --json) \
    ".data == $(jq -c .data "$TMP/view.json")"
check "a woken thread waits for its CPU, not for its waker" test 1 = "$(db "
    SELECT sum(runnable_ns) > 0 FROM thread_sum JOIN thread USING (utid) WHERE name IN ('chain-b', 'chain-c')")"

# Another program keeps all CPUs busy.
start "$STAX_WORKLOADS/cpu_shares" --threads "$(nproc)" --seconds 30 >/dev/null
busy=$last_pid
record_chain --rounds 100 --period-ms 5
kill -KILL "$busy"
named "beside a busy program" 0.8
ledger_closes "beside a busy program"

# A storm: wakeups are then recorded in part, and what is recorded is right all the same.
record_chain --rounds 150 --period-ms 20 --storm 2
check_json "storm: it was one" "$TMP/both.json" '.truth.n_storm > 2000'
for name in chain-b chain-c; do
    check_json "storm: nobody else wakes $name" "$TMP/both.json" \
        '(.truth.threads[] | select(.name == $name)) as $t |
         [.wakers[] | select(.tid == $t.tid and .waker == "thread" and .waker_tid != $t.waker_tid)] == []' --arg name "$name"
done
check_json "storm: a storm thread wakes its own partner alone" "$TMP/both.json" \
    '[.wakers[] | select(.waker == "thread" and (.name | startswith("storm")) and .waker_name != .name)] == []'
ledger_closes "storm"
# Through staxd nobody may watch whole CPUs. It takes a moment to see whom to watch.
if is_root; then
    check_json "storm: long waits have their waker all the same" <(db "
        SELECT json_group_array(json_object('name', t.name, 'n', n, 'n_woken', n_woken)) FROM (
            SELECT utid, count(*) AS n, sum(waker_utid IS NOT NULL) AS n_woken FROM thread_state
             WHERE state = 'blocked' AND dur > 15000000 AND ts > (SELECT start_ts + 1000000000 FROM run) GROUP BY 1) JOIN thread t USING (utid)
         WHERE t.name IN ('chain-b', 'chain-c')") 'length == 2 and all(.n >= 30 and .n_woken >= 0.6 * .n)'
fi
check_json "storm: the view says how much of the waiting has a waker" <(stax wakers --json) \
    '.data.n_wakeups > 0 and .data.blocked_ns <= .data.off_cpu_ns'

# What is outside of the target: timers, the end of a thread, another program.
if is_root; then
    record_chain --rounds 100 --period-ms 10
    # Few tracepoints come from CPUs that idle (docs/off-cpu.md): the others are told as lost.
    check "a timer is an interrupt, and no thread" test "1|0" = "$(db "
        SELECT sum(n_wakeups) FILTER (WHERE waker = 'interrupt') >= 1 AND sum(n_wakeups) FILTER (WHERE waker = 'interrupt')
                   + (SELECT ifnull(sum(n), 0) FROM loss WHERE kind = 'wakeups') >= 80, count(*) FILTER (WHERE waker <> 'interrupt')
          FROM waker_sum JOIN thread USING (utid) WHERE name = 'chain-a'")"
    check "the end of a thread wakes who joins it" test 1 = "$(db "
        SELECT count(*) >= 1 FROM v_waits WHERE thread = 'wake_chain' AND dur_ms > 500 AND waker_thread = 'chain-a'")"
    mkfifo "$TMP/fifo"
    start stax record -- cat "$TMP/fifo" >/dev/null 2>"$TMP/err"
    record=$last_pid
    {
        # This shell writes by itself: its pid is that of the waker.
        for ((i = 0; i < 40; i++)); do
            sleep 0.02
            echo tick
        done
    } >"$TMP/fifo"
    wait_for 10 gone "$record"
    path=$(stax sql --path)
    check "another program is outside, and named by its id" test "1|0" = "$(db "
        SELECT sum(waker = 'outside' AND waker_tid = $$) >= 20, sum(waker = 'thread') FROM wakeup")"
fi
finish
