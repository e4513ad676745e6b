#!/usr/bin/env bash
# The RPC from outside: JSON-RPC errors, huge and slow requests, many connections, the TCP port's
# token, Host and Origin checks, and clients that vanish. The server must answer the next one.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
server_start
start "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 60 >/dev/null
target=$last_pid
rpc start_attach "{\"pid\":$target}" >"$TMP/attach.json"
check_json "start_attach answers with the run" "$TMP/attach.json" '.result | (.data.run // .run.id) > 0'
wait_for 10 has_samples 100

post() {
    curl -s --max-time 20 --unix-socket "$SOCKET" http://stax/rpc "$@"
}
error_code() {
    check_json "$1" <(post -d "$2") ".error.code == $3"
}
error_code "broken JSON" '{"jsonrpc":' -32700
error_code "no request" '[]' -32600
error_code "no method" '{"jsonrpc":"2.0","id":1}' -32600
error_code "unknown method" '{"jsonrpc":"2.0","id":1,"method":"nope"}' -32601
error_code "unknown parameter" '{"jsonrpc":"2.0","id":1,"method":"top","params":{"nope":1}}' -32602
error_code "wrong type" '{"jsonrpc":"2.0","id":1,"method":"top","params":{"limit":"ten"}}' -32602
error_code "wrong type of a view's parameter, whatever runs there are" '{"jsonrpc":"2.0","id":1,"method":"top","params":{"run":999,"limit":"ten"}}' -32602
check_json "a time limit beyond all bounds names the bound" <(rpc start_attach '{"pid":1,"time_limit_s":1e300}') \
    '.error | .code == -32602 and (.message | test("1000000000"))'
error_code "parameters by position" '{"jsonrpc":"2.0","id":1,"method":"top","params":[1]}' -32602
error_code "deep nesting" "$(printf '[%.0s' {1..100000})" -32700
check_json "errors carry code, message and hint" <(rpc start_attach '{"pid":4194000}') \
    '.error.data | (.code | type == "string") and (.message | type == "string") and has("hint")'
for method in status list_runs diagnostics is_paused top flamegraph threads timeline samples total_on_cpu_ns; do
    check_json "$method answers" <(rpc $method) '.result.schema | startswith("stax.")'
done
check_json "sql answers" <(rpc sql '{"query":"SELECT COUNT(*) AS n FROM sample"}') '.result.data.columns == ["n"]'
check_json "set_paused" <(rpc set_paused '{"is_paused":true}') 'has("result")'
n=$(stax status --json | jq '.data.active.n_samples')
sleep 0.6
check "a paused run takes no samples" test $(($(stax status --json | jq '.data.active.n_samples') - n)) -lt 300
check_json "set_paused off" <(rpc set_paused '{"is_paused":false}') 'has("result")'
check "a resumed run does" wait_for 30 has_samples $((n + 500))

head -c 100000000 /dev/zero | tr '\0' ' ' >"$TMP/huge"
check "a body of 100 MB: 413" test "$(post -o /dev/null -w '%{http_code}' -H 'Expect:' --data-binary @"$TMP/huge")" = 413
rm "$TMP/huge"
check "a body without a length: 411" test \
    "$(echo '{}' | post -o /dev/null -w '%{http_code}' -H 'Transfer-Encoding: chunked' -H 'Expect:' -X POST -T -)" = 411

http=$(stax status --json | jq -r .data.server.http)
port=$(grep -oE '[0-9]+/?$' <<<"$http" | tr -d /)
tcp() {
    curl -s --max-time 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/rpc" \
        -d '{"jsonrpc":"2.0","id":1,"method":"status"}' "$@"
}
token=$(cat "$STAX_DATA_DIR"/token 2>/dev/null || cat "$STAX_DATA_DIR"/*token* 2>/dev/null)
check "the token file is for its owner alone" test "$(stat -c %a "$STAX_DATA_DIR"/*token* | head -1)" = 600
check "TCP without a token is refused" grep -qE '40[13]' <<<"$(tcp)"
check "TCP with a wrong token is refused" grep -qE '40[13]' <<<"$(tcp -H "Authorization: Bearer nope")"
check "TCP with the token" test "$(tcp -H "Authorization: Bearer $token")" = 200
check "another Host is refused" grep -qE '4[0-9][0-9]' <<<"$(tcp -H "Authorization: Bearer $token" -H 'Host: evil.example')"
check "another Origin is refused" grep -qE '4[0-9][0-9]' <<<"$(tcp -H "Authorization: Bearer $token" -H 'Origin: http://evil.example')"

"$PYTHON" "$here/abuse.py" "$SOCKET" || n_failed=$((n_failed + 1))

memory=$(awk '/VmHWM/ { print $2 }' "/proc/$(server_pid)/status")
check "the server's peak memory stays below 300 MB" test "${memory:-999999999}" -lt 300000
ws() {
    "$PYTHON" "$here/ws.py" "$@" || n_failed=$((n_failed + 1))
}
ws rules "$SOCKET" "$http" "$token"
ws docs "$SOCKET" "$here/../../docs/rpc.md"
ws greedy "$SOCKET"
rpc stop_active >"$TMP/stop.json"
check_json "stop_active answers with the run" "$TMP/stop.json" '.result.run.state == "stopped"'
check_json "stop_active without a run" <(rpc stop_active) '.error.data.code == "no_such_run"'
# A server with less patience, for those who never read. (Locked memory is enough for one run at a time.)
mkdir -m 700 "$TMP/run2"
in_hurry() {
    env XDG_RUNTIME_DIR="$TMP/run2" STAX_DATA_DIR="$TMP/data2" STAX_CLIENT_TIMEOUT_S=1 "$@"
}
check_status "a timeout that is none" 2 'STAX_CLIENT_TIMEOUT_S must be seconds' -- in_hurry env STAX_CLIENT_TIMEOUT_S=x stax-server
start in_hurry stax-server >"$TMP/server2.log" 2>&1
wait_for 10 in_hurry stax status >/dev/null 2>&1
start in_hurry stax record --pid "$target" >/dev/null 2>&1
second_has_samples() {
    [[ $(in_hurry stax status --json 2>/dev/null | jq '.data.active.n_samples > 50') == true ]]
}
wait_for 10 second_has_samples
ws patience "$TMP/run2/stax-server.sock" 1
second=$(in_hurry stax status --json | jq .data.server.pid)
kill -TERM "$second"
wait_for 5 gone "$second" || kill -KILL "$second"
kill -KILL "$target"
finish
