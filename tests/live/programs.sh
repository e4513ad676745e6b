#!/usr/bin/env bash
# Real programs: names in top and flame while they run, and the same numbers from a plain sqlite3.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

# A plain sqlite3 on the live file gives the numbers of stax top: sampling is paused, so that both
# are asked about the same moment.
settled() {
    stax top --json -n 100000 >"$TMP/before.json" 2>/dev/null
    sleep 0.6
    stax top --json -n 100000 >"$TMP/live.json" 2>/dev/null
    # Nor do names come that were late.
    [[ $(jq .quality.n_pending "$TMP/live.json") == 0 && $(jq -S .data "$TMP/live.json") == "$(jq -S .data "$TMP/before.json")" ]]
}
same_in_sql() {
    local name=$1 db
    db=$(stax sql --path)
    check_json "$name: sampling is paused" <(rpc set_paused '{"is_paused":true}') '.result.data.is_paused'
    wait_for 10 settled || fail "$name: a paused run comes to rest" "$(jq -c .quality "$TMP/live.json")"
    check "$name: functions in SQL and in top are the same, live" diff \
        <(jq -r '.data.functions[] | "\(.name)|\(.self_on_cpu_ns)|\(.n_self_samples)|\(.total_on_cpu_ns)|\(.n_total_samples)"' "$TMP/live.json" | sort) \
        <(sqlite3 -readonly -cmd '.timeout 2000' "$db" "SELECT name, sum(self_on_cpu_ns), sum(n_self_samples), sum(total_on_cpu_ns),
          sum(n_total_samples) FROM symbol_sum JOIN symbol ON symbol.id = symbol
          WHERE kind NOT IN ('process', 'marker') GROUP BY symbol.id HAVING sum(n_total_samples) > 0" | sort)
    check "$name: samples in SQL and in top are the same, live" test \
        "$(sqlite3 -readonly -cmd '.timeout 2000' "$db" 'SELECT sum(on_cpu_ns), count(*) FROM sample')" = \
        "$(jq -r '"\(.run.on_cpu_ns)|\(.run.n_samples)"' "$TMP/live.json")"
    rpc set_paused '{"is_paused":false}' >/dev/null
}
# live NAME FUNCTION PATH: top and flame name the functions while the run is active, and SQL agrees.
live() {
    local name=$1 function=$2 path=$3
    wait_for 60 has_samples 400 || fail "$name: samples arrive" "$(cat "$TMP/err")"
    check_status "$name: top names $function" 0 "$function" -- stax top -n 100 --sort total
    check_status "$name: flame names $path" 0 "$path" -- stax flame -d 60
    same_in_sql "$name"
}
share_unnamed() {
    stax top --json -n 1000 | jq '100 * ([.data.functions[] | select(.kind == "unnamed") | .self_on_cpu_ns] | add // 0) / .data.on_cpu_ns | floor'
}

# A multi-threaded C++ program: demangled names. The rate makes 3 points far from what chance does on a
# busy machine, too.
start stax record -F 2500 -- "$STAX_WORKLOADS/cxx_threads" 4 >"$TMP/truth.json" 2>"$TMP/err"
record=$last_pid
live "C++" 'shop::inventory::Warehouse<.*>::recount' ' recount|::recount\('
wait_for 15 gone "$record"
stax top --json -n 100 >"$TMP/top.json"
check_json "C++: a template method by its demangled name" "$TMP/top.json" \
    'any(.data.functions[]; .name | test("shop::inventory::Warehouse<.*>::recount\\(unsigned long, long\\)"))'
check_json "C++: a lambda and an operator" "$TMP/top.json" \
    'any(.data.functions[]; .name | test("main::\\{lambda")) and any(.data.functions[]; .name | test("::operator\\(\\)\\("))'
check_json "C++: shares within 3 points" "$TMP/top.json" \
    '($truth[0] | add) as $sum | ([.data.functions[] | select(.name | test("recount"))] | map(.self_pct) | add) as $got |
     (100 * $truth[0].template_ns / $sum - $got) | fabs <= 3' --slurpfile truth "$TMP/truth.json"
check_status "C++: names are cut in the middle, numbers never" 0 '…' -- env COLUMNS=80 stax top
check_json "C++: four threads" <(stax threads --json -n 0) '[.data.threads[] | select(.n_samples > 0)] | length >= 4'
stax save "$TMP/cxx.stax" >/dev/null 2>&1
check "C++: the archive gives the numbers of stax top" diff \
    <(jq -r '.data.functions[] | select(.self_on_cpu_ns > 0) | .self_on_cpu_ns' "$TMP/top.json" | sort -n) \
    <(sqlite3 -readonly "$TMP/cxx.stax" "SELECT self_on_cpu_ns FROM symbol_sum JOIN symbol ON symbol.id = symbol
      WHERE self_on_cpu_ns > 0 AND kind NOT IN ('process', 'marker') ORDER BY 1")

# Python: a shared, stripped interpreter has the names of its dynamic symbols.
start stax record -- "$PYTHON" -c '
import time
end = time.monotonic() + 60
while time.monotonic() < end:
    sum(i * i for i in range(10000))' >/dev/null 2>"$TMP/err"
record=$last_pid
live "Python" '_PyEval_EvalFrameDefault' ' (Py_BytesMain|Py_RunMain)$'
kill -KILL "$(stax status --json | jq .data.active.pid)"
wait_for 15 gone "$record"

# gcc -O2: cc1 is a child of gcc, has its own root, and most of its time has names or extents.
cat >"$TMP/big.c" <<'C'
#define F(n) int f##n(int *a, int k) { int s = 0; for (int i = 0; i < k; i++) { for (int j = i; j < k; j++) { s += a[i] * a[j] ^ n; if (s % 7 == n % 7) { s -= a[i] / (a[j] | 1); } } } return s; }
#define F10(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5) F(n##6) F(n##7) F(n##8) F(n##9)
#define F100(n) F10(n##0) F10(n##1) F10(n##2) F10(n##3) F10(n##4) F10(n##5) F10(n##6) F10(n##7) F10(n##8) F10(n##9)
F100(1) F100(2) F100(3) F100(4) F100(5) F100(6) F100(7)
C
start stax record -- gcc -O2 -c "$TMP/big.c" -o "$TMP/big.o" >/dev/null 2>"$TMP/err"
record=$last_pid
live "gcc" 'execute_pass_list\(function\*, opt_pass\*\) +cc1' ' toplev::main\(int, char\*\*\)$'
wait_for 60 gone "$record"
wait "$record"
check "gcc: its exit status" test $? = 0
check "gcc: it wrote its object" test -s "$TMP/big.o"
check_json "gcc: cc1 is a root" <(stax flame --json) 'any(.data.roots[]; .name == "cc1")'
check_json "gcc: unnamed code reads binary+0x" <(stax top --json -n 1000) \
    'all(.data.functions[] | select(.kind == "unnamed"); .name | test("\\+0x[0-9a-f]+$"))'
check_status "gcc: diagnose ranks what has no name" 0 . -- stax diagnose

# redis under load, attached by pid.
server_binary=$(command -v redis-server || command -v redis-check-rdb || true)
if [[ -n $server_binary ]] && command -v redis-benchmark >/dev/null; then
    # In Debian redis-check-rdb is redis-server: what it does depends on its name.
    ln -sf "$server_binary" "$TMP/redis-server"
    port=$((10000 + $$ % 10000))
    start "$TMP/redis-server" --port $port --save '' --dir "$TMP" >"$TMP/redis.log" 2>&1
    redis=$last_pid
    wait_for 5 redis-cli -p $port ping >/dev/null 2>&1
    start redis-benchmark -q -p $port -P 32 -n 100000000 -t set,get >/dev/null 2>&1
    load=$last_pid
    start stax record --pid "$redis" >/dev/null 2>"$TMP/err"
    record=$last_pid
    # Its own code by name or, where Debian stripped it, by its place.
    live "redis" '(processCommand|readQueryFromClient|redis-(server|check-rdb)\+0x[0-9a-f]+) +redis-' ' (aeMain|call|redis-(server|check-rdb)\+0x[0-9a-f]+)$'
    stax stop >/dev/null
    kill -KILL "$load"
    check "redis: alive after the recording" redis-cli -p $port ping
    unnamed=$(share_unnamed)
    check "redis: share of its own time without a name is known ($unnamed %)" test "$unnamed" -ge 0
    kill -TERM "$redis"
else
    skip "redis" "redis is not installed"
fi
finish
