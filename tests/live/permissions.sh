#!/usr/bin/env bash
# What the host withholds is said, with the command that would unlock it; locked memory runs short.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
level=$(cat /proc/sys/kernel/perf_event_paranoid)

# A host that forbids perf events: which setting there is, and what would help.
server_start "$STAX_WORKLOADS/deny_perf"
check_status "perf forbidden: the host's setting and its value" 5 "kernel.perf_event_paranoid is $level" -- stax record -- true
check_status "perf forbidden: what would help" 5 'seccomp.*perf_event_open' -- stax record -- true
kill -TERM "$last_pid"
wait_for 5 gone "$last_pid"

# The kernel's part: dd from /dev/zero spends its time in the kernel.
stax record -- dd if=/dev/zero of=/dev/null bs=4M count=3000 2>/dev/null
stax diagnose --json >"$TMP/diagnose.json"
ability='.data.abilities[] | select(.name == "kernel_stacks")'
if is_root || ((level <= 1)); then
    check_json "kernel stacks are available" "$TMP/diagnose.json" "$ability | .is_available"
    check_json "kernel functions have names" <(stax top --json) \
        'any(.data.functions[]; .binary == "[kernel]" and .kind == "function")'
    check_json "kernel frames stand below the user's in flame" <(stax flame --json -d 100) \
        '[.data.roots[] | recurse(.children[]) | select(.binary == "[kernel]")] | length > 0'
else
    check_json "kernel stacks: why not, and what would unlock them" "$TMP/diagnose.json" \
        "$ability | (.is_available | not) and (.reason | test(\"perf_event_paranoid\")) and (.unlock | test(\"sysctl\"))"
    check_status "the view says so" 0 'kernel' -- stax top
fi

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
