#!/usr/bin/env bash
# guide.sh - runs every command block of docs/guide.md in order, as its reader would: each must
# succeed and say nothing that looks like an error.
# shellcheck source=tests/live/lib.sh
. "$(dirname "$0")/lib.sh"
cat >"$TMP/busy.c" <<'C'
#include <time.h>
static volatile unsigned long n;
__attribute__((noinline)) static void spin_a(void) { for (int i = 0; i < 200000; i++) { n += (unsigned)i; } }
__attribute__((noinline)) static void spin_b(void) { for (int i = 0; i < 100000; i++) { n ^= (unsigned)i; } }
int main(void) { for (time_t end = time(0) + 120; time(0) < end;) { spin_a(); spin_b(); } return 0; }
C
cc -O0 -fno-omit-frame-pointer -o "$TMP/busy" "$TMP/busy.c" || exit 1
start "$TMP/busy"
guide=$(cd "$here/../.." && pwd)/docs/guide.md
cd "$TMP" || exit 1
awk -v dir="$TMP" '/^```sh$/ { inside = 1; n++; next } /^```$/ { inside = 0 } inside { print > (dir "/block-" n) }' "$guide"
n=0
while [[ -e $TMP/block-$((n + 1)) ]]; do
    n=$((n + 1))
    # Another "busy" on this machine is none of ours: pgrep is asked for children of this shell only.
    sed "s/pgrep -n busy/pgrep -P $$ busy/" "$TMP/block-$n" >"$TMP/run-$n"
    # stdout and stderr are files: a recorder left in the background must not keep a pipe open
    if bash -euo pipefail "$TMP/run-$n" >"$TMP/out-$n" 2>"$TMP/err-$n" && ! grep -qE '^stax: (cannot|no |there is no)' "$TMP/err-$n"; then
        ok "block $n: $(head -1 "$TMP/block-$n")"
    else
        fail "block $n: $(head -1 "$TMP/block-$n")" "$(tail -n 5 "$TMP/out-$n")" "$(tail -n 5 "$TMP/err-$n")"
    fi
done
if ((n >= 10)); then ok "the guide has its blocks"; else fail "the guide has its blocks" "$n"; fi
finish
