#!/usr/bin/env bash
# The bound on all runs together, and what a start finds: a run that reaches the bound outlives its
# stop and a restart, a full file system costs no run, leftovers of a killed server go.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
server_end() {
    local pid
    pid=$(server_pid)
    kill -TERM "$pid"
    wait_for 10 gone "$pid" || fail "the server ends" "$(tail -5 "$TMP/server.log")"
}
has_run() {
    stax list --json | jq -e "any(.data.runs[]; .id == $1)" >/dev/null
}
lacks_run() {
    ! has_run "$1"
}
has_let_go() {
    ! find "/proc/$(server_pid)/fd" -lname '*run-1.stax*' | grep -q .
}

run_bytes() {
    stat -c %s "$STAX_DATA_DIR/run-$1.stax"
}
# Whether a run's file is so large that another one of three quarters of the bound leaves no room.
is_large() {
    (($(run_bytes "$1") > bound / 3))
}

# A run that outgrows the bound, beside an older one that makes room for it.
bound=3145728
server_start env STAX_MAX_BYTES=$bound
start stax record -F 20000 -- "$STAX_WORKLOADS/cpu_shares" --threads 4 --seconds 120 >/dev/null 2>"$TMP/first.txt"
record=$last_pid
wait_for 30 is_active || fail "a first run begins" "$(cat "$TMP/first.txt")"
start rpc wait_active >"$TMP/wait.json"
waiter=$last_pid
check "a run that takes a third of the bound" wait_for 60 is_large 1
end_run
wait_for 10 gone "$waiter"
check_json "its end is heard of" "$TMP/wait.json" '.result.data.reason == "stopped"'
wait_for 10 gone "$record"
start stax record -F 20000 -- "$STAX_WORKLOADS/cpu_shares" --threads 4 --seconds 120 >/dev/null 2>"$TMP/over.err"
record=$last_pid
wait_for 10 is_active
run=$(stax status --json | jq '.data.active.id')
# Raw samples are dropped where the file would outgrow its share.
is_full() {
    gone "$record" || (($(stax sql --json 'SELECT raw_from_ts FROM run' | jq '.data.rows[0][0]') > 0))
}
check "a run comes to its bound" wait_for 60 is_full
end_run
wait_for 10 gone "$record"
sleep 1.5 # two looks at the bound
check "the run that reached the bound is still there" has_run "$run"
check_status "it answers" 0 burn_alpha -- stax top --run "$run"
within_bound() {
    stax status --json | jq -e '.data.server | .used_bytes <= .max_bytes' >/dev/null
}
check "all runs together stay within the bound" wait_for 10 within_bound
check "the older run made room for it" lacks_run 1
check "... and the server let go of it" wait_for 10 has_let_go
server_end
server_start env STAX_MAX_BYTES=$bound
wait_for 5 status_is '.data.server.uptime_ns > 1500000000'
check "... also after a restart" has_run "$run"
check_status "it answers after a restart" 0 burn_alpha -- stax top --run "$run"
server_end

# A server that was killed leaves its reserve of space.
server_start
start stax record -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 60 >/dev/null 2>&1
wait_for 10 has_samples 50
kill -KILL "$(server_pid)"
wait_for 5 gone "$last_pid"
check "a recording has a reserve" test -n "$(find "$STAX_DATA_DIR" -name '*-reserve')"
server_start
check "the reserve of a killed server is removed" test -z "$(find "$STAX_DATA_DIR" -name '*-reserve')"
server_end

# Everything full: a start removes nothing.
if is_root && mkdir "$TMP/small" && mount -t tmpfs -o size=64m,mode=700 none "$TMP/small" 2>/dev/null; then
    export STAX_DATA_DIR=$TMP/small
    server_start
    for _ in 1 2 3; do
        stax record -F 99 -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 0.2 >/dev/null 2>&1
    done
    server_end
    cat /dev/zero >"$TMP/small/filler" 2>/dev/null
    server_start
    wait_for 5 status_is '.data.server.uptime_ns > 1500000000'
    check "a start on a full file system keeps every run" test "$(stax list --json | jq '.data.runs | length')" = 3
    check_status "they answer" 0 'run 1' -- stax top --run 1
    server_end
    umount "$TMP/small" || umount -l "$TMP/small"
else
    skip "a start on a full file system" "needs root to mount a small tmpfs"
fi
finish
