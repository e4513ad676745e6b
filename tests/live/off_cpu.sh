#!/usr/bin/env bash
# Where wall time goes, thread by thread, against what the program measured of itself; that every
# ledger closes; and that all places tell the same sums.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
# Records a program whose threads know what they waited for; what they say and what was recorded of
# each goes into $TMP/both.json. Time whose reason is a guess is marked, and counted here; waits that
# were summed up have no mark. Where no function tells what a futex is, the guess must be right.
record_waits() {
    local status=0 ticks guesses="'earlier', 'none'"
    [[ $1 == waits_futex || $1 == waits_musl ]] || guesses+=", 'futex'"
    ticks=$(stolen_ticks)
    stax record -- "$STAX_WORKLOADS/$1" >"$TMP/truth.json" 2>"$TMP/record.err" || status=$?
    ticks=$(($(stolen_ticks) - ticks))
    stolen_ns=$(((ticks + ($(stolen_ticks) > 0)) * 1000000000 / $(getconf CLK_TCK)))
    if ((status != 0)); then
        fail "$1: record exits with the target's status" "status $status" "$(cat "$TMP/record.err")"
        finish
    fi
    path=$(stax sql --path)
    db "SELECT json_group_array(json_object('name', t.name, 'tid', t.tid, 'on_cpu_ns', s.on_cpu_ns,
            'unknown_ns', s.unknown_ns, 'n_switches', s.n_switches, 'guessed_ns', (
                SELECT ifnull(sum(dur), 0) FROM thread_state g WHERE g.utid = t.utid AND state = 'blocked'
                   AND reason_from IN ($guesses)),
            'kernel_lock_ns', (
                SELECT ifnull(sum(dur), 0) FROM thread_state g WHERE g.utid = t.utid AND reason = 'lock'
                   AND reason_from IN ('kernel_stack', 'wchan')),
            'folded_ns', (SELECT ifnull(sum(dur), 0) FROM folded_state g WHERE g.utid = t.utid AND state = 'blocked'),
            'reasons', json_object('idle', s.idle_ns, 'lock', s.lock_ns,
            'sem', s.sem_ns, 'ipc', s.ipc_ns, 'ioR', s.io_r_ns, 'ioW', s.io_w_ns, 'ready', s.ready_ns,
            'sleep', s.sleep_ns, 'conn', s.conn_ns, 'other', s.other_ns)))
        FROM thread t JOIN thread_sum s USING (utid)" >"$TMP/sums.json"
    jq --slurpfile truth "$TMP/truth.json" '[.[] as $got | $truth[0].threads[] | select(.tid == $got.tid) |
        {name, truth: ., got: $got, lock_ns: (.barrier_ns + if .reason == "lock" then .wait_ns else 0 end)}]' \
        "$TMP/sums.json" >"$TMP/both.json"
}
# What a hypervisor took of all CPUs so far. The kernel takes it out of a thread's CPU time; between two
# records of a switch it cannot be told from the thread's own. It is known to a tick.
stolen_ticks() {
    awk '/^cpu /{print $9}' /proc/stat
}
# A wait without a stack of its own (only /proc says why a thread waits, and it is over before it could be
# looked at; or a busy host kept us from the ring) stays a guess, and says so: it may count wrongly, no more
# than that may.
is_exact=0
! sees_kernel || is_exact=1

# tell LABEL: one check a thread, so that a failure names what was not recognised. Waits for the helper at
# a barrier are waits for a lock, and so are those for a lock of the kernel (a new thread's first pages, while
# a preempted one maps its own), which are no futexes. In all of them the thread may wait for a CPU, which is no wait: the
# kernel's count of that (with the time from wake-up to CPU) bounds it. CPU time: the kernel counts what it
# spends on events at a switch for the thread that goes on; the record of the switch comes after that. That
# is most where an idle CPU goes on with a thread each time, as those of the disk do (docs/truth.md).
tell() {
    local label=$1 name
    for name in $(jq -r '.threads[] | select(.skip).name' "$TMP/truth.json"); do
        skip "$label$name" "$(jq -r --arg name "$name" '.threads[] | select(.name == $name).skip' "$TMP/truth.json")"
    done
    for name in $(jq -r '.threads[] | select(.skip | not).name' "$TMP/truth.json"); do
        jq --arg name "$name" --argjson exact "$is_exact" '.[] | select(.name == $name) |
            .want = (if .truth.reason == "lock" then .lock_ns else .truth.wait_ns end) |
            # What its CPU time is short of, which the check of that bounds, is in its waits.
            .near = ([0.03 * .want, 20e6] | max) + ([.truth.cpu_ns - .got.on_cpu_ns, 0] | max) + .got.guessed_ns + (if $exact == 1 then 0 else .got.folded_ns end)
            ' "$TMP/both.json" >"$TMP/one.json"
        check_json "$label$name: on-CPU time within 2 %" "$TMP/one.json" \
            '.got.on_cpu_ns <= 1.02 * .truth.cpu_ns + $stolen_ns and
             .got.on_cpu_ns >= .truth.cpu_ns - ([0.02 * .truth.cpu_ns, $switch_ns * .got.n_switches] | max)' \
            --argjson switch_ns "$([[ $name == m-read || $name == m-fsync || $name == m-fault ]] && echo 40000 || echo 20000)" \
            --argjson stolen_ns "$stolen_ns"
        check_json "$label$name: its reason within 3 % or 20 ms" "$TMP/one.json" \
            '.got.reasons[.truth.reason] as $got | $got <= .want + .near and $got >= .want - .truth.delay_ns - .near'
        check_json "$label$name: no other reason has 20 ms of it" "$TMP/one.json" \
            '.truth.reason as $reason | ([.got.reasons | to_entries[] | select(.key != $reason and .key != "lock").value] | add) <= .near
             and ($reason == "lock" or .got.reasons.lock - .got.kernel_lock_ns <= .lock_ns + .near)'
    done
    check_json "${label}no time is unknown" "$TMP/sums.json" 'all(.[]; .unknown_ns == 0)'
    check_json "${label}little of the waiting is guessed" "$TMP/sums.json" \
        '([.[].guessed_ns] | add) <= $part * ([.[].reasons[]] | add)' --argjson part "$( ((is_exact)) && echo 0.1 || echo 0.25)"
}

for program in waits_more waits_futex; do
    record_waits "$program"
    tell ""
done
# Another program keeps all CPUs busy meanwhile.
start "$STAX_WORKLOADS/cpu_shares" --threads "$(nproc)" --seconds 60 >/dev/null
busy=$last_pid
record_waits waits
kill -KILL "$busy"
tell "beside a busy program: "
# A program whose libc has no unwind tables: its stacks end in the wait. What arguments and memory do not
# tell apart is in docs/off-cpu.md: rwlocks from semaphores; a join is known while it is looked at. Its
# fork waits for a lock that pthread_create holds.
if [[ -x $STAX_WORKLOADS/waits_musl ]]; then
    record_waits waits_musl
    jq '[.[] | if .name == "w-rwlock" then .got.reasons.lock += .got.reasons.sem | .got.reasons.sem = 0
               elif .name == "w-child" then .got.reasons.lock = 0
               elif .name == "w-join" then .got.reasons.ipc += .got.reasons.lock + .got.reasons.sem | .got.reasons.lock = 0 | .got.reasons.sem = 0 else . end]' "$TMP/both.json" >"$TMP/musl.json"
    mv "$TMP/musl.json" "$TMP/both.json"
    tell "musl: "
else
    skip "musl" "no musl-gcc here"
fi
# What the functions of Rust's std say, whatever a host records: each waits once, long enough to be looked at.
if [[ -x $STAX_WORKLOADS/waits_rust ]]; then
    stax record -- "$STAX_WORKLOADS/waits_rust" >"$TMP/truth.json" 2>"$TMP/record.err" || fail "record" "$(cat "$TMP/record.err")"
    stax threads -n 0 --json | jq --slurpfile truth "$TMP/truth.json" '[.data.threads[] as $got | $truth[0].threads[] |
        select(.tid == $got.tid) | {name, reason, wait_ns, reasons: $got.reasons, guessed_ns: $got.guessed_ns}]' >"$TMP/both.json"
    for name in $(jq -r '.threads[].name' "$TMP/truth.json"); do
        check_json "Rust: $name" "$TMP/both.json" 'any(.[]; .name == $name and .guessed_ns < 20e6 and
            (.reasons[.reason + "_ns"] - .wait_ns | fabs) < 30e6)' --arg name "$name"
    done
else
    skip "Rust" "no rustc here"
fi
# Functions that are inlined everywhere say it once debug information was read; until then it is a guess, and says so.
stax record -- "$STAX_WORKLOADS/inlined_waits" >"$TMP/truth.json" 2>"$TMP/record.err" || fail "record" "$(cat "$TMP/record.err")"
stax sql --json "SELECT total(dur) FILTER (WHERE reason = 'sem' AND reason_from = 'user_function'),
    total(dur) FILTER (WHERE reason <> 'sem' AND reason_from NOT IN ('futex', 'earlier', 'none')), total(dur)
    FROM thread_state WHERE state = 'blocked' AND dur > 20000000" >"$TMP/sql.json"
check_json "inlined: a semaphore, or a guess" "$TMP/sql.json" '.data.rows[0] as $r | $r[2] > 2.5e9 and $r[0] > 0.3 * $r[2] and $r[1] == 0'
record_waits waits
tell ""

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
        SELECT total(stack_from NOT IN ('switch', 'parked')) <= 0.05 * count(*) + (
               SELECT total(n) FROM loss WHERE kind IN ('stacks', 'ring_full')) FROM thread_state
         WHERE state = 'blocked' AND dur >= 10000000")"
    check "... mostly as the thread left its CPU" test 1 = "$(db "
        SELECT sum(stack_from = 'switch') > 0.5 * count(*) FROM thread_state
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

# Stopped, it does not sleep; continued, its sleep goes on as another system call.
stax record -p "$target" -l 2 >/dev/null 2>"$TMP/err" &
record=$!
is_recorded() {
    [[ $(stax status --json 2>/dev/null | jq .data.active.pid) == "$target" ]]
}
wait_for 10 is_recorded
sleep 0.5
kill -STOP "$target"
sleep 0.5
kill -CONT "$target"
wait "$record" || fail "record --pid" "$(cat "$TMP/err")"
path=$(stax sql --path)
check "a stopped thread waits for nothing of its own, and sleeps on after it" test "1|1|1" = "$(db "
    SELECT other_ns BETWEEN 300000000 AND 900000000, abs(sleep_ns + other_ns - (end_ts - start_ts)) < 50000000,
           (SELECT count(*) FROM thread_state WHERE reason_from IN ('earlier', 'none') AND dur > 20000000) = 0
      FROM thread_sum, run")"
finish
