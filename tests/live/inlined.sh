#!/usr/bin/env bash
# Different functions of one name stay different where they are inlined: functions that only their own
# file can call, lambdas. One function is one, inlined or called. What split debug information lacks is said.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

dir=$TMP/program
mkdir "$dir"
cat >"$dir/local.cpp" <<'C'
#include <cstdlib>
#include <ctime>
namespace red
{
static unsigned kernel(unsigned x, int n) { for (int i = 0; i < n; i++) x = x * 1103515245 + 12345; return x; }
unsigned go(unsigned x, int n) { return kernel(x, n); }
} // namespace red
namespace
{
unsigned kernel(unsigned x, int n) { for (int i = 0; i < n; i++) x ^= x * 7 + i; return x; }
} // namespace
namespace both
{
static unsigned kernel(unsigned x, int n) { for (int i = 0; i < n; i++) x += x / (i + 3); return x; }
unsigned (*volatile called)(unsigned, int) = kernel;
} // namespace both
int main(int, char **v)
{
    clock_t end = (clock_t)(CLOCKS_PER_SEC * atof(v[1]));
    unsigned x = 1;
    auto parse = [&](unsigned y, int m) { for (int j = 0; j < m; j++) y = y * 3 + j / 7; return y; };
    auto emit = [&](unsigned y, int m) { for (int j = 0; j < m; j++) y = (y >> 1) + y * j; return y; };
    while (clock() < end)
        x = emit(parse(both::called(both::kernel(kernel(red::go(x, 30000), 30000), 10000), 10000), 30000), 30000);
    return x == 12345;
}
C
cat >"$dir/one.c" <<'C'
static int step(int x, int n) { for (int i = 0; i < n; i++) x = x * 31 + i; return x; }
int one(int x, int n) { return step(x, n); }
C
cat >"$dir/two.c" <<'C'
static __attribute__((noinline)) int step(int x, int n) { for (int i = 0; i < n; i++) x ^= x * 7 + i; return x; }
int two(int x, int n) { return step(x, n); }
C
cat >"$dir/three.c" <<'C'
#include <stdlib.h>
#include <time.h>
static int step(int x, int n) { for (int i = 0; i < n; i++) x += x / (i + 3); return x; }
int one(int, int), two(int, int);
int main(int argc, char **v)
{
    (void)argc;
    clock_t end = (clock_t)(CLOCKS_PER_SEC * atof(v[1]));
    int x = 1;
    while (clock() < end)
        x = step(two(one(x, 30000), 30000), 10000);
    return x == 12345;
}
C
(cd "$dir" && g++ -O2 -g -o local local.cpp && g++ -O2 -g -flto -o local_lto local.cpp &&
    gcc -O2 -g -o steps one.c two.c three.c && gcc -O2 -g -flto -o steps_lto one.c two.c three.c) || fail "the programs build"

# Of the program alone, by what it says of itself: where each sampled address lies in the source.
functions() {
    stax top --json --limit 1000 | jq -c '[.data.functions[] | select(.binary == $b)
        | [.name, .is_inlined, .n_self_samples]]' --arg b "$1"
}
wanted_cpp='["(anonymous namespace)::kernel(unsigned int, int)", "both::kernel(unsigned int, int)",
    "main::{lambda(unsigned int, int)#1}::operator()(unsigned int, int) const",
    "main::{lambda(unsigned int, int)#2}::operator()(unsigned int, int) const", "red::kernel(unsigned int, int)"]'
for program in local local_lto; do
    stax record -- "$dir/$program" 1.2 >/dev/null 2>&1
    functions "$program" >"$TMP/functions"
    check_json "$program: each function is one row" "$TMP/functions" \
        '[.[][0] | select(test("kernel|lambda"))] | sort == $w' --argjson w "$wanted_cpp"
    check_json "$program: the one that is called is not marked as inlined" "$TMP/functions" \
        '[.[] | select(.[0] | test("kernel|lambda")) | select(.[1] | not) | .[0]] == ["both::kernel(unsigned int, int)"]'
    stax sql --json --max-rows 100000 "SELECT printf('0x%x', f.rel_address), s.name FROM frame_line AS l JOIN frame AS f ON f.id = l.frame
        JOIN symbol AS s ON s.id = l.symbol JOIN binary AS b ON b.id = f.binary WHERE l.depth = 0 AND b.name = '$program'" |
        jq -r '.data.rows[] | "\(.[0]) \(.[1])"' >"$TMP/ours"
    check "$program: addresses have names" test "$(wc -l <"$TMP/ours")" -gt 10
    # The line that addr2line gives tells which function an address is of.
    cut -d' ' -f1 "$TMP/ours" | addr2line -e "$dir/$program" | sed -E 's/.*:([0-9]+)( .*)?$/\1/' >"$TMP/lines"
    paste -d' ' "$TMP/lines" "$TMP/ours" >"$TMP/both"
    # shellcheck disable=SC2016
    check "$program: by its line, every address is of that function" awk '
        $1 == 5 && !/red::kernel/ || $1 == 10 && !/anonymous namespace.*kernel/ || $1 == 14 && !/both::kernel/ ||
        $1 == 21 && !/#1/ || $1 == 22 && !/#2/ { print; bad = 1 } END { exit bad }' "$TMP/both"
    stax symbolize >/dev/null 2>&1
    functions "$program" | jq -c sort >"$TMP/again"
    check "$program: named again, it is the same" diff <(jq -c sort "$TMP/functions") "$TMP/again"
done
for program in steps steps_lto; do
    stax record -- "$dir/$program" 0.8 >/dev/null 2>&1
    functions "$program" >"$TMP/functions"
    check_json "$program: three functions of one name" "$TMP/functions" '[.[] | select(.[0] == "step")] | length == 3'
    check_json "$program: one of them is called" "$TMP/functions" '[.[] | select(.[0] == "step" and (.[1] | not))] | length == 1'
    stax symbolize >/dev/null 2>&1
    functions "$program" | jq -c sort >"$TMP/again"
    check "$program: named again, it is the same" diff <(jq -c sort "$TMP/functions") "$TMP/again"
done

# The half of the debug information that knows of inlined functions is a file of its own.
lacks() {
    check_json "$1" <(stax diagnose symbols --json) '[.data.binaries[] | select(.binary | endswith("/split"))] |
        length == 1 and (.[0] | .unnamed_ns == 0 and (.why | test($w)) and (.help | test("dwo.*symbolize")))' --arg w "$2"
}
for format in 4 5; do
    rm -f "$dir"/split*
    (cd "$dir" && g++ -O2 -g "-gdwarf-$format" -gsplit-dwarf -o split local.cpp && mkdir -p kept) || fail "a split program builds"
    stax record -- "$dir/split" 0.8 >/dev/null 2>&1
    check_json "DWARF $format, split: nothing is missing" <(stax diagnose symbols --json) '[.data.binaries[] | select(.binary | endswith("/split"))] == []'
    check_json "DWARF $format, split: inlined functions have names" <(stax top --json) '[.data.functions[] | select(.is_inlined and .name == "red::kernel(unsigned int, int)")] | length == 1'
    mv "$dir"/split*.dwo "$dir/kept/"
    stax record -- "$dir/split" 0.8 >/dev/null 2>&1
    lacks "DWARF $format, no .dwo: said" "\\(\\.dwo\\) is missing"
    check "DWARF $format, no .dwo: said in text, with what would help" grep -q 'no inlined functions.*\.dwo' <(stax diagnose symbols)
    check_json "DWARF $format, no .dwo: lines are there" <(stax sql --json "SELECT count(*) FROM frame_line WHERE file LIKE '%/local.cpp'") '.data.rows[0][0] > 5'
    mv "$dir"/kept/*.dwo "$dir/"
    stax symbolize >/dev/null 2>&1
    check_json "DWARF $format, .dwo is back: named again" <(stax top --json) '[.data.functions[] | select(.is_inlined and .name == "red::kernel(unsigned int, int)")] | length == 1'
    check_json "DWARF $format, .dwo is back: nothing is missing" <(stax diagnose symbols --json) '[.data.binaries[] | select(.binary | endswith("/split"))] == []'
done
rm "$dir"/split*.dwo
touch "$dir/split.dwp"
stax record -- "$dir/split" 0.8 >/dev/null 2>&1
lacks "a package of them is not read, and that is said" "\\.dwp file is not read"
finish
