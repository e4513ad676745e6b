#!/usr/bin/env bash
# The server's bad days: killed in the middle of a recording, told to end, sockets and folders that
# are not as they should be.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
spin=("$STAX_WORKLOADS/cpu_shares" --threads 1 --duty 0.6)

check_status "no server: status 3, the socket, and how to start it" 3 'unreachable.*|stax-server.sock' -- stax top
check_status "no server, autostart forbidden: record says so" 3 'stax-server' -- \
    env STAX_NO_AUTOSTART=1 stax record -- true
check_status "no server, --no-autostart" 3 'stax-server' -- stax record --no-autostart -- true

# SIGKILL in the middle of a recording.
server_start
server=$last_pid
start "${spin[@]}" --seconds 60 >/dev/null
target=$last_pid
start stax record --pid "$target" >/dev/null 2>"$TMP/record.err"
record=$last_pid
wait_for 10 has_samples 500
run=$(stax status --json | jq '.data.active.run // .data.active.id')
kill -KILL "$server"
check "record ends when its server dies" wait_for 5 gone "$record"
wait "$record" && fail "record reports the death of its server" "$(cat "$TMP/record.err")"
check "the target lives on" alive "$target"
server_start
check "a stale socket is replaced" test -S "$SOCKET"
check_json "the interrupted run is in the list" <(stax list --json) \
    "any(.data.runs[]; .id == $run and .state == \"stopped\" and .stop_reason == \"server_died\")"
wait_for 5 test -n "$(stax sql --path --run "$run")"
check_json "it has what was committed" <(stax top --json --run "$run") '.run.n_samples > 100 and .data.functions[0].name == "burn_alpha"'
check "it is whole" test "$(sqlite3 -readonly "$(stax sql --path --run "$run")" 'PRAGMA integrity_check')" = ok
check "its summaries are those of its rows" test \
    "$(sqlite3 -readonly "$(stax sql --path --run "$run")" 'SELECT SUM(self_on_cpu_ns) FROM symbol_sum')" = \
    "$(sqlite3 -readonly "$(stax sql --path --run "$run")" 'SELECT SUM(on_cpu_ns) FROM sample')"

# SIGTERM in the middle of a recording: drains, stops the run, ends.
start stax record --pid "$target" >/dev/null 2>&1
wait_for 10 has_samples 300
run=$(stax status --json | jq '.data.active.run // .data.active.id')
server=$(server_pid)
kill -TERM "$server"
check "SIGTERM ends the server" wait_for 5 gone "$server"
check "SIGTERM leaves the target alone" alive "$target"
check "SIGTERM removes the socket" test ! -e "$SOCKET"
server_start
check_json "its run was stopped, not interrupted" <(stax list --json) \
    "any(.data.runs[]; .id == $run and .state == \"stopped\" and .stop_reason != \"server_died\")"

# A second server on the same socket or data directory is refused, and the first stays.
server=$(server_pid)
check_status "a second server on a live socket is refused" 1 -- timeout 10 stax-server
check_status "a second server on the same data directory is refused" 1 -- \
    env STAX_SERVER_SOCKET="$TMP/other.sock" timeout 10 stax-server
check "the first one stays" test "$(server_pid)" = "$server"

# Its port is taken: it takes the next and says so.
port=${STAX_SERVER_WS_BIND#*:}
mkdir -m 700 "$TMP/run2"
start env XDG_RUNTIME_DIR="$TMP/run2" STAX_DATA_DIR="$TMP/data2" stax-server 2>"$TMP/server2.log" >&2
second=$last_pid
wait_for 5 env XDG_RUNTIME_DIR="$TMP/run2" stax status >/dev/null 2>&1
check_json "a taken port: the next free one" \
    <(env XDG_RUNTIME_DIR="$TMP/run2" stax status --json) \
    '.data.server.http | tostring | test(":[0-9]+") and (test(":'"$port"'") | not)'
check "a taken port is said" grep -q "$port" "$TMP/server2.log"
kill -TERM "$second"
wait_for 5 gone "$second"

# On all addresses: it says so, and answers on each to those who have the token.
mkdir -m 700 "$TMP/run4"
in_open() {
    env XDG_RUNTIME_DIR="$TMP/run4" STAX_DATA_DIR="$TMP/data4" STAX_SERVER_WS_BIND=0.0.0.0:0 "$@"
}
start in_open stax-server 2>"$TMP/server4.log" >&2
wait_for 5 in_open stax status >/dev/null 2>&1
fourth=$(in_open stax status --json | jq .data.server.pid)
port=$(in_open stax status --json | jq -r '.data.server.http | split(":")[-1]')
in_all() {
    curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.2:$port/rpc" -d '{"jsonrpc":"2.0","id":1,"method":"status"}' "$@"
}
check "a server on all addresses answers on each" test \
    "$(in_all -H "Authorization: Bearer $(cat "$TMP/data4/token")")" = 200
check "... to nobody without the token" test "$(in_all)" = 401
check "... nor under another address's name" test \
    "$(in_all -H "Authorization: Bearer $(cat "$TMP/data4/token")" -H "Host: 127.0.0.3:$port")" = 403
check "it warns of that" grep -q 'other machines' "$TMP/server4.log"
kill -TERM "$fourth"
wait_for 5 gone "$fourth"

# Folders.
refused() {
    local name=$1 pattern=$2
    shift 2
    local status=0
    timeout 10 env STAX_SERVER_SOCKET="$TMP/r.sock" "$@" stax-server >"$TMP/out" 2>&1 || status=$?
    if ((status == 0 || status >= 124)) || ! grep -qE -- "$pattern" "$TMP/out"; then
        fail "$name" "status $status, wanted /$pattern/" "$(cat "$TMP/out")"
    else
        ok "$name"
    fi
}
mkdir -m 700 "$TMP/real"
ln -s "$TMP/real" "$TMP/link"
refused "a data directory that is a symbolic link" 'link' STAX_DATA_DIR="$TMP/link"
touch "$TMP/file"
refused "a symbolic link with a slash behind it" 'link' STAX_DATA_DIR="$TMP/link/"
refused "a data directory that is a file" 'file|directory' STAX_DATA_DIR="$TMP/file"
refused "a data directory whose parent is missing" 'make the folder .*/no/where/at,' STAX_DATA_DIR="$TMP/no/where/at/all"
mkdir -m 777 "$TMP/open"
chmod 777 "$TMP/open"
refused "a data directory that others may write" 'open|mode|permission' STAX_DATA_DIR="$TMP/open"
refused "a socket whose folder is missing" 'make the folder .*/none,' STAX_DATA_DIR="$TMP/real" \
    STAX_SERVER_SOCKET="$TMP/none/s.sock"
refused "a socket path that is too long" 'long' STAX_DATA_DIR="$TMP/real" \
    STAX_SERVER_SOCKET="$TMP/$(printf 'x%.0s' {1..120})"
if is_root; then
    mkdir -m 700 "$TMP/theirs"
    chown 65534 "$TMP/theirs"
    refused "a data directory of another user" 'own' STAX_DATA_DIR="$TMP/theirs"
else
    refused "a data directory of another user" 'own|permission|Permission' STAX_DATA_DIR=/root
fi

# One that stax record starts shares CPUs with what is recorded from that terminal (the kernel shares
# them out by session), and yet outlives it. Prints how the server stands to the terminal's session.
mkdir -m 700 "$TMP/run5"
in_terminal() {
    env XDG_RUNTIME_DIR="$TMP/run5" STAX_DATA_DIR="$TMP/data5" "$@"
}
in_terminal "$PYTHON" - >"$TMP/terminal.out" 2>&1 <<'EOF'
import json, os, pty, subprocess, time
def server():
    status = subprocess.run(["stax", "status", "--json"], capture_output=True, text=True).stdout
    return json.loads(status)["data"]["server"]["pid"] if status else None
def autogroup(pid):
    try:
        return open(f"/proc/{pid}/autogroup").read().split()[0]
    except OSError:
        return None # a kernel without
shell, fd = pty.fork()
if shell == 0:
    os.execvp("bash", ["bash", "-c", "stax record -- true; echo recorded; sleep 60"])
seen = b""
while b"recorded" not in seen:
    seen += os.read(fd, 4096)
pid = server()
stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
print("group of its own" if int(stat[2]) == pid else f"group {stat[2]}")
print("the session" if int(stat[3]) == shell else f"session {stat[3]}")
print("no terminal" if int(stat[4]) == 0 else f"terminal {stat[4]}")
print("the autogroup" if autogroup(pid) == autogroup(shell) else autogroup(pid))
os.write(fd, b"\x03")
os.waitpid(shell, 0)
print("lives after Ctrl-C" if server() == pid else "ended by Ctrl-C")
os.close(fd)
time.sleep(0.3)
print("lives after the terminal" if server() == pid else "ended with the terminal")
EOF
check "a server that stax record starts: in the session, but not at its terminal" diff "$TMP/terminal.out" - <<'EOF'
group of its own
the session
no terminal
the autogroup
lives after Ctrl-C
lives after the terminal
EOF
fifth=$(in_terminal stax status --json | jq -r '.data.server.pid // empty')
[[ $fifth ]] && kill -TERM "$fifth" && wait_for 5 gone "$fifth"

# A full data directory: recording stops cleanly, saved rows stay.
if is_root && mkdir "$TMP/small" && mount -t tmpfs -o size=1m,mode=700 none "$TMP/small" 2>/dev/null; then
    mkdir -m 700 "$TMP/run3"
    in_small() {
        env XDG_RUNTIME_DIR="$TMP/run3" STAX_DATA_DIR="$TMP/small" "$@"
    }
    start in_small stax-server >"$TMP/server3.log" 2>&1
    wait_for 5 in_small stax status >/dev/null 2>&1
    third=$(in_small stax status --json | jq -r '.data.server.pid // empty')
    start in_small stax record -F 9000 --pid "$target" >/dev/null 2>"$TMP/full.err"
    record=$last_pid
    check "a full data directory ends the run" wait_for 30 gone "$record"
    check_json "the run says why" <(in_small stax list --json) 'any(.data.runs[]; .stop_reason == "storage_full")'
    check_status "what was saved answers" 0 burn_alpha -- env XDG_RUNTIME_DIR="$TMP/run3" stax top
    check "a full data directory leaves the target alone" alive "$target"
    [[ $third ]] && kill -TERM "$third" && wait_for 5 gone "$third"
    umount "$TMP/small" || umount -l "$TMP/small"
else
    skip "a full data directory" "needs root to mount a small tmpfs"
fi
kill -KILL "$target"
finish
