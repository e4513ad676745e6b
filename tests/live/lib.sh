# shellcheck shell=bash
# lib.sh - what every live test starts with: `. "$(dirname "$0")/lib.sh"`.
#
# A test prints "ok - NAME", "not ok - NAME" (with what it saw) or "skip - NAME: reason" for each
# check, and ends with `finish`. It gets a folder of its own ($TMP), a data directory of its own, and
# a server of its own that is stopped at the end. STAX_BIN and STAX_WORKLOADS say where the programs
# are; without them the dev build is used.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${STAX_BIN:=$here/../../build/bin}"
: "${STAX_WORKLOADS:=$here/../../build/tests/workloads}"
STAX_BIN=$(cd "$STAX_BIN" && pwd) || exit 1
STAX_WORKLOADS=$(cd "$STAX_WORKLOADS" && pwd) || exit 1
export PATH=$STAX_BIN:$PATH
# System python: it has the packages that bootstrap installs.
export PYTHON=/usr/bin/python3

base=/dev/shm
[[ -w $base ]] || base=/tmp
TMP=$(mktemp -d "$base/stax-live.XXXXXX") || exit 1
export XDG_RUNTIME_DIR=$TMP/run STAX_DATA_DIR=$TMP/data HOME=$TMP TMPDIR=$TMP NO_COLOR=1 LC_ALL=C.UTF-8
export XDG_STATE_HOME=$TMP/state
unset STAX_SERVER_SOCKET STAX_NO_AUTOSTART COLUMNS
# A staxd of this host is none of the tests' business; scripts/test names one that is.
export STAX_DAEMON_SOCKET=${STAX_DAEMON_SOCKET-}
SOCKET=$XDG_RUNTIME_DIR/stax-server.sock
mkdir -m 700 "$XDG_RUNTIME_DIR"
# Tests of several users may run on one machine: each looks for a port of its own.
export STAX_SERVER_WS_BIND=127.0.0.1:$((20000 + $$ % 20000))

n_failed=0
last_pid= # of the last start, for the test
export last_pid

server_pid() {
    stax status --json 2>/dev/null | jq -r '.data.server.pid // empty' 2>/dev/null
}
# Targets outlive the recorder that started them: what was started with this test's data directory in
# its environment ends with the test, or it would take the processors from the tests after it.
end_leftovers() {
    local file
    grep -lsaF "STAX_DATA_DIR=$TMP/data" /proc/[0-9]*/environ | while IFS= read -r file; do
        file=${file#/proc/}
        kill -KILL "${file%/environ}" 2>/dev/null
    done
}
cleanup() {
    local pid status=$?
    pid=$(server_pid)
    if [[ -n $pid ]]; then
        kill -TERM "$pid" 2>/dev/null
        wait_for 5 gone "$pid" || kill -KILL "$pid" 2>/dev/null
    fi
    # Only what still runs as a child of this shell: an old pid may be somebody else's by now.
    for pid in $(jobs -pr); do
        kill -KILL "$pid" 2>/dev/null
    done
    end_leftovers
    if grep -rqE --include='*.log' --include='*err*' 'Sanitizer|runtime error:' "$TMP"; then
        fail "no sanitizer reports" "$(grep -rhE -A12 --include='*.log' --include='*err*' 'Sanitizer|runtime error:' "$TMP")"
        status=1
    fi
    if [[ ${KEEP:-} ]]; then
        echo "# kept: $TMP" >&2
    else
        rm -rf "$TMP"
    fi
    exit $status
}
trap cleanup EXIT
trap 'exit 129' HUP INT TERM

# A process in the background that is killed at the end; its pid is in $last_pid.
start() {
    "$@" &
    last_pid=$!
}
gone() {
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [[ -z $state || $state == Z* ]]
}
alive() {
    ! gone "$1"
}
# wait_for SECONDS CMD...: until the command succeeds.
wait_for() {
    local end=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@"; do
        (($(date +%s%N) < end)) || return 1
        sleep 0.1 # asking costs CPU time, too
    done
}

ok() {
    echo "ok - $1"
}
fail() {
    echo "not ok - $1"
    shift
    (($# == 0)) || printf '%s\n' "$@" | head -c 3000 | cat -v | sed 's/^/    /'
    n_failed=$((n_failed + 1))
}
skip() {
    echo "skip - $1: $2"
}
# check NAME CMD...: the command must succeed.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$name"
    else
        fail "$name" "\$ $*" "$output"
    fi
}
# check_status NAME STATUS [PATTERN] -- CMD...: exit status, and an ERE that its output (stdout and
# stderr) matches.
check_status() {
    local name=$1 want=$2 pattern=
    shift 2
    if [[ $1 != -- ]]; then
        pattern=$1
        shift
    fi
    shift
    local output got=0
    output=$("$@" 2>&1 </dev/null) || got=$?
    if ((got == want)) && grep -qE -- "$pattern" <<<"$output"; then
        ok "$name"
    else
        fail "$name" "\$ $*" "status $got, wanted $want${pattern:+ and /$pattern/}" "$output"
    fi
}
# check_json NAME FILE FILTER [ARGS...]: the jq filter must print true for the file, and nothing else.
check_json() {
    local name=$1 filter=$3 got
    # The file may be a pipe: it is read once and kept for the report.
    cat "$2" >"$TMP/check.json"
    shift 3
    got=$(jq "$@" "$filter" "$TMP/check.json" 2>&1)
    if [[ $got == true ]]; then
        ok "$name"
    else
        fail "$name" "$filter" "jq: $(head -c 500 <<<"$got")" "$(head -c 1500 "$TMP/check.json")"
    fi
}
finish() {
    exit $((n_failed > 0))
}

# Starts a server in the foreground of its own job and waits until it answers; pid in $last_pid.
server_start() {
    start "$@" stax-server >>"$TMP/server.log" 2>&1
    wait_for 10 stax status >/dev/null 2>&1 || fail "stax-server starts" "$(tail -5 "$TMP/server.log")"
}
# One call over the Unix socket: rpc METHOD [PARAMS]; prints the whole response.
rpc() {
    local body
    body=$(jq -nc --arg m "$1" --argjson p "${2:-{\}}" '{jsonrpc:"2.0",id:1,method:$m,params:$p}')
    curl -s --max-time 30 --unix-socket "$SOCKET" http://stax/rpc -d "$body"
}
# status_is FILTER: the filter prints true for the server's status; false when there is no server.
status_is() {
    [[ $(stax status --json 2>/dev/null | jq "$1" 2>/dev/null) == true ]]
}
is_active() {
    status_is '.data.active != null'
}
is_idle() {
    status_is '.data.active == null'
}
# Ends the active run and its target, which would burn on.
end_run() {
    local pid
    pid=$(stax status --json 2>/dev/null | jq '.data.active.pid // empty')
    stax stop >/dev/null 2>&1
    [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null
}
# The active run has at least N samples: has_samples N.
has_samples() {
    status_is ".data.active != null and .data.active.n_samples >= $1"
}
# The newest run's names are: names_are pending|complete|incomplete.
names_are() {
    [[ $(stax list --json 2>/dev/null | jq -r '.data.runs[0].names') == "$1" ]]
}
is_root() {
    ((EUID == 0))
}
# Whether a run of this test may see the kernel's part.
sees_kernel() {
    is_root || [[ $STAX_DAEMON_SOCKET ]] || (($(cat /proc/sys/kernel/perf_event_paranoid) <= 1))
}
# Skips the whole file when this host does not let the user record at all.
need_perf() {
    local level
    level=$(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo 99)
    if ! is_root && ((level > 2)); then
        skip "$(basename "$0" .sh)" "perf_event_paranoid is $level"
        finish
    fi
}
