#!/usr/bin/env bash
# The life of a run: exit statuses, stop, limits, signals, attach, children, a second run.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
spin=("$STAX_WORKLOADS/cpu_shares" --threads 1)

# Exit statuses pass through, the output is the target's alone, the end names the next commands.
check_status "exit status 0, and record says that it started a server" 0 'stax-server' -- stax record -- true
check_status "exit status 7" 7 -- stax record -- sh -c 'exit 7'
check_status "killed by SIGTERM: 143" 143 -- stax record -- sh -c 'kill -TERM $$'
check "stdin and stdout are the target's" test "$(echo hello | stax record -- cat 2>/dev/null)" = hello
stax record -- "${spin[@]}" --seconds 0.5 >/dev/null 2>"$TMP/err"
check "the summary names the next commands" grep -q 'stax top' "$TMP/err"
check "no progress line when not on a terminal" test "$(tr -cd '\r' <"$TMP/err" | wc -c)" = 0
check "a server that is there is not announced" test "$(grep -c 'started stax-server' "$TMP/err")" = 0

# Nothing of the start is missed: the very first work of a short program is seen.
stax record -F 5000 -- "$STAX_WORKLOADS/fixed_work" --units 100 --threads 1 >/dev/null 2>&1
check_status "a program of some milliseconds has samples" 0 fixed_leaf -- stax top

# A second run is refused; wait's conditions; stop leaves the target alive.
start "${spin[@]}" --seconds 60 >/dev/null
target=$last_pid
start stax record --pid "$target" >"$TMP/out" 2>"$TMP/err"
record=$last_pid
wait_for 5 is_active
check "wait --for-samples" stax wait --for-samples 200 --timeout-ms 10000
check_status "a second run is refused" 1 'another run is already active' -- stax record -- true
check "wait --for-seconds" stax wait --for-seconds 0.5 --timeout-ms 10000
check "wait --until-symbol" stax wait --until-symbol burn_alpha --timeout-ms 10000
check "wait --sql" stax wait --sql 'SELECT n_samples > 300 FROM run' --timeout-ms 10000
check_status "wait times out with status 4" 4 -- stax wait --until-symbol no_such_function --timeout-ms 300
check_status "wait takes one condition" 2 -- stax wait --for-samples 1 --for-seconds 1
check_status "top while it runs" 0 burn_alpha -- stax top
check_status "flame while it runs" 0 path_left -- stax flame
check_status "threads while it runs" 0 share-0 -- stax threads
check_status "status while it runs" 0 "$target" -- stax status
check_status "diagnose while it runs" 0 -- stax diagnose
check_status "list while it runs" 0 -- stax list
check "stop" stax stop
wait_for 5 gone "$record" || fail "record ends when its run is stopped"
wait "$record"
check "record of a stopped run exits with 0" test $? = 0
check "stop leaves an attached target running" alive "$target"
check_json "the run says it was stopped" <(stax top --json) '.run.stop_reason == "stopped"'
check_status "stop without a run: status 3" 3 -- stax stop
check_status "wait without a run: status 3" 3 -- stax wait --for-samples 1 --timeout-ms 500

# Attach and time limit.
check_status "-l on a pid" 0 -- stax record -l 1 --pid "$target"
check "the limit leaves an attached target running" alive "$target"
check_json "the run says time_limit" <(stax top --json) '.run.stop_reason == "time_limit" and .run.elapsed_ns > 9e8 and .run.elapsed_ns < 2e9'
kill -KILL "$target"

# A launched target outlives the limit and stop of its recording.
start stax record -l 0.7 -- "${spin[@]}" --seconds 30 >/dev/null 2>"$TMP/err"
record=$last_pid
wait_for 5 is_active
target=$(stax status --json | jq '.data.active.pid')
wait_for 10 gone "$record" || fail "record ends at the time limit"
wait "$record"
check "record exits with 0 at the time limit" test $? = 0
check "a launched target outlives the limit" alive "$target"
kill -KILL "$target"

# Ctrl-C stops the run and keeps it. (Bash starts background jobs with SIGINT ignored.)
start env --default-signal=INT stax record -- "${spin[@]}" --seconds 30 >/dev/null 2>"$TMP/err"
record=$last_pid
wait_for 5 has_samples 100
target=$(stax status --json | jq '.data.active.pid')
kill -INT "$record"
check "SIGINT ends record" wait_for 5 gone "$record"
check "SIGINT stops the run" wait_for 5 is_idle
check_status "the interrupted run answers" 0 burn_alpha -- stax top
kill -KILL "$target" 2>/dev/null

# A killed `stax record` leaves the run going.
start stax record -- "${spin[@]}" --seconds 30 >/dev/null 2>&1
record=$last_pid
wait_for 5 has_samples 100
kill -KILL "$record"
n=$(stax status --json | jq '.data.active.n_samples')
target=$(stax status --json | jq '.data.active.pid')
check "the run goes on after SIGKILL of record" wait_for 5 has_samples $((n + 200))
kill -KILL "$target"
check "it ends with its target" wait_for 5 is_idle
check_json "and says so" <(stax top --json) '.run.stop_reason == "target_exited"'

# Children belong to the run, unless told otherwise.
family=(sh -c "$STAX_WORKLOADS/fixed_work --units 2000 --threads 1; :")
stax record -- "${family[@]}" >/dev/null 2>&1
check_status "children are recorded" 0 fixed_leaf -- stax top
check_json "each process is a root of the flame graph" <(stax flame --json) '[.data.roots[].name] | index("fixed_work") != null'
stax record --no-children -- "${family[@]}" >/dev/null 2>&1
check_json "--no-children leaves them out" <(stax top --json) 'all(.data.functions[]; .name != "fixed_leaf")'
check_status "an empty view says why" 0 'no samples|No samples|nothing' -- stax top --from 100

# A command that leaves a process behind: record stays with it, and says so.
start env --default-signal=INT stax record -- sh -c "sleep 1000 & echo \$! >'$TMP/left'; exit 3" >/dev/null 2>"$TMP/err"
record=$last_pid
says_rest() {
    grep -q 'ended with 3; still recording 1 descendant; ' "$TMP/err"
}
check "descendants outlive the command: record says what it waits for" wait_for 10 says_rest
check "... and waits" alive "$record"
kill -INT "$record"
wait_for 5 gone "$record" || fail "... until Ctrl-C"
wait "$record"
check "... and passes on the command's status" test $? = 3
kill -KILL "$(cat "$TMP/left")"

# The server does not get to run while the ring overflows, and the target ends meanwhile: nothing
# is written that could tell of it, and still the run knows.
cpu=$(taskset -cp $$ | grep -oE '[0-9]+$') # one ring; a second of CPU time fills it twice
start stax record -F 20000 -- taskset -c "$cpu" "$STAX_WORKLOADS/fixed_work" --units 30000 --threads 1 >/dev/null 2>"$TMP/err"
record=$last_pid
wait_for 10 has_samples 100
target=$(stax status --json | jq '.data.active.pid')
server=$(server_pid)
kill -STOP "$server"
wait_for 60 gone "$target"
kill -CONT "$server"
wait_for 10 gone "$record" || fail "record ends after its server was held up"
check_json "ring overflow at the very end: counted" <(stax top --json) \
    '.quality.n_lost > 1000 and any(.warnings[]; test("records lost: the kernel.s ring was full"))'
check "... and said" test "$(grep -c 'none lost' "$TMP/err")" = 0

# Runs are listed, selected, and asked by number.
first=$(stax list --json | jq '[.data.runs[].id] | min')
check_status "--run ID" 0 -- stax threads --run "$first"
check "select-run" stax select-run "$first"
check_json "a selected run answers" <(stax top --json) ".run.id == $first"
check_status "no such run: status 3" 3 -- stax top --run 99999
finish
