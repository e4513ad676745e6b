#!/usr/bin/env bash
# Runs the commands of docs/annotate.md in order, as its reader would.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
page=$(cd "$here/../.." && pwd)/docs/annotate.md
cat >"$TMP/loop.c" <<'C'
#include <stdlib.h>
#include <time.h>
static volatile double sink;
__attribute__((noinline)) double hot_loop(double x, int n)
{
    for (int i = 0; i < n; i++) { x = 1.0 / (x + 1.0); }
    return x;
}
int main(int argc, char **argv)
{
    time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 30);
    while (time(0) < end) { sink = hot_loop(sink, 1000000); }
    return 0;
}
C
cc -O2 -g -o "$TMP/loop" "$TMP/loop.c" || exit 1
server_start
cd "$TMP" || exit 1
awk '/^```sh$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$page" >commands
n=0
while read -r command; do
    n=$((n + 1))
    bash -c "$command" >"out-$n" 2>"err-$n" </dev/null
    check "$command" test "$?" = 0
    check "... without a complaint" bash -c "! grep -E '^stax: (cannot|no |there is no)' err-$n"
done <commands
check "the page has its commands" test "$n" -ge 10
check "the listing is as the page says" grep -q '^>.*' out-2
check "source lines stand above instructions" grep -q 'loop.c:[0-9]*  for' out-2
# Lines of code without samples come with the save where the run was over before they were read.
check "an archive prints the same" diff <(bash -c "$(sed -n 2p commands)" | tail -n +3) <(tail -n +3 out-$n)
finish
