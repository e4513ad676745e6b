#!/usr/bin/env bash
# Parts and clones of a function (foo.cold, foo.constprop.0) count for it, and each can be annotated.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
cat >"$TMP/split.c" <<'C'
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
__attribute__((noinline)) void rare(void)
{
    unsigned long x = sink;
    for (int i = 0; i < 1000000; i++) {
        x = x * 6364136223846793005ul + 3;
    }
    sink = x;
}
__attribute__((noinline)) void split(void)
{
    unsigned long x = sink;
    for (int i = 0; i < 1000000; i++) {
        x = x * 6364136223846793005ul + 1;
    }
    sink = x;
    rare();
    sink++;
}
int main(int argc, char **argv)
{
    time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 60);
    while (time(0) < end) {
        split();
    }
    return 0;
}
C
# What a compiler splits off is its own affair: here a function is called as if it were a part.
flags=(-O2 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls)
gcc "${flags[@]}" -c -o "$TMP/split.o" "$TMP/split.c" && objcopy --redefine-sym rare=split.part.0 "$TMP/split.o" &&
    gcc -o "$TMP/split" "$TMP/split.o" || exit 1
sed 's/__attribute__((noinline)) void rare/static inline __attribute__((always_inline)) void rare/' "$TMP/split.c" >"$TMP/whole.c"
gcc "${flags[@]}" -o "$TMP/whole" "$TMP/whole.c" || exit 1

# ask NAME [--run FILE]: what is asked while it records, and of the archive.
ask() {
    local name=$1
    shift
    check_json "$name: one row has both parts" <(stax top "$@" --json) \
        '[.data.functions[] | select(.name | test("split"))] | length == 1 and .[0].name == "split" and
         .[0].self_pct > 90 and .[0].total_pct <= 100 and .[0].language == "c"'
    check_json "$name: the record has each under its own name" <(stax sql "$@" --json \
        "SELECT coalesce(linkage_name, name) AS n, name, whole IS NULL FROM symbol WHERE name = 'split' AND kind = 'function' ORDER BY n") \
        '.data.rows == [["split", "split", 1], ["split.part.0", "split", 0]]'
    check_json "$name: annotate lists both" <(stax annotate split --list "$@" --json) \
        '[.data.matches[].name] | sort == ["split", "split [clone .part.0]"]'
    check_json "$name: ... whose time is that of the row" <(stax annotate split --list "$@" --json) \
        '([.data.matches[].self_pct] | add) > 90 and ([.data.matches[].self_pct] | min) > 20 and ([.data.matches[].self_pct] | add) < 101'
    check_json "$name: annotate finds the part" <(stax annotate split.part.0 "$@" --json) \
        '.data.function.name == "split [clone .part.0]" and (.data.instructions | length) > 3 and .data.function.self_pct > 20'
}
server_start
start "$TMP/split" 60
target=$last_pid
start stax record --pid "$target" >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 800
check_json "live: one row has both parts" <(stax top --json) \
    '[.data.functions[] | select(.name | test("split"))] | length == 1 and .[0].self_pct > 90'
stax stop >/dev/null
wait_for 5 gone "$record"
ask stopped
stax save "$TMP/split.stax" >/dev/null
ask archive --run "$TMP/split.stax"
kill "$target"
check_json "a time range has one row, too" <(stax top --from 0.2 --json) \
    '[.data.functions[] | select(.name == "split")] | length == 1 and .[0].self_pct > 90'

# A build in which it is not split is compared with one in which it is.
stax record -- "$TMP/whole" 2 >/dev/null 2>&1
stax save "$TMP/whole.stax" >/dev/null
check_json "compare matches it across builds" <(stax compare "$TMP/split.stax" "$TMP/whole.stax" --json) \
    '[.data.functions[] | select(.name == "split")] | length == 1 and .[0].status == "both"'
finish
