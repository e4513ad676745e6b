#!/usr/bin/env bash
# Corners that a stranger walks into: what each command says and which status it ends with.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
spin=("$STAX_WORKLOADS/cpu_shares" --threads 1)

# ---- wait: a timeout of 0, and conditions that never hold ----
server_start
start stax record -- "${spin[@]}" --seconds 4 >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 100
for condition in "--for-samples 100000000" "--for-seconds 1000" "--until-symbol nosuch" "--sql SELECT\ 0" ""; do
    eval "condition=($condition)"
    check_status "wait --timeout-ms 0 ${condition[*]}: one look" 4 'timed out' -- timeout 2 stax wait "${condition[@]}" --timeout-ms 0
done
check_status "... that finds what holds" 0 'symbol reached' -- stax wait --until-symbol burn_alpha --timeout-ms 0
check_status "... in SQL, too" 0 'sql reached' -- stax wait --sql 'SELECT 1' --timeout-ms 0
# wait_beside NAME ARG...: waits in the background; output and exit status go to files.
wait_beside() {
    local name=$1
    shift
    stax wait "$@" >"$TMP/$name.out" 2>&1
    echo "$?" >"$TMP/$name.status"
}
waits=()
for name in plain symbol samples sql; do
    case $name in
        plain) start wait_beside plain ;;
        symbol) start wait_beside symbol --until-symbol nosuch ;;
        samples) start wait_beside samples --for-samples 100000000 ;;
        sql) start wait_beside sql --json --sql 'SELECT 0' ;;
    esac
    waits+=("$last_pid")
done
wait "${waits[@]}"
check "the run ends before the condition holds: status 1" test "1 1 1" = \
    "$(cat "$TMP"/{symbol,samples,sql}.status | paste -sd" ")"
check "... which is said" grep -q 'did not hold' "$TMP/symbol.out"
check_json "... and in JSON" "$TMP/sql.out" '.data.is_met == false and .data.reason == "stopped"'
check "wait for the end of the run is no condition that fails" test "$(cat "$TMP/plain.status")" = 0
wait "$record"

# ---- a server that is stopped ----
server=$(server_pid)
kill -STOP "$server"
began=$SECONDS
check_status "a view says that the server hangs" 4 "did not answer 'top' in time.*" -- timeout 60 stax top
check "... within 20 s" test $((SECONDS - began)) -le 20
check_status "... and how to go on" 4 "kill -CONT $server" -- timeout 60 stax status
kill -CONT "$server"
wait_for 5 stax status >/dev/null 2>&1 || fail "the server goes on" "$(tail -20 "$TMP/server.log")"
check_status "a query that takes long is no server that hangs" 4 'took longer than it may' -- \
    stax sql --timeout-ms 14000 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n'

# ---- a NUL in a result ----
check_status "a NUL in a result is shown as other control bytes are" 0 '^a\\x00b' -- stax sql "SELECT 'a' || char(0) || 'b' AS x"
check_json "... and told in JSON" <(stax sql --json "SELECT 'a' || char(0) || 'b' AS x") '.data.rows[0][0] == "a\u0000b"'
check "... and CSV" test "$(stax sql --csv "SELECT 'a' || char(0) || 'b' AS x" | tail -1 | od -An -tx1 | tr -d ' ')" = 6100620a

# ---- a script with the line ends of Windows ----
printf '#!/bin/sh\r\necho hello\r\n' >"$TMP/crlf"
chmod +x "$TMP/crlf"
check_status "a script whose lines end with CR LF: what its interpreter is" 127 'interpreter /bin/sh\\x0d is not there' -- stax record -- "$TMP/crlf"
check_status "... and what mends it" 127 'end with CR LF.*sed -i' -- stax record -- "$TMP/crlf"

# ---- frequencies out of range ----
check_status "a frequency above what the host allows is named as it was given" 2 '10000000 Hz is above' -- stax record -F 10000000 -- true
check_status "... below 1 has the bound that matters" 2 'must be at least 1, not 0' -- stax record -F 0 -- true
check_status "... and one beyond all numbers" 2 'too large' -- stax record -F 99999999999999999999 -- true

# ---- runs whose file is gone or broken, in the list ----
stax save "$TMP/gone.stax" >/dev/null && stax open "$TMP/gone.stax" >/dev/null
rm "$TMP/gone.stax"
check_status "an archive whose file is gone: so says the list" 0 ' - .*its file is gone' -- stax list
check_json "... and its JSON" <(stax list --json) 'any(.data.runs[]; .size_bytes == null and .note == "its file is gone")'

# ---- SQL from a pipe ----
stax select-run 1 >/dev/null
printf -- '-- what there is\n.tables\n\nSELECT 1 AS one;\n.schema run\n' | stax sql >"$TMP/out" 2>"$TMP/err"
check "a pipe may hold .tables, SQL and .schema" test "sample one CREATE TABLE run (" = \
    "$(grep -xE 'sample|one|CREATE TABLE run \(' "$TMP/out" | paste -sd' ')"
check "... and says what it does not know" test 2 = "$(echo .dump | stax sql >/dev/null 2>&1; echo $?)"
check "results of several statements stand apart" test "a 1  b 2" = "$(echo 'SELECT 1 AS a; SELECT 2 AS b;' | stax sql | tr -d ' ' | paste -sd' ')"
check_json "... and are one document in JSON" <(echo 'SELECT 1 AS a; SELECT 2 AS b; ' | stax sql --json | jq -s .) \
    'length == 1 and .[0].schema == "stax.sql-results/1" and [.[0].data.results[].data.rows[0][0]] == [1, 2]'
check_json "... a single one is its own" <(echo 'SELECT 1 AS a' | stax sql --json | jq -s .) 'length == 1 and .[0].schema == "stax.sql/1"'
check "nothing asked of a run that is there: status 0" stax sql </dev/null
check_status "nothing asked of a run that is not there: status 3" 3 'no run 4711' -- stax sql --run 4711
check_status "... and of a file that is not there" 1 'nofile.stax' -- stax sql --run nofile.stax
check_status "... and of no server" 3 'unreachable' -- env STAX_SERVER_SOCKET="$TMP/nobody.sock" stax sql

# ---- a port that is taken ----
kill -TERM "$server"
wait_for 10 gone "$server"
port=${STAX_SERVER_WS_BIND#*:}
start "$PYTHON" -c '
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
print("ready", flush=True)
time.sleep(600)' "$port" >"$TMP/listening"
wait_for 10 grep -q ready "$TMP/listening"
check_status "record says that its server uses another port" 0 "port $port is taken, using [0-9]+" -- stax record -- true
check_status "... and status, too" 0 "port $port is taken, using [0-9]+" -- stax status
check_json "... and in JSON" <(stax status --json) ".data.server.http_note | startswith(\"port $port is taken\")"


finish
