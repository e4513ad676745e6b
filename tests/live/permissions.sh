#!/usr/bin/env bash
# What the host withholds is said, with the command that would unlock it; locked memory runs short.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
level=$(cat /proc/sys/kernel/perf_event_paranoid)

# A host that forbids perf events: which setting there is, and what would help.
server_start "$STAX_WORKLOADS/deny_perf"
none=(--daemon-socket "")
check_status "perf forbidden: the host's setting and its value" 5 "kernel.perf_event_paranoid is $level" -- stax record "${none[@]}" -- true
check_status "perf forbidden: what would help" 5 'seccomp.*perf_event_open' -- stax record "${none[@]}" -- true
check_json "perf forbidden: diagnose host says so" <(stax diagnose host "${none[@]}" --json) \
    '[.data.abilities[] | select(.name == "recording" and (.is_available | not) and (.reason | test("forbids")))] +
     [.data.checks[] | select((.name == "perf_event_open" or .name == "seccomp") and (.is_ok | not) and .unlock != "")] | length == 3'
if [[ $STAX_DAEMON_SOCKET ]]; then
    stax record -- dd if=/dev/zero of=/dev/null bs=4M count=3000 2>"$TMP/err" || fail "perf forbidden, but for staxd" "$(cat "$TMP/err")"
    check_json "perf forbidden, but for staxd: recorded all the same" <(stax top --json) \
        'any(.data.functions[]; .binary == "[kernel]" and .self_pct > 50) and .quality.n_lost == 0'
fi
kill -TERM "$last_pid"
wait_for 5 gone "$last_pid"

# The kernel's part: dd from /dev/zero spends its time in the kernel.
stax record -- dd if=/dev/zero of=/dev/null bs=4M count=3000 2>/dev/null
stax diagnose --json >"$TMP/diagnose.json"
ability='.data.abilities[] | select(.name == "kernel_stacks")'
check_json "diagnose host finds the same as the run" <(stax diagnose host --json) \
    '[.data.abilities, $run[0].data.abilities | map({(.name): .is_available}) | add] | .[0] == .[1]' --slurpfile run "$TMP/diagnose.json"
if sees_kernel; then
    check_json "kernel stacks are available" "$TMP/diagnose.json" "$ability | .is_available"
    check_json "kernel functions have names" <(stax top --json) \
        'any(.data.functions[]; .binary == "[kernel]" and .kind == "function")'
    check_json "kernel frames stand below the user's in flame" <(stax flame --json -d 100) \
        '[.data.roots[] | recurse(.children[]) | select(.binary == "[kernel]")] | length > 0'
    check_status "nothing is missing" 0 -- test "$(stax diagnose host | grep -c '^  kernel_stacks *yes')" = 1
    stax record --no-kernel -- dd if=/dev/zero of=/dev/null bs=4M count=3000 2>"$TMP/err"
    check "--no-kernel is not reported as missing" test "$(grep -c 'missing.*kernel stacks' "$TMP/err")" = 0
    check_json "--no-kernel: its time stands at user code" <(stax top --json -n 1000) \
        'all(.data.functions[]; .binary != "[kernel]" or .total_pct < 5) and
         ([.data.functions[] | select(.binary | test("libc|dd$")).self_pct] | add) > 80'
    check_json "--no-kernel: turned off, as the run says" <(stax diagnose --json) \
        "$ability | (.is_available | not) and (.reason | test(\"^turned off\"))"
    stax record --no-kernel -- sleep 0.5 2>"$TMP/err"
    path=$(stax sql --path)
    check "--no-kernel: waits have the user's part of their stacks, and exact reasons" test "sleep|kernel_stack|switch|1" = "$(
        sqlite3 -readonly "$path" "SELECT reason, reason_from, stack_from, (
            WITH RECURSIVE up(id) AS (SELECT t.callsite UNION SELECT parent FROM up JOIN callsite USING (id) WHERE parent)
            SELECT count(*) FROM up JOIN callsite USING (id) JOIN frame ON frame.id = frame
              JOIN binary b ON b.id = frame.binary WHERE b.kind IN ('kernel', 'module')) = 0
            FROM thread_state t WHERE dur > 400000000")"
else
    check_json "diagnose host names the setting and the ways out" <(stax diagnose host --json) \
        '.data.checks[] | select(.name == "kernel.perf_event_paranoid") |
         (.is_ok | not) and (.unlock | test("stax setup.*sysctl"))'
    check_json "kernel stacks: why not, and what would unlock them" "$TMP/diagnose.json" \
        "$ability | (.is_available | not) and (.reason | test(\"perf_event_paranoid\")) and (.unlock | test(\"sysctl\"))"
    check_status "the view says so" 0 'kernel' -- stax top
fi

# Without tracefs the answer is what is missing, not whose it is; also where no staxd answers.
without_tracefs='umount -l /sys/kernel/tracing /sys/kernel/debug/tracing /sys/kernel/debug 2>/dev/null
    [ ! -e /sys/kernel/tracing/events ] && [ ! -e /sys/kernel/debug/tracing/events ] && exec "$@"'
kill -TERM "$(server_pid)" && wait_for 5 gone "$(server_pid)"
if is_root && unshare -m sh -c "$without_tracefs" sh true 2>/dev/null; then
    server_start unshare -m sh -c "$without_tracefs" sh
    wakeups='.data.abilities[] | select(.name == "wakeups") | (.is_available | not) and
        (.reason | test("tracefs is not mounted")) and (.unlock | test("mount -t tracefs"))'
    for socket in "" "$TMP/no/staxd.sock"; do
        stax record --daemon-socket "$socket" -- sleep 0.2 2>/dev/null
        check_json "no tracefs, staxd at '${socket#"$TMP"}': the run says so" <(stax diagnose --json) "$wakeups"
        check_json "... as does diagnose host" <(stax diagnose host --daemon-socket "$socket" --json) "$wakeups"
        check_status "... and wakers" 0 'tracefs is not mounted' -- stax wakers
    done
    kill -TERM "$(server_pid)" && wait_for 5 gone "$(server_pid)"
    server_start
else
    skip "no tracefs" "hiding it needs root and a mount namespace"
fi

# A program that its user may run but not read: the kernel ends its events at the exec.
mkdir -m 755 "$TMP/open"
cp "$STAX_WORKLOADS/cpu_shares" "$TMP/open/closed" && chmod 111 "$TMP/open/closed"
as=()
is_root && as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
cd "$TMP/open" || exit 1
closed_ms="SELECT ifnull(max(unknown_ms), 0) FROM v_ledger WHERE name = 'closed'"
for target in "./closed --threads 1 --seconds 1" "./closed --threads 1 --seconds 1; exit 0"; do
    stax record -- "${as[@]}" sh -c "$target" 2>"$TMP/err"
    path=$(stax sql --path)
    check "closed program (${target#./closed --threads 1 }): said in one line, with the way out" \
        test "$(grep -c '1 process was not recorded from an exec on.*sudo stax record' "$TMP/err")" = 1
    check "... and not that nothing is missing" test "$(grep -c 'none lost\|used no CPU' "$TMP/err")" = 0
    check "... stored as a loss" test "not_dumpable|1" = "$(sqlite3 -readonly "$path" "SELECT kind, sum(n) FROM loss GROUP BY 1")"
    check_status "... its time is unknown, not over" 0 '^1$' -- \
        sqlite3 -readonly "$path" "SELECT ($closed_ms) BETWEEN 800 AND 1900"
done
# One that ends soon is not taken for one that runs on, nor is any that may be read.
stax record -- sh -c 'i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i + 1)); done' 2>"$TMP/err"
check "programs that end soon are not taken for it" test "$(sqlite3 -readonly "$(stax sql --path)" "SELECT count(*) FROM loss WHERE kind = 'not_dumpable'")" = 0
cd "$here" || exit 1

# Locked memory: two servers of one user share the kernel's allowance; the second has to do with less.
if is_root; then
    skip "locked memory runs short" "root is not limited"
    finish
fi
start "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 30 >/dev/null
target=$last_pid
start stax record --pid "$target" >/dev/null 2>&1
wait_for 10 has_samples 50
mkdir -m 700 "$TMP/run2"
second() {
    env XDG_RUNTIME_DIR="$TMP/run2" STAX_DATA_DIR="$TMP/data2" "$@"
}
second_active() {
    [[ $(second stax diagnose --json 2>/dev/null | jq '.data.capture.n_samples > 0') == true ]]
}
for limit in 600 64; do
    start second prlimit --memlock=$((limit * 1024)):$((limit * 1024)) stax-server >"$TMP/server2.log" 2>&1
    wait_for 5 second stax status >/dev/null 2>&1
    server2=$(second stax status --json | jq -r '.data.server.pid // empty')
    if ((limit == 600)); then
        start second stax record --pid "$target" >/dev/null 2>&1
        record2=$last_pid
        check "600 KiB left: it records" wait_for 10 second_active
        check_json "600 KiB left: rings were halved" <(second stax diagnose --json) \
            '.data.capture.ring_bytes | . < 524288 and . >= 32768'
        second stax stop >/dev/null
        wait_for 5 gone "$record2"
        check_status "600 KiB left: samples all the same" 0 burn_alpha -- second stax top
    else
        check_status "64 KiB left: an error with the way out" 1 'perf_event_mlock_kb' -- second stax record -l 1 --pid "$target"
    fi
    [[ $server2 ]] && kill -TERM "$server2" && wait_for 5 gone "$server2"
done
kill -KILL "$target"
finish
