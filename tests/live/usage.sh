#!/usr/bin/env bash
# Wrong input on the command line: a clear sentence, the way out, and the right exit status.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
server_start

check_status "neither a pid nor a command" 2 -- stax record
check_status "both a pid and a command" 2 -- stax record --pid 1 -- true
check_status "unknown command: the nearest" 2 'record' -- stax recrod
check_status "unknown flag: the nearest" 2 'frequency' -- stax record --freqency 9 -- true
check_status "a flag without its value" 2 -- stax top --limit
check_status "a number that is none" 2 -- stax top --limit ten
check_status "a negative limit" 2 -- stax top --limit -3
check_status "no command at all prints usage" 2 -- stax
check_status "--version" 0 '[0-9]+\.[0-9]+' -- stax --version
for command in record status list wait stop save open select-run top flame threads sql diagnose schema; do
    check_status "help: $command" 0 "stax $command" -- stax "$command" --help
done
check_status "a command that does not exist" 127 'no_such_program' -- stax record -- no_such_program
check_status "a command that is not executable" 126 'executable|ermission' -- stax record -- "$here/lib.sh"
check_status "a folder as command" 126 -- stax record -- /tmp
check_status "no such pid" 1 '4194000' -- stax record --pid 4194000
check_status "pid 0" 2 -- stax record --pid 0
check_status "a pid that is none" 2 -- stax record --pid abc
check_status "frequency 0" 2 -- stax record -F 0 -- true
limit=$(cat /proc/sys/kernel/perf_event_max_sample_rate)
((limit < 50000)) || limit=50000 # beyond, the kernel's clock itself is the limit
for hz in $((limit + 1)) 3000000 3000000000; do
    check_status "frequency above the kernel's limit: $hz" 2 "$limit" -- stax record -F "$hz" -- true
done
check_status "a time limit of 0" 2 -- stax record -l 0 -- true
start "$STAX_WORKLOADS/zombie" 20 >"$TMP/zombie"
wait_for 5 test -s "$TMP/zombie"
check_status "a zombie" 1 'ombie|ended|exited' -- stax record --pid "$(cat "$TMP/zombie")"
if is_root; then
    skip "another user's pid" "root may record every process"
else
    check_status "another user's pid" 5 -- stax record --pid 1
fi
check_json "errors with --json are JSON" <(stax record --json --pid 4194000 2>&1 >/dev/null) \
    '.error | (.code | type == "string") and (.message | length > 10) and has("hint")'
check_json "no run yet: JSON" <(stax top --json 2>&1 >/dev/null) '.error.code == "no_such_run"'
check_status "no run yet" 3 'stax record' -- stax top

# What only the exec itself finds out: no run stays active, listed or selected.
stax record -- "$STAX_WORKLOADS/cpu_shares" --seconds 0.3 --threads 1 >/dev/null 2>&1
before=$(stax list --json | jq -c '.data.runs | map(del(.size_bytes, .names))')
printf '#!/no/such/interpreter -x\necho\n' >"$TMP/no_interpreter"
head -c 4096 "$STAX_WORKLOADS/cpu_shares" | sed 's,/lib64/ld-linux-x86-64.so.2,/lib64/no-linux-x86-64.so.2,' >"$TMP/no_loader"
chmod +x "$TMP/no_interpreter" "$TMP/no_loader"
check_status "a script whose interpreter is missing" 127 "its interpreter /no/such/interpreter is not there" -- stax record -- "$TMP/no_interpreter"
check_status "... and the way out" 127 "first line of $TMP/no_interpreter" -- stax record -- "$TMP/no_interpreter"
check_status "... and no run is active, at once" 0 -- is_idle
check "... nor listed or selected" test "$(stax list --json | jq -c '.data.runs | map(del(.size_bytes, .names))')" = "$before"
if [[ $(uname -m) == x86_64 ]] && grep -q no-linux-x86-64 "$TMP/no_loader"; then
    check_status "a program whose loader is missing" 127 'its dynamic loader is not there' -- stax record -- "$TMP/no_loader"
else
    skip "a program whose loader is missing" "not an x86-64 program with a loader"
fi
check_status "... and the next record is not refused" 0 -- stax record -- true

# A server that cannot start: its own words, its way out and its exit status.
other=(env STAX_SERVER_SOCKET="$TMP/other.sock")
mkdir -m 755 "$TMP/open"
check_status "a data directory that is open to others" 5 'did not start: the data directory .* open to other users' -- \
    "${other[@]}" STAX_DATA_DIR="$TMP/open" stax record -- true
check_status "... and the way out" 5 "^  chmod 700 '$TMP/open'" -- "${other[@]}" STAX_DATA_DIR="$TMP/open" stax record -- true
check_status "a data directory in a missing folder" 3 "folder $TMP/no/such, or set STAX_DATA_DIR" -- \
    "${other[@]}" STAX_DATA_DIR="$TMP/no/such/data" stax record -- true
check_status "a socket in a missing folder" 3 "folder $TMP/no.*STAX_SERVER_SOCKET" -- \
    env STAX_SERVER_SOCKET="$TMP/no/s.sock" STAX_DATA_DIR="$TMP/data2" stax record -- true

# Hosts that forbid perf: the setting, and what would help.
stopped=$(server_pid)
kill -TERM "$stopped"
wait_for 5 gone "$stopped"
server_start "$STAX_WORKLOADS/deny_perf"
check_status "perf_event_open forbidden: what the host says, and the way out" 5 'perf_event_paranoid|seccomp' -- stax record -- true
check_status "... and no run is active" 0 -- is_idle
stopped=$(server_pid)
kill -TERM "$stopped"
wait_for 5 gone "$stopped"
server_start

stax record -- "$STAX_WORKLOADS/cpu_shares" --seconds 1 --threads 1 >/dev/null 2>&1
check_status "SQL error" 1 'syntax' -- stax sql 'SELEC 1'
check_status "SQL: a write" 1 -- stax sql 'DELETE FROM sample'
check_status "SQL: ATTACH" 1 -- stax sql "ATTACH '/tmp/x' AS x"
check_status "SQL: VACUUM INTO" 1 -- stax sql "VACUUM INTO '$TMP/stolen'"
check "SQL: nothing was written" test ! -e "$TMP/stolen"
check_status "SQL: two statements" 1 -- stax sql 'SELECT 1; SELECT 2'
check_status "SQL: a PRAGMA that writes" 1 -- stax sql 'PRAGMA user_version = 3'
check_status "SQL: load_extension" 1 -- stax sql "SELECT load_extension('/tmp/x')"
check_status "SQL: endless recursion ends by its deadline" 4 -- timeout 30 \
    stax sql 'WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT COUNT(*) FROM r'
check_status "SQL: a million columns" 1 -- stax sql "SELECT $(seq -s, 1 20000)"
check_status "SQL: a huge value" 1 -- stax sql "SELECT LENGTH(zeroblob(2000000000))"
check_status "SQL: no function outlasts the deadline" 4 -- timeout 30 stax sql --timeout-ms 300 \
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)
     SELECT SUM(instr(hex(zeroblob(500000)), hex(zeroblob(250000)) || x)) FROM r"
check_status "SQL: more rows than the server gives" 2 '1000000' -- stax sql --max-rows 1000001 'SELECT 1'
check_status "SQL: more time than the server gives" 2 '60000' -- stax sql --timeout-ms 60001 'SELECT 1'
head -c 300000 /dev/zero | tr '\0' x >"$TMP/long.sql"
check_status "SQL: a query that is too long" 1 '256' -- bash -c "stax sql - <'$TMP/long.sql'"
check_status "SQL: far too much on standard input" 2 'one query may have 256 KiB' -- \
    bash -c "yes 'SELECT 1;' | head -c 2000000 | stax sql -"
check_status "SQL: --path of no file" 1 'none.stax' -- stax sql --path --run none.stax
check_status "save without a name" 2 'empty' -- stax save ''
check_status "save where no files can be" 5 'no files' -- stax save /proc/x.stax
check_status "SQL: rows beyond the limit are said to be cut" 0 -- stax sql 'WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 50000) SELECT x FROM r'
check_status "SQL: --csv" 0 '^a,b$' -- stax sql --csv 'SELECT 1 AS a, 2 AS b'
check_status "SQL: --schema" 0 'CREATE TABLE sample' -- stax sql --schema
check "SQL: a plain sqlite3 reads the live file" test "$(sqlite3 -readonly "$(stax sql --path)" 'SELECT COUNT(*) > 0 FROM sample')" = 1

check_status "--from after --to" 2 -- stax top --from 3 --to 1
check_status "no such thread" 1 '4194001' -- stax top --tid 4194001
check_status "an unknown sort" 2 'self' -- stax top --sort selv
check_status "a threshold above 100" 2 -- stax flame --threshold-pct 101
check "a closed pipe is quiet" test -z "$( (stax top; echo $? >"$TMP/status") 2>&1 >/dev/full | grep -iE 'broken|abort|assert')"
check "head ends it quietly" test "$(stax flame 2>&1 -d 50 --threshold-pct 0 | head -1 | wc -l)" = 1
# Numbers are never cut: below what they need, lines are longer than the terminal.
for width in "top 70" "flame 70" "threads 80" "top 80" "flame 80" "top 200" "flame 200" "threads 200"; do
    view=${width% *} columns=${width#* }
    check "$view fits $columns columns" test "$(COLUMNS=$columns stax "$view" 2>/dev/null | wc -L)" -le "$columns"
done
finish
