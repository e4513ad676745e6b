#!/usr/bin/env bash
# Whole user stacks without frame pointers: launched and attached, static, stripped, with signals,
# of programs whose file is gone, of real programs, and of threads that wait.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
server_start
omitted=$STAX_WORKLOADS/omitted

# How many samples the selected run has, and how many stacks reach a root.
value() {
    stax sql --json "$1" | jq -r '.data.rows[0][0] // 0'
}
# The share, in percent, of samples that some condition on their stack holds for. Columns: cs (the
# callsite), depth, name and binary of each of its functions; leaf: those of the sampled one.
share() {
    value "WITH RECURSIVE sites AS (SELECT DISTINCT callsite AS cs FROM sample),
        up (cs, id, depth, parent, frame) AS (
            SELECT cs, id, depth, parent, frame FROM sites JOIN callsite ON id = cs
            UNION ALL
            SELECT up.cs, c.id, c.depth, c.parent, c.frame FROM up JOIN callsite AS c ON c.id = up.parent),
        stack AS (
            SELECT cs, depth, up.frame AS frame, symbol.kind AS kind, symbol.name AS name, binary.name AS binary
            FROM up JOIN frame ON frame.id = up.frame JOIN symbol ON symbol.id = frame.symbol
            LEFT JOIN binary ON binary.id = frame.binary),
        leaf AS (
            SELECT sample.callsite AS cs, symbol.name AS name, count(*) AS n
            FROM sample JOIN frame ON frame.id = sample.frame JOIN symbol ON symbol.id = frame.symbol
            GROUP BY 1, 2)
        SELECT $1"
}
# Of the outermost functions the N most frequent, none of them the marker of a cut stack: a stack
# that went wrong ends anywhere.
in_roots() {
    share "round(100.0 * (SELECT sum(n) FROM (
            SELECT sum(leaf.n) AS n FROM stack JOIN leaf ON leaf.cs = stack.cs
            WHERE stack.depth = 1 AND stack.kind != 'marker' GROUP BY stack.frame ORDER BY 1 DESC LIMIT $1))
        / (SELECT sum(n) FROM leaf), 2)"
}
# Below one of these functions (an SQL list), as a caller.
below() {
    share "round(100.0 * (SELECT sum(n) FROM leaf WHERE cs IN (SELECT cs FROM stack WHERE name IN ($1)))
        / (SELECT sum(n) FROM leaf), 2)"
}
complete() {
    value "SELECT round(100.0 * sum(CASE cause WHEN 'root' THEN n_samples ELSE 0 END) / sum(n_samples), 2) FROM stack_end"
}
causes() {
    stax sql "SELECT cause, n_samples, n_guessed_samples, n_waits FROM stack_end"
}
# at_least NAME VALUE WANTED
at_least() {
    if [[ $(jq -n "($2) >= ($3)") == true ]]; then
        ok "$1: $2 % of $n_samples"
    else
        fail "$1" "$2 %, wanted $3 %, of $n_samples samples" "$(causes)" "$(stax flame -d 8 2>&1 | head -40)"
    fi
}
# are_whole NAME N_ROOTS: the run has enough samples, 99 % of them reach a root, of which there are few.
are_whole() {
    n_samples=$(value "SELECT n_samples FROM run")
    if ((n_samples < 300)); then
        fail "$1: samples" "only $n_samples"
        return
    fi
    at_least "$1: stacks reach their root" "$(complete)" 99
    at_least "$1: which is one of $2" "$(in_roots "$2")" 98.5
}
record() {
    stax record "$@" >"$TMP/out" 2>"$TMP/err" </dev/null || fail "record $*" "$(tail -5 "$TMP/err")"
}
# attach N PID: records a program that runs already until there are N samples.
attach() {
    start stax record --pid "$2" -l 60 >"$TMP/out" 2>"$TMP/err" </dev/null
    wait_for 20 is_active || fail "record --pid $2" "$(tail -5 "$TMP/err")"
    stax wait --for-samples "$1" --timeout-ms 59000 >/dev/null 2>&1
    stax stop >/dev/null 2>&1
    wait_for 20 is_idle
}
# with N CMD...: the same for a program that is started for it.
with() {
    local n=$1 target
    shift
    start "$@" >/dev/null 2>&1
    target=$last_pid
    sleep 0.3
    attach "$n" "$target"
    kill -KILL "$target" 2>/dev/null
    { wait "$target"; } 2>/dev/null
}

# ---- a program that knows its functions ----

record -- "$omitted" --seconds 2 --threads 2
are_whole "C++ without frame pointers" 4
at_least "... below main or a worker" "$(below "'main', '(anonymous namespace)::worker(double, int)'")" 99
at_least "... through the C library's qsort" "$(below "'qsort', 'qsort_r'")" 15
check "... with as many frames as there are" test "$(value "SELECT max(depth) FROM callsite")" -ge 34
check_json "... and diagnose says how they end" <(stax diagnose --json) \
    '.data.stacks | map(select(.cause == "root"))[0].n_samples > 300'

with 1500 "$omitted" --seconds 600 --threads 2
are_whole "the same, attached" 4
at_least "... below main or a worker" "$(below "'main', '(anonymous namespace)::worker(double, int)'")" 99

record -- "$omitted" --seconds 2 --signals
are_whole "interrupted by signals" 3
at_least "... the handler" "$(below "'(anonymous namespace)::handler(int)'")" 3
at_least "... stands below main" "$(share "round(100.0 * (SELECT sum(n) FROM leaf
        WHERE cs IN (SELECT cs FROM stack WHERE name LIKE '%::handler(int)') AND cs IN (SELECT cs FROM stack WHERE name = 'main'))
    / (SELECT sum(n) FROM leaf WHERE cs IN (SELECT cs FROM stack WHERE name LIKE '%::handler(int)')), 2)")" 99

record -- "$STAX_WORKLOADS/omitted_static" --seconds 1
are_whole "a static binary" 3
at_least "... below main" "$(below "'main'")" 99
record -- "$STAX_WORKLOADS/omitted_stripped" --seconds 1
are_whole "a stripped binary" 3

for how in delete replace; do
    cp "$omitted" "$TMP/vanishing"
    with 800 "$TMP/vanishing" --seconds 600 --vanish $how
    are_whole "a program whose file was ${how}d" 3
done
rm -f "$TMP/vanishing"

# ---- turned off ----

record --no-dwarf-unwind -- "$omitted" --seconds 1
check_json "--no-dwarf-unwind: the run says so" <(stax diagnose --json) \
    '.data.abilities | map(select(.name == "full_stacks"))[0] | .is_available == false and (.reason | startswith("turned off"))'
n_samples=$(value "SELECT n_samples FROM run")
at_least "... and has no stacks to speak of" "$(jq -n "100 - $(below "'main'")")" 30
STAX_DWARF_UNWIND=0 record -- "$omitted" --seconds 0.2
check_json "STAX_DWARF_UNWIND=0 does the same" <(stax diagnose --json) \
    '.data.abilities | map(select(.name == "full_stacks"))[0].is_available == false'

# ---- little room: small copies, the rest is read ----

if ! is_root; then
    server=$(server_pid)
    kill -TERM "$server"
    wait_for 10 gone "$server"
    # The server that this starts inherits the limit.
    ulimit -S -l 64
    record -F 5000 -- "$omitted" --seconds 2 --deep 200
    ulimit -S -l "$(ulimit -H -l)"
    n_samples=$(value "SELECT n_samples FROM run")
    at_least "deep stacks in small rings" "$(complete)" 50
    at_least "... some of it read from the target" "$(value "SELECT 100.0 * sum(n_guessed_samples) / sum(n_samples) FROM stack_end")" 1
    check_json "... without loss" <(stax diagnose --json) '.quality.n_lost == 0'
    server=$(server_pid)
    kill -TERM "$server"
    wait_for 10 gone "$server"
    server_start
fi

# ---- real programs ----

if command -v gcc >/dev/null; then
    "$PYTHON" - >"$TMP/source.c" <<'P'
for i in range(400):
    print(f"static int f{i}(int *a, int n) {{ int s = {i}; for (int i = 0; i < n; i++) for (int j = i; j < n;"
          f" j += {i % 5 + 1}) {{ s += a[i] * a[j] ^ (s >> {i % 11}); if (s % 7 == 3) a[j] = s; }} return s; }}"
          f" int g{i}(int *a, int n) {{ return f{i}(a, n) + f{i}(a + 1, n - 1); }}")
P
    record -- gcc -O2 -c "$TMP/source.c" -o "$TMP/source.o"
    are_whole "gcc" 12
else
    skip "gcc" "not installed"
fi
record -- "$PYTHON" -c "
import re, json, time
def f(n): return sorted((n,), key=lambda x: f(n - 1) if n else 0)
end = time.process_time() + 1.5
while time.process_time() < end:
    for i in range(10): f(i)
    json.loads(json.dumps([{'a': i} for i in range(1000)]))
    re.sub('a+b', 'c', 'aaab' * 1000)
"
are_whole "python3" 6
if command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null; then
    start redis-server --port 0 --unixsocket "$TMP/redis.sock" --save '' --appendonly no --dir "$TMP" >/dev/null
    redis=$last_pid
    wait_for 10 test -S "$TMP/redis.sock" || fail "redis-server starts"
    start redis-benchmark -s "$TMP/redis.sock" -n 100000000 -c 20 -t get,set,lpush,lrange_100 -q >/dev/null 2>&1
    benchmark=$last_pid
    attach 1000 "$redis"
    are_whole "redis-server" 6
    kill -KILL "$benchmark" "$redis" 2>/dev/null
else
    skip "redis-server" "not installed"
fi
if command -v node >/dev/null; then
    record -- node -e "
const end = process.cpuUsage().user + 1.5e6; let s = 0;
function g(n) { return n ? g(n - 1) + JSON.stringify({ a: n }).length : 0; }
while (process.cpuUsage().user < end) { s += g(50); [...Array(1000).keys()].sort((a, b) => b - a); }
console.log(s)"
    are_whole "node" 12
else
    skip "node" "not installed"
fi

# ---- threads that wait ----

record -- "$STAX_WORKLOADS/waits" --rounds 6 --wait-ms 150
n_samples=$(value "SELECT count(*) FROM thread_state JOIN thread USING (utid) WHERE name LIKE 'w-%' AND state = 'blocked' AND dur >= 100000000")
check "waits of 100 ms and more are there" test "$n_samples" -ge 60
waits() {
    value "WITH RECURSIVE wait AS (
            SELECT thread_state.id AS wait, callsite, stack_from FROM thread_state JOIN thread USING (utid)
            WHERE name LIKE 'w-%' AND state = 'blocked' AND dur >= 100000000),
        up (wait, parent, frame) AS (
            SELECT wait, parent, frame FROM wait JOIN callsite ON callsite.id = wait.callsite
            UNION ALL
            SELECT up.wait, c.parent, c.frame FROM up JOIN callsite AS c ON c.id = up.parent)
        SELECT round(100.0 * count(*) / (SELECT count(*) FROM wait), 2) FROM wait WHERE $1"
}
at_least "they have stacks of their own" "$(waits "stack_from IN ('switch', 'parked')")" 90
at_least "... that show where they wait" "$(waits "stack_from IN ('switch', 'parked') AND wait IN (
    SELECT up.wait FROM up JOIN frame ON frame.id = up.frame JOIN symbol ON symbol.id = frame.symbol
    WHERE symbol.name GLOB 'wait_*' OR symbol.name GLOB 'meet*')")" 90
if sees_kernel; then
    at_least "... taken as they began" "$(waits "stack_from = 'switch'")" 80
else
    at_least "... read while they lasted" "$(waits "stack_from = 'parked'")" 90
fi
finish
