#!/usr/bin/env bash
# Queries that never end: they hold up nothing else, end with their client, and end with the server.
# Each may run for a minute, which is longer than anything below is given.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
slow='WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r'
server_start
server=$last_pid
start stax record -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --duty 0.2 --seconds 200 >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 50

clients=()
begin_slow() {
    clients=()
    for _ in {1..6}; do
        start stax sql --timeout-ms 60000 "$slow" >/dev/null 2>&1
        clients+=("$last_pid")
    done
}
# Sockets of the server.
n_sockets() {
    find "/proc/$server/fd" -lname 'socket:*' | wc -l
}
has_two_more() {
    (($(n_sockets) >= sockets + 2))
}
# CPU time of the server, in ticks.
ticks() {
    awk '{ print $14 + $15 }' "/proc/$server/stat"
}
is_busy() {
    (($(ticks) > before + 20))
}
n_alive() {
    local pid n=0
    for pid in "${clients[@]}"; do
        gone "$pid" || n=$((n + 1))
    done
    echo "$n"
}

before=$(ticks)
begin_slow
wait_for 20 is_busy
check_status "views answer beside slow queries" 0 burn_alpha -- timeout 20 stax top
check_status "list answers beside slow queries" 0 -- timeout 20 stax list
check_status "pausing and resuming too" 0 -- timeout 20 curl -sf --unix-socket "$SOCKET" http://stax/rpc \
    -d '{"jsonrpc":"2.0","id":1,"method":"set_paused","params":{"is_paused":false}}'
check "save works beside slow queries" timeout 20 stax save "$TMP/beside.stax"
check "the slow queries were running all the time" test "$(n_alive)" = 6
kill -KILL "${clients[@]}"
wait "${clients[@]}" 2>/dev/null
check_status "queries end with their clients: there is room for others" 0 -- timeout 20 stax sql 'SELECT 1 AS one'

# Waits with a condition that takes two seconds to fail, one after the other for each client.
clients=()
for _ in {1..12}; do
    start stax wait --sql "$slow" >/dev/null 2>&1
    clients+=("$last_pid")
done
before=$(ticks)
wait_for 20 is_busy
check_status "a wait is answered beside slow conditions" 0 -- timeout 20 stax wait --for-samples 60
check "... while they go on" test "$(n_alive)" -gt 0
check_status "a condition that holds is found" 0 -- timeout 60 stax wait --sql 'SELECT count(*) > 10 FROM sample'
check_status "stop is answered beside slow conditions" 0 -- timeout 20 stax stop
for pid in "${clients[@]}"; do
    wait_for 60 gone "$pid"
done
wait_for 5 gone "$record"

# The last rows of a run count for a condition, and its end ends the wait.
start stax record -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --duty 0.2 --seconds 60 >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 20
sockets=$(n_sockets)
start rpc wait_active '{"sql":"SELECT count(*) > 100000000 FROM sample"}' >"$TMP/never.json"
never=$last_pid
start rpc wait_active "{\"sql\":\"SELECT state = 'stopped' FROM run\"}" >"$TMP/last.json"
last=$last_pid
wait_for 10 has_two_more
sleep 0.5
end_run
wait_for 20 gone "$never"
wait_for 20 gone "$last"
check_json "a condition that never holds ends with the run" "$TMP/never.json" '.result.data | .reason == "stopped" and .is_met == false'
check_json "a condition on the last rows is met" "$TMP/last.json" '.result.data | .reason == "sql" and .is_met'
wait_for 5 gone "$record"

begin_slow
before=$(ticks)
wait_for 20 is_busy
kill -TERM "$server"
check "SIGTERM ends a server that is busy with queries" wait_for 20 gone "$server"
for pid in "${clients[@]}"; do
    wait_for 5 gone "$pid"
done
check "its clients heard of it" test "$(n_alive)" = 0
finish
