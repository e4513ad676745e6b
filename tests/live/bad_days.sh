#!/usr/bin/env bash
# Bad days of a host: names of the kernel and tracefs withheld, Yama, rings that run over, a binary so
# large that its unwind table takes long.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$(stax sql --path)" "$1"
}
server_end() {
    local pid
    pid=$(server_pid)
    kill -TERM "$pid"
    wait_for 10 gone "$pid" || fail "the server ends" "$(tail -5 "$TMP/server.log")"
}
# ability NAME: how the last run says it is.
ability() {
    db "SELECT is_available || '|' || ifnull(reason, '') || '|' || ifnull(unlock, '') FROM ability WHERE name = '$1'"
}

# ---- kptr_restrict 2, and no tracefs: in a mount namespace of the server's own ----
if ! is_root || ! unshare -m true 2>/dev/null; then
    skip "kptr_restrict 2, and no tracefs" "this user cannot hide files from a server"
else
    head -5000 /proc/kallsyms | sed -E 's/^[0-9a-f]+/0000000000000000/' >"$TMP/kallsyms"
    echo 2 >"$TMP/kptr_restrict"
    # shellcheck disable=SC2016
    server_start unshare -m -- sh -c '
        mount --bind "$0/kallsyms" /proc/kallsyms && mount --bind "$0/kptr_restrict" /proc/sys/kernel/kptr_restrict || exit 1
        for folder in /sys/kernel/tracing /sys/kernel/debug; do
            [ ! -d $folder ] || mount -t tmpfs none $folder || exit 1
        done
        exec "$@"' "$TMP"
    stax record -- sh -c 'dd if=/dev/zero of=/dev/null bs=4M count=2000; sleep 0.5' 2>"$TMP/err" ||
        fail "record without names of the kernel" "$(cat "$TMP/err")"
    check "kptr_restrict 2: why the kernel has no names, and what would help" test "$(ability kernel_names)" = \
        "0|kernel.kptr_restrict is 2: the kernel's functions have no names, and reasons of waits are found without them|sudo sysctl kernel.kptr_restrict=1"
    check "... its time is told all the same, under no function's name" test "1|0" = "$(db "
        SELECT sum(s.self_on_cpu_ns) > 100000000, count(*) FILTER (WHERE y.kind = 'function')
          FROM symbol_sum s JOIN symbol y ON y.id = s.symbol JOIN binary b ON b.id = y.binary WHERE b.kind IN ('kernel', 'module')")"
    check "... and a long wait has its reason" test "sleep" = "$(db "
        SELECT DISTINCT reason FROM thread_state JOIN thread USING (utid) WHERE dur > 490000000 AND name = 'sleep'")"
    check "no tracefs: why no wakers are known, and what would help" test "$(ability wakeups)" = \
        "0|tracefs is not mounted: who ended a wait is not known|sudo mount -t tracefs nodev /sys/kernel/tracing"
    server_end
fi

# ---- Yama ----
server_start "$STAX_WORKLOADS/yama" 1
start "$STAX_WORKLOADS/waits" --rounds 12 >"$TMP/truth.json"
if ! stax record --pid "$last_pid" 2>"$TMP/err"; then
    fail "record where Yama forbids to look into a process" "$(cat "$TMP/err")"
fi
check "Yama: why waiting threads are not looked into, and what would help" test "$(ability parked_stacks)" = \
    "0|kernel.yama.ptrace_scope is 1: the memory of processes that stax did not start may not be read|sudo sysctl kernel.yama.ptrace_scope=0, or let stax record start the program"
# Every file that the server opens goes through another program here, so records may be lost meanwhile.
check "... every ledger closes" test 0 = "$(db "
    SELECT count(*) FROM run r, thread t JOIN thread_sum s USING (utid)
     WHERE abs(ifnull(t.end_ts, r.end_ts) - t.start_ts - s.on_cpu_ns - runnable_ns - unknown_ns
               - idle_ns - lock_ns - sem_ns - ipc_ns - io_r_ns - io_w_ns - ready_ns - sleep_ns - conn_ns - other_ns) > 1")"
# Without stacks of the kernel what is left is a function's name in wchan, if the wait lasts until it is asked for.
check "... a sleep is known for one, or not known, but for nothing else" test 1 = "$(db "
    WITH known AS (
        SELECT utid, reason, sum(dur * (reason_from IN ('earlier', 'futex', 'none'))) AS guessed_ns,
               -- of a millisecond or more: page faults may wait for the memory's lock, too
               sum(dur * (reason_from NOT IN ('earlier', 'futex', 'none') AND dur >= 1000000)) AS known_ns
          FROM thread_state WHERE state = 'blocked' GROUP BY utid, reason)
    SELECT sleep_ns + other_ns + unknown_ns + (SELECT ifnull(sum(guessed_ns), 0) FROM known k
                WHERE k.utid = t.utid AND reason NOT IN ('sleep', 'other')) > 400000000
           AND NOT EXISTS (SELECT 1 FROM known k WHERE k.utid = t.utid AND known_ns > 0
                              AND reason IN ('sem', 'ipc', 'ioR', 'ioW', 'conn', 'lock', 'ready'))
      FROM thread t JOIN thread_sum USING (utid) WHERE name LIKE '%sleep%' LIMIT 1")"
server_end

# ---- rings that run over ----
# One thread that is never off its CPU for long, so that nearly all records are its samples: what was
# lost and what was recorded are together what its CPU time makes.
start stax record -F 10000 -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 6 >"$TMP/truth.json" 2>"$TMP/err"
wait_for 10 has_samples 500
server=$(server_pid)
target=$(stax status --json | jq '.data.active.pid')
kill -STOP "$server"
sleep 3
kill -CONT "$server"
# Two records are a switch, off the CPU and on: how many there were until shortly before the end.
n_switches=0
while n=$(awk '/ctxt_switches/ { n += $2 } END { print n }' "/proc/$target/task/"*/status 2>/dev/null) && ((n > 0)); do
    n_switches=$n
    sleep 0.1
done
wait "$last_pid"
check "rings that ran over: what was lost is stored, with its time and CPU, and sums up" test "1|0|1|1" = "$(db "
    SELECT sum(n) > 100, count(*) FILTER (WHERE l.ts NOT BETWEEN r.start_ts AND r.end_ts), count(cpu) > 0, sum(n) = max(r.n_lost)
      FROM loss l, run r WHERE l.kind = 'ring_full'")"
jq --argjson n "$(db "SELECT json_object('samples', n_samples, 'lost', n_lost) FROM run")" --argjson switches "$n_switches" \
    '{expected: ([.threads[].cpu_ns] | add / 100000), $n, $switches}' "$TMP/truth.json" >"$TMP/count.json"
check_json "... exactly as many as there are too few" "$TMP/count.json" \
    '(.n.samples + .n.lost) as $all | $all > .expected * 0.97 and $all < .expected * 1.03 + 2.2 * .switches + 50'
check_json "... and a view says so" <(stax top --json) '.quality.n_lost > 100'

# ---- a large binary ----
stax record -- "$STAX_WORKLOADS/large" --seconds 1.5 >/dev/null 2>"$TMP/err"
check "a binary of 120 MB: nothing is lost while its table is made" test none = "$(db "SELECT ifnull(group_concat(kind || ' ' || n), 'none') FROM loss")"
check "... and stacks are whole" test "1|1" = "$(db "
    SELECT sum(n_samples) > 500, sum(n_samples) FILTER (WHERE cause = 'root') >= 0.99 * sum(n_samples) FROM stack_end")"
check_json "... under all of their callers" <(stax flame --json -d 100) \
    '[.data.roots[] | recurse(.children[]) | select(.name == "burn_below")] | length == 11'

# ---- libraries that take each other's place ----
stax record -- "$STAX_WORKLOADS/plugins" --seconds 2 >"$TMP/truth.json" 2>"$TMP/err" || fail "record plugins" "$(cat "$TMP/err")"
check_json "libraries loaded in turns to the same addresses" "$TMP/truth.json" '.n_turns > 20 and .n_same_place > .n_turns * 0.9'
db "SELECT json_group_object(name, ns) FROM (
        SELECT y.name || '@' || b.name AS name, sum(s.self_on_cpu_ns) AS ns FROM symbol_sum s JOIN symbol y ON y.id = s.symbol
          JOIN binary b ON b.id = y.binary WHERE b.name LIKE 'plugin%' GROUP BY 1)" >"$TMP/names.json"
check_json "... each under its own names, from its first sample on" \
    <(jq --slurpfile truth "$TMP/truth.json" '{names: ., truth: $truth[0].functions}' "$TMP/names.json") \
    '(.truth | add) as $all | [.names | to_entries[] | select(.key | test("^burn_[a-z]*@plugin")) | .value] as $burnt |
     ([.names | keys[] | select(test("^burn_[a-z]*@plugin"))] | sort) == ["burn_alpha@plugin_alpha.so", "burn_omega@plugin_omega.so"] and
     (.names["burn_alpha@plugin_alpha.so"] / ($burnt | add) - .truth.burn_alpha / $all | fabs) < 0.03'
check "... and every stack comes to its root" test 1 = "$(db "
    SELECT sum(n_samples) FILTER (WHERE cause = 'root') >= 0.99 * sum(n_samples) FROM stack_end")"
finish
