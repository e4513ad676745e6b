#!/usr/bin/env bash
# Another SQLite client holds the write lock of the run that is recorded, and a server that may not write
# large files: the recording goes on, or says why it cannot.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
spin=("$STAX_WORKLOADS/cpu_shares" --threads 1 --duty 0.4)

# hold SECONDS: holds the write lock of the active run so long; returns when it has it.
hold() {
    rm -f "$TMP/held"
    start "$PYTHON" -c '
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
db.execute("BEGIN IMMEDIATE")
open(sys.argv[2], "w").close()
time.sleep(float(sys.argv[3]))
db.execute("ROLLBACK")' "$(stax sql --path)" "$TMP/held" "$1"
    wait_for 10 test -e "$TMP/held" || fail "the lock is taken"
}

server_start
# ---- held for longer than SQLite waits by default: the run goes on ----
start stax record -- "${spin[@]}" --seconds 9 >/dev/null 2>"$TMP/err"
record=$last_pid
wait_for 10 has_samples 100
hold 6.5
check "views answer meanwhile" stax top
wait "$last_pid"
wait "$record"
check "record's status is the command's" test "$?" = 0
check_json "nothing ended the run" <(stax list --json) '.data.runs[0].stop_reason == "target_exited"'
check "... and it has what was sampled while it was locked" test 1 = \
    "$(stax sql --csv "SELECT r.n_lost = 0 AND count(*) > 500 FROM sample s, run r WHERE s.ts - r.start_ts BETWEEN 2e9 AND 7e9" | tail -1)"
check "the server's log says what it waits for" grep -q "another program holds the write lock of .*/run-1.stax" "$TMP/server.log"
check "numbers agree: no thread has more CPU time than the run is long" test 1 = \
    "$(stax sql --csv 'SELECT max(s.on_cpu_ns) <= max(r.end_ts - r.start_ts) FROM thread_sum s, run r' | tail -1)"

# ---- stop while it is held ----
start stax record -- "${spin[@]}" --seconds 60 >/dev/null 2>"$TMP/err"
record=$last_pid
wait_for 10 has_samples 100
run=$(stax status --json | jq .data.active.id)
hold 25
holder=$last_pid
began=$SECONDS
target=$(stax status --json | jq .data.active.pid)
check "a run whose lock is held can be stopped" stax stop
check "... in bounded time" test $((SECONDS - began)) -le 15
wait_for 5 grep -q "ended early" "$TMP/err"
check "record says why the run ended" grep -q "the recording ended early: .*database is locked" "$TMP/err"
check "... and the server's log" grep -q "run $run ended early: .*database is locked" "$TMP/server.log"
check_json "... and the list" <(stax list --json) \
    '.data.runs[0] | .state == "stopped" and .stop_reason == "capture_failed" and (.note | contains("locked"))'
kill "$holder" "$target"
is_completed() {
    [[ $(stax sql --csv "SELECT state = 'stopped' AND stop_reason = 'capture_failed' AND end_ts = data_ts FROM run" | tail -1) == 1 ]]
}
check "when the lock goes away the run is completed" wait_for 20 is_completed
pid=$(server_pid)
kill -TERM "$pid"
wait_for 10 gone "$pid"

# ---- files may not grow beyond 600 KiB ----
(
    ulimit -f 600
    stax record -F 10000 -- "${spin[@]}" --seconds 15 >/dev/null 2>"$TMP/err"
    echo "$?" >"$TMP/status"
)
check "a limit on file sizes ends the recording, which record says" grep -q "the recording ended early: .*ulimit -f" "$TMP/err"
check "... and record's status" test "$(cat "$TMP/status")" = 1
check_json "... the server lives, and the run has its samples" <(stax list --json) \
    '.data.runs[0] | .stop_reason == "storage_full" and .n_samples > 100'

prlimit --pid "$(server_pid)" --fsize=100000:
check_status "a save that would grow beyond it fails with the reason" 1 'ulimit -f' -- stax save "$TMP/x.stax"

finish
