#!/usr/bin/env bash
# Socket activation, as the units in server/systemd and capture/staxd/systemd ask for it: the
# first client is answered, and the sockets stay when the programs end.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

port=${STAX_SERVER_WS_BIND#*:}
listening() {
    grep -q listening "$TMP/$1.out"
}
start "$PYTHON" "$here/activate.py" stream "$SOCKET" "$port" stax-server >"$TMP/server.out" 2>"$TMP/server.err"
server=$last_pid
wait_for 5 listening server
check_json "the first question starts stax-server and is answered" <(stax status --json) \
    ".data.server | .pid == $server and .socket == \"$SOCKET\" and .http == \"http://127.0.0.1:$port\""
check "it answers on the TCP socket it was given" test 200 = "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/rpc" \
    -H "Authorization: Bearer $(cat "$STAX_DATA_DIR/token")" -d '{"jsonrpc":"2.0","id":1,"method":"status"}')"
check "no descriptor is left over" test "$(find "/proc/$server/fd" -lname 'socket:*' -printf . | wc -c)" -le 6
kill -TERM "$server"
check "SIGTERM ends it" wait_for 5 gone "$server"
check "... and leaves the socket to whoever made it" test -S "$SOCKET"

if is_root; then
    mkdir -m 755 "$TMP/staxd"
    start "$PYTHON" "$here/activate.py" seqpacket "$TMP/staxd/s.sock" 0 staxd >"$TMP/staxd.out" 2>"$TMP/staxd.err"
    broker=$last_pid
    wait_for 5 listening staxd
    rm "$SOCKET"
    server_start
    check_json "the first question starts staxd" <(stax diagnose host --daemon-socket "$TMP/staxd/s.sock" --json) \
        '.data.checks[] | select(.name == "staxd") | .is_ok and (.value | test("not answer") | not)'
    check "staxd was started" test "$(cat "/proc/$broker/comm")" = staxd
    kill -TERM "$broker"
    check "SIGTERM ends it" wait_for 5 gone "$broker"
    check "... and leaves the socket to whoever made it" test -S "$TMP/staxd/s.sock"
    check_status "staxd without a socket says what it wants" 1 'socket' -- env -u LISTEN_FDS staxd
    check_status "a socket that is none of its kind is refused" 1 'SOCK_SEQPACKET' -- \
        "$PYTHON" -c 'import os, socket
s = socket.socket(socket.AF_UNIX); s.bind(""); s.listen(); os.dup2(s.fileno(), 3, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1"); os.execvp("staxd", ["staxd"])'
else
    skip "activation of staxd" "the broker is started by root"
fi
finish
