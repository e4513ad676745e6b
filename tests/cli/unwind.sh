#!/usr/bin/env bash
# Stops real programs at random points and compares every frame that gdb finds with those of the
# unwinder, on the same registers and memory.
#
# POINTS (40) is the number of points in each program, SEED (1) says which.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${STAX_BIN:=build/bin}" "${STAX_WORKLOADS:=build/tests/workloads}"
FRAMES=$(cd "$STAX_BIN" && pwd)/../tests/bench/bench_frames
export FRAMES POINTS=${POINTS:-40} SEED=${SEED:-1}
tmp=$(mktemp -d /tmp/stax-unwind.XXXXXX) || exit 1
trap 'rm -rf "$tmp"' EXIT
n_failed=0

if [[ $(uname -m) != x86_64 ]]; then
    echo "skip - frames beside gdb's: stacks are unwound on x86-64"
    exit 0
fi
if ! gdb -nx --batch -ex 'python print("python")' 2>/dev/null | grep -q python; then
    echo "skip - frames beside gdb's: gdb (with Python) is not installed"
    exit 0
fi
compare() { # NAME CMD...
    local name=$1 pid status
    shift
    "$@" >/dev/null 2>&1 </dev/null &
    pid=$!
    sleep 0.3
    # Neither its own start-up files nor a debuginfod: what this machine has is enough for frames.
    env -u DEBUGINFOD_URLS timeout -k 5 60 gdb -nx --batch -p "$pid" -x tests/cli/unwind_gdb.py >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    kill -KILL "$pid" 2>/dev/null
    { wait "$pid"; } 2>/dev/null
    if ((status == 0)) && grep -q ' points, ' "$tmp/out"; then
        echo "ok - $name: $(tail -1 "$tmp/out")"
    elif grep -q 'ptrace: Operation not permitted' "$tmp/err"; then
        echo "skip - $name: this host forbids ptrace"
    else
        echo "not ok - $name: exit status $status"
        cat "$tmp/out" "$tmp/err" | grep -v '^warning' | tail -40 | sed 's/^/    /'
        n_failed=$((n_failed + 1))
    fi
}

compare "python3, recursion through C" /usr/bin/python3 -S -E -c '
import json, re
def f(n): return sorted((n,), key=lambda x: f(n - 1) if n else 0)
while True:
    for i in range(12): f(i)
    json.loads(json.dumps([{"a": i} for i in range(300)])); re.sub("a+b", "c", "aaab" * 300)'
seq 1000000 | sed 's/\(.\)\(.*\)/\2\1 line/' >"$tmp/lines"
many=()
for _ in {1..40}; do many+=("$tmp/lines"); done
compare "sort, two threads" sort --parallel=2 -S 300M -T "$tmp" -k 2 -k 1n "${many[@]}"
compare "C++ without frame pointers" "$STAX_WORKLOADS/omitted" --seconds 600
compare "C++ in a signal handler" "$STAX_WORKLOADS/omitted" --seconds 600 --signals
compare "C++, stripped" "$STAX_WORKLOADS/omitted_stripped" --seconds 600 --deep 200
exit $((n_failed > 0))
