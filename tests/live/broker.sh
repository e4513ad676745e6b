#!/usr/bin/env bash
# Recording with a staxd that is not what it should be: gone, silent, slow, of another version, lying,
# or gone half way. Whatever it does, the run goes on with what may be opened without it, and says so.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
real=$STAX_DAEMON_SOCKET
needs_none=
sees_kernel && [[ ! $real ]] && needs_none=1
socket=$TMP/fake.sock
export STAX_DAEMON_SOCKET=$socket
fake() {
    start "$PYTHON" "$here/fake_staxd.py" "$socket" "$@" >"$TMP/fake.log" 2>"$TMP/fake.err"
    broker=$last_pid
    wait_for 5 test -S "$socket" || fail "the fake broker starts" "$(cat "$TMP/fake.err")"
}
unfake() {
    kill -KILL "$broker" 2>/dev/null
    wait "$broker" 2>/dev/null
    rm -f "$socket"
}
path=
db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
# record NAME SECONDS CMD...: it works, in that time and not much more.
record() {
    local name=$1 limit=$2 begin=$EPOCHREALTIME took
    shift 2
    if ! stax record "$@" >"$TMP/out" 2>"$TMP/err"; then
        fail "$name: recording goes on" "$(cat "$TMP/err")"
        return
    fi
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    if awk -v t="$took" -v l="$limit" 'BEGIN { exit !(t < l) }'; then
        ok "$name: recording goes on"
    else
        fail "$name: recording goes on" "it took $took s"
    fi
    path=$(stax sql --path)
    check "$name: samples, and hardly any lost" test "$(db 'SELECT n_samples > 50 AND n_lost * 20 < n_samples FROM run')" = 1
}
# lacks NAME ERE: no kernel stacks, for a reason that matches, with a way out.
lacks() {
    check_json "$1: what is missing, why, and the way out" <(stax diagnose --json) \
        '.data.abilities[] | select(.name == "kernel_stacks") |
         (.is_available | not) and (.reason | test($why)) and (.unlock | test("stax setup|sysctl|group|root"))' --arg why "$2"
}
work=("$STAX_WORKLOADS/cpu_shares" --threads 2 --seconds 0.4)
server_start

if [[ $needs_none ]]; then
    fake garbage
    record "garbage, and not needed" 20 -- "${work[@]}"
    check_json "who needs no broker asks none" <(stax diagnose --json) \
        '.data.abilities[] | select(.name == "kernel_stacks").is_available'
    if stax diagnose --json | jq -e '.data.abilities[] | select(.name == "wakeups").is_available' >/dev/null; then
        check "... not even connects" test ! -s "$TMP/fake.log"
    else
        skip "... not even connects" "without tracefs it is asked for wakeups"
    fi
    unfake
    finish
fi

record "no broker" 10 -- "${work[@]}"
lacks "no broker" paranoid
check "no broker: one line says what is missing" test "$(grep -c 'missing: kernel stacks.*diagnose host' "$TMP/err")" = 1
: >"$socket"
record "a file in its place" 10 -- "${work[@]}"
lacks "a file in its place" paranoid
rm -f "$socket"
for case in "silent|did not answer" "garbage|not a staxd" "version|speaks version" "hangup|paranoid" "mute|did not answer" \
    "pipes|not a staxd" "short|not a staxd" "drip 1.7|user and group ids|too slow" "refuse 9|user and group ids" \
    "refuse 10|not dumpable" "refuse 15|as many connections" "refuse 4|malformed"; do
    mode=${case%%|*}
    # shellcheck disable=SC2086
    fake $mode
    record "$mode" 20 -- "${work[@]}"
    lacks "$mode" "${case#*|}"
    unfake
done
check_json "diagnose host says what is wrong with it" <(fake version; stax diagnose host --json; unfake) \
    '.data.checks[] | select(.name == "staxd") | (.is_ok | not) and (.note | test("version"))'
check "nothing of those brokers is left in the server" test "$(find "/proc/$(server_pid)/fd" -lname 'socket:*' | wc -l)" -le 8

# A crowd and a broker that is slow each time: it is given up, not waited for.
start "$STAX_WORKLOADS/crowd" --threads 300 --seconds 120 --unit-ms 150 >/dev/null
crowd=$last_pid
crowded() {
    local tasks=(/proc/"$crowd"/task/*)
    ((${#tasks[@]} > 290))
}
wait_for 10 crowded
fake drip 0.3
record "300 threads and a slow broker" 25 --pid "$crowd" -l 1
lacks "300 threads and a slow broker" 'too slow|user and group ids'
unfake

if [[ ! $real ]]; then # what follows passes on to one that root started: scripts/test
    kill -KILL "$crowd"
    finish
fi

# Goes away while threads are armed: the rest is opened without it, and the answer says for how many.
fake proxy "$real" 101
record "gone half way" 30 --pid "$crowd" -l 1
check_json "gone half way: how many lack it" <(stax diagnose --json) \
    '.data.abilities[] | select(.name == "kernel_stacks") |
     (.is_available | not) and (.reason | test("^of 2[0-9][0-9] of 3[0-9][0-9] threads"))'
check "gone half way: all threads are there" test \
    "$(db "SELECT count(*) >= 300 FROM thread WHERE name LIKE 'crowd-%'")" = 1
check_json "gone half way: nobody is without events" <(stax diagnose --json) 'all(.data.loss[]; .kind != "no_events")'
unfake
fake relay "$real" 0.002
record "a slow relay" 30 --pid "$crowd" -l 1
check "a slow relay: kernel stacks all the same" test \
    "$(db "SELECT is_available FROM ability WHERE name = 'kernel_stacks'")" = 1
unfake
kill -KILL "$crowd"

# Goes away while the run goes on: threads and processes that come later inherit everything.
fake proxy "$real" 1000
start stax record -- sh -c 'sleep 1.5; exec dd if=/dev/zero of=/dev/null bs=1M count=3000' >/dev/null 2>&1
record=$last_pid
wait_for 10 is_active
sleep 0.3
unfake
wait "$record"
path=$(stax sql --path)
check "gone mid-run: the kernel's functions of what came later" test 1 = "$(db "
    SELECT count(*) > 0 FROM v_top WHERE binary = '[kernel]' AND self_ms > 20")"
check "gone mid-run: nothing lost" test "$(db 'SELECT n_lost FROM run')" = 0
finish
