#!/usr/bin/env bash
# Callers, callees and the comparison of runs: a program built twice, once slower in one function.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
cat >"$TMP/work.c" <<'C'
#include <stdio.h>
#include <time.h>
static volatile unsigned long n;
static long cpu_ms(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec * 1000 + t.tv_nsec / 1000000; }
/* Each uses as much CPU time as it is told, whatever else the machine does. */
#define WORK(name) __attribute__((noinline)) void name(int ms) \
    { for (long end = cpu_ms() + ms; cpu_ms() < end;) { for (int i = 0; i < 50000; i++) { n += (unsigned)i; } } }
WORK(lex) WORK(parse) WORK(emit)
#ifdef EXTRA
WORK(optimize)
#endif
__attribute__((noinline)) void nap(int ms) { struct timespec t = {0, ms * 1000000L}; nanosleep(&t, 0); }
__attribute__((noinline)) void compile(int depth)
{
    if (depth) { compile(depth - 1); n++; return; }
    for (int i = 0; i < 10; i++) {
        lex(40); parse(PARSE_MS); emit(40); nap(NAP_MS);
#ifdef EXTRA
        optimize(30);
#endif
    }
}
int main(void) { compile(3); n++; return 0; }
C
build() {
    cc -O0 -fno-omit-frame-pointer -o "$TMP/$1/work" "${@:2}" "$TMP/work.c" || exit 1
}
mkdir "$TMP/old" "$TMP/new"
build old -DPARSE_MS=40 -DNAP_MS=5
build new -DPARSE_MS=80 -DNAP_MS=25 -DEXTRA

# What each run was, as a number and as a file.
number() {
    stax list --json | jq '.data.runs[0].id'
}
for run in "one old" "two old" "three new"; do
    read -r name folder <<<"$run"
    stax record -F 2000 -- "$TMP/$folder/work" 2>"$TMP/err" || fail "record" "$(cat "$TMP/err")"
    declare "$name=$(number)"
    stax save "$TMP/$name.stax" >/dev/null || fail "save"
done

# shellcheck disable=SC2154
for runs in "$one $three" "$TMP/one.stax $TMP/three.stax" "$one $TMP/three.stax" "$TMP/one.stax $three"; do
    read -r a b <<<"$runs"
    kind="$([[ $a == /* ]] && echo file || echo id) $([[ $b == /* ]] && echo file || echo id)"
    stax compare "$a" "$b" --json >"$TMP/c.json" 2>"$TMP/err" || fail "compare $kind" "$(cat "$TMP/err")"
    check_json "$kind: the slower function comes first" "$TMP/c.json" '.data.functions[0] |
        .name == "parse" and .self.is_significant and .status == "both" and (.self.delta_ns - 400e6 | fabs) < 100e6'
    check_json "$kind: the new one is found" "$TMP/c.json" '[.data.functions[] | select(.name == "optimize")][0] |
        .status == "new" and .self.is_significant and .self.a_ns == 0 and (.self.b_ns - 300e6 | fabs) < 100e6'
    check_json "$kind: the others did not change" "$TMP/c.json" \
        '[.data.functions[] | select(.name == ("lex", "emit")) | .self.is_significant] == [false, false]'
done
check_json "functions above the slower one changed in total alone" <(stax compare "$one" "$three" -n 0 --json) \
    '[.data.functions[] | select(.name == ("compile", "main"))] | length == 2 and all(.total.is_significant and (.self.is_significant != true))'
check_json "backwards it is faster, and one function is gone" <(stax compare "$three" "$one" --json) \
    '(.data.functions[0] | .name == "parse" and .self.delta_ns < -300e6) and
     ([.data.functions[] | select(.name == "optimize")][0].status == "vanished")'
# shellcheck disable=SC2154
for by in time share; do
    stax compare "$one" "$two" -n 0 --by $by --json >"$TMP/same.json" 2>"$TMP/err" || fail "compare the same" "$(cat "$TMP/err")"
    check_json "the same build twice, by $by: its functions are compared" "$TMP/same.json" \
        ".data | .by == \"$by\" and .n_tested > 6 and ([.functions[] | select(.binary == \"work\")] | length >= 5)"
    # What the kernel does in them, and how often, is up to the machine: a hundredth of a run.
    jq -c '.data as $d | [$d.functions[] | select(.binary == "work") |
        {name, self, total} | select(([.self, .total][] | select(.is_significant)
            | (.delta_ns | fabs) > $d.on_cpu_ns_least / 100))]' \
        <(jq '.data.on_cpu_ns_least = ([.data.a.on_cpu_ns, .data.b.on_cpu_ns] | min)' "$TMP/same.json") >"$TMP/different.json"
    check_json "the same build twice, by $by: nothing is significant" "$TMP/different.json" 'length == 0'
done
# How long a run takes is up to the machine too: its rates are just what they say.
check_json "rates are times by the length of each run" <(stax compare "$one" "$three" -n 0 --by rate --json) '.data | .a.elapsed_ns as $a | .b.elapsed_ns as $b
    | [.functions[].self, .functions[].total | (.a_ns / $a * 1e9 - .a_ns_per_s | fabs), (.b_ns / $b * 1e9 - .b_ns_per_s | fabs)] | max < 10'
if [[ $(stax sql --run "$three" --csv 'SELECT has_off_cpu FROM run' | tail -1) == 1 ]]; then
    jq -s 'def off: [.data.threads[].off_cpu_ns] | add; def slept: [.data.threads[].reasons.sleep_ns] | add;
        {c: .[0].data, a: (.[1] | off), b: (.[2] | off), slept_a: (.[1] | slept), slept_b: (.[2] | slept)}' \
        <(stax compare "$one" "$three" --json) <(stax threads -n 0 --run "$one" --json) <(stax threads -n 0 --run "$three" --json) >"$TMP/waits.json"
    check_json "waits are those of each run, and exact" "$TMP/waits.json" \
        '(.c.totals.off_cpu | .a_ns) == .a and .c.totals.off_cpu.b_ns == .b and ([.c.reasons[].off_cpu.b_ns] | add) == .b
         and (.b >= 240e6) and ([.c.reasons[].off_cpu | .interval_ns, .is_significant] | all(. == null))'
    check_json "reasons too" "$TMP/waits.json" '.slept_a as $a | .slept_b as $b | [.c.reasons[] | select(.reason == "sleep")][0].off_cpu | .a_ns == $a and .b_ns == $b and $b > 0'
    check_status "--fail-if off_cpu" 1 'failed: off_cpu > 200ms' -- stax compare "$one" "$three" --fail-if 'off_cpu > 200ms'
else
    check_status "--fail-if off_cpu without waits" 1 'no time off the CPU' -- stax compare "$one" "$three" --fail-if 'off_cpu > +100ms'
fi
check_json "threads by name" <(stax compare "$one" "$three" --json) \
    '.data.threads | length == 1 and (.[0] | .name == "work" and .n_a_threads == 1 and .n_b_threads == 1 and .on_cpu.delta_ns > 500e6)'
check_json "a part of both runs" <(stax compare "$one" "$three" --to 0.5 --json) '.data | .a.elapsed_ns == 500000000 and .b.elapsed_ns == 500000000'
check_json "functions left out" <(stax compare "$one" "$three" --exclude parse -n 0 --json) \
    '[.data.functions[] | select(.name == "parse")] == []'

check_status "--fail-if: the slower function" 1 'failed: self\(parse\) > \+5ms' -- \
    stax compare "$one" "$three" --fail-if 'self(parse) > +5ms'
check_status "--fail-if: which of several" 1 '^stax: failed: on_cpu > \+10%' -- \
    stax compare "$TMP/one.stax" "$TMP/three.stax" --fail-if 'self(lex) > +200ms or on_cpu > +10%'
check_status "--fail-if: the limit of a value" 1 'failed: total\(optimize\) > 1.5 ?%' -- \
    stax compare "$TMP/one.stax" "$TMP/three.stax" --fail-if 'total(optimize) > 1.5%'
check_status "--fail-if: what did not happen" 0 -- stax compare "$one" "$two" --fail-if 'on_cpu > +50% or self(parse) > +200ms or self(lex) < -50%'
check_status "--fail-if: a change within its interval does not count" 0 'A' -- stax compare "$one" "$two" --fail-if 'self(lex) > +0ms or self(lex) < -0ms'
check_status "--fail-if: a function that is not there" 2 'did you mean "parse"' -- stax compare "$one" "$two" --fail-if 'self(prse) > 1ms'
check_status "--fail-if: what is no condition" 2 'a unit' -- stax compare "$one" "$two" --fail-if 'on_cpu > +10'
check_json "--fail-if as JSON" <(stax compare "$one" "$three" --fail-if 'on_cpu > +10%' --json 2>/dev/null) \
    '.data.fail_if | .is_met and .conditions[0].is_met and .conditions[0].change.delta_ns > 500e6'

check_json "SQL over both" <(stax compare "$one" "$TMP/three.stax" --json --sql \
    "SELECT b.v_top.self_ms - a.v_top.self_ms FROM a.v_top JOIN b.v_top USING (name) WHERE name = 'parse'") \
    '.schema == "stax.sql/1" and .data.n_rows == 1 and (.data.rows[0][0] - 400 | fabs) < 100'
check_status "SQL over two files needs no server" 0 '^900|^[0-9]' -- env STAX_SERVER_SOCKET="$TMP/nobody.sock" \
    stax compare "$TMP/one.stax" "$TMP/two.stax" --csv --sql 'SELECT count(*) FROM a.sample'
check_status "... nor does a comparison" 0 'parse' -- env STAX_SERVER_SOCKET="$TMP/nobody.sock" stax compare "$TMP/one.stax" "$TMP/three.stax"
for statement in "ATTACH '$TMP/two.stax' AS c" "DETACH a" "DELETE FROM a.sample" "CREATE TABLE t(x)" "PRAGMA a.journal_mode = wal"; do
    check_status "SQL may not: $statement" 1 'not allowed' -- stax compare "$TMP/one.stax" "$TMP/two.stax" --sql "$statement"
done
check_status "a file that is no archive" 1 'passwd' -- stax compare "$TMP/one.stax" /etc/passwd
check_status "a file that is no archive, in SQL" 1 'passwd' -- stax compare "$TMP/one.stax" /etc/passwd --sql 'SELECT 1'
cp "$TMP/one.stax" "$TMP/evil.stax"
sqlite3 "$TMP/evil.stax" 'CREATE VIEW evil AS SELECT 1'
check_status "an archive with a view of its own" 1 'evil' -- stax compare "$TMP/two.stax" "$TMP/evil.stax" --sql 'SELECT 1'
check_status "no such run" 3 -- stax compare "$one" 999

# The server's own comparison is the same.
check_json "compare over RPC" <(rpc compare "{\"a\": $one, \"b\": $three, \"fail_if\": \"self(parse) > +5ms\"}") \
    '.result | .schema == "stax.compare/1" and .data.functions[0].name == "parse" and .data.fail_if.is_met'
check_json "compare over RPC: bad parameters" <(rpc compare "{\"a\": $one, \"b\": $three, \"by\": \"size\"}") '.error.code == -32602'
check_json "compare over RPC: no such run" <(rpc compare "{\"a\": $one, \"b\": 999}") '.error.data.code == "no_such_run"'

# Trees rooted at a function; compile calls itself.
check_json "callers: recursion is folded and shares add up" <(stax callers parse --run "$one" --json) \
    '.data.roots[0] | .name == "parse" and .root_pct == 100 and .children[0].name == "compile" and .children[0].root_pct == 100
     and .children[0].children[0].name == "main" and .total_on_cpu_ns > 300e6'
check_json "callees: below the innermost call" <(stax callees compile --run "$one" --json) \
    '.data.roots[0] | ([.children[] | select(.name == ("lex", "parse", "emit")) | .root_pct] | length == 3 and add > 95)
     and ([.. | objects | select(.name? == "compile")] | length == 1)'
check_json "callees agree with the server's top" <(jq -s '{tree: .[0].data.roots[0].total_on_cpu_ns, top: [.[1].data.functions[] | select(.name == "compile")][0].total_on_cpu_ns}' \
    <(stax callees compile --run "$TMP/one.stax" --json) <(stax top -n 1000 --run "$one" --json)) '.tree == .top'
check_status "callers as text" 0 'root %.*self ms' -- stax callers lex --run "$TMP/one.stax"
check_status "the nearest name" 1 'did you mean "parse"' -- stax callers prse --run "$one"
if [[ $(stax sql --run "$one" --csv "SELECT is_available FROM ability WHERE name = 'wait_stacks'" | tail -1) == 1 ]]; then
    check_json "callees of a function that waits" <(stax callees compile --off-cpu --run "$one" --json) \
        '.data.roots[0].total_off_cpu_ns > 40e6 and ([.. | objects | select(.name? == "[sleep]")] | length > 0)'
fi

# A live run as one of the two.
start "$TMP/new/work"
start stax record --pid "$last_pid" >/dev/null 2>&1
wait_for 10 has_samples 100
check_json "a file and a live run" <(stax compare "$TMP/one.stax" "$(number)" --json) '.data.b.run.state == "recording" and .data.b.n_samples >= 100'
check_status "SQL over a file and a live run" 0 -- stax compare "$TMP/one.stax" "$(number)" --csv --sql 'SELECT count(*) FROM b.sample'
stax stop >/dev/null
finish
