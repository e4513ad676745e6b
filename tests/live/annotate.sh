#!/usr/bin/env bash
# stax annotate: the hottest instruction of a loop is in the loop, live and stopped, and an archive
# annotates the same where the binary is not.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
cat >"$TMP/loop.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static volatile double sink;
__attribute__((noinline)) double tail_call_target(double x) { return x * 0.5; }
/* All time is in the division of the loop; nothing before or after it costs anything. */
__attribute__((noinline)) double hot_loop(double x, int n)
{
    x = tail_call_target(x);
    for (int i = 0; i < n; i++) {
        x = 1.0 / (x + 1.0);
    }
    return tail_call_target(x);
}
int main(int argc, char **argv)
{
    time_t end = time(0) + (argc > 1 ? atoi(argv[1]) : 30);
    while (time(0) < end) { sink = hot_loop(sink, 1000000); }
    return 0;
}
C
cc -O2 -fno-omit-frame-pointer -fno-optimize-sibling-calls -o "$TMP/loop" "$TMP/loop.c" || exit 1

# The loop as objdump sees it: from the target of its backward jump to that jump.
loop_of() { # FILE
    objdump -d --no-show-raw-insn --disassemble=hot_loop "$1" | "$PYTHON" -c '
import re, sys
for line in sys.stdin:
    m = re.match(r"\s*([0-9a-f]+):\s+(?:j\S+|b\.\S+|cbn?z|tbn?z)\s.*?([0-9a-f]+) <hot_loop", line)
    if m and int(m[2], 16) < int(m[1], 16):
        print(int(m[2], 16), int(m[1], 16))
'
}
read -r loop_from loop_to < <(loop_of "$TMP/loop")
sum='[.data.instructions[], .data.elsewhere[] | .n_samples // 0] | add'
# in_loop NAME FILE: the document's samples are all there, and the hottest is in the loop.
in_loop() {
    check_json "$1: every sample has its place" "$2" "($sum) == .data.function.n_self_samples and .data.function.n_self_samples > 100"
    check_json "$1: the hottest instruction is in the loop" "$2" \
        '.data.instructions[.data.hottest].rel_address | . >= $from and . <= $to' \
        --argjson from "$loop_from" --argjson to "$loop_to"
    check_json "$1: nine tenths of the samples are in the loop" "$2" \
        '.data.function.n_self_samples as $all | ([.data.instructions[]
          | select(.rel_address >= $from and .rel_address <= $to) | .n_samples // 0] | add) >= 0.9 * $all' \
        --argjson from "$loop_from" --argjson to "$loop_to"
}

server_start
start "$TMP/loop" 60
target=$last_pid
start stax record --pid "$target" >/dev/null 2>&1
record=$last_pid
wait_for 20 has_samples 600

stax annotate hot_loop --json >"$TMP/live.json"
in_loop "live" "$TMP/live.json"
check_json "live: the code is read from the file" "$TMP/live.json" '.data.code_from == "file"'
check_json "live: addresses and sizes are those of objdump" "$TMP/live.json" \
    '[.data.instructions[].rel_address] == $wanted' --argjson wanted \
    "[$(objdump -d --no-show-raw-insn --disassemble=hot_loop "$TMP/loop" | sed -nE 's/^ +([0-9a-f]+):.*/\1/p' |
        while read -r a; do printf '%d\n' "0x$a"; done | paste -sd,)]"
# What is called has no samples of its own.
calls_by_name() {
    stax annotate hot_loop --json | jq -e 'any(.data.instructions[]; .flow == "call" and .target_name == "tail_call_target")' >/dev/null
}
check "live: what is called has its name" wait_for 20 calls_by_name
check "save of the live run" stax save "$TMP/live.stax"
check_status "annotate without a target lists the hottest" 0 hot_loop -- stax annotate
check_status "no match names the hottest" 1 'hottest are: .*hot_loop' -- stax annotate no_such_thing
check_status "part of a name, other case" 0 '^hot_loop' -- stax annotate T_LO
check_status "binary+0x" 0 '^hot_loop' -- stax annotate "loop+0x$(printf %x "$loop_from")"
# An address of the process: its executable mapping says where the file is.
base=$(awk -v f="$TMP/loop" '$6 == f && $2 ~ /x/ { split($1, a, "-"); print a[1], $3; exit }' "/proc/$target/maps")
read -r start offset <<<"$base"
check_status "an address of the process" 0 '^hot_loop' -- \
    stax annotate "$(printf '0x%x' $((0x$start + loop_from - 0x$offset)))"
check_status "one thread" 0 '^hot_loop' -- stax annotate hot_loop --tid "$target"
check_json "a time range" <(stax annotate hot_loop --from 0.1 --to 0.4 --json) \
    "($sum) == .data.function.n_self_samples and .data.function.n_self_samples > 0 and .data.function.n_self_samples < $(jq .data.function.n_self_samples "$TMP/live.json")"
check_status "--source says that no line is known" 0 'no line known' -- stax annotate hot_loop --source
check_status "exclusive flags" 2 'exclude' -- stax annotate hot_loop --cfg --source
check_json "blocks hold every sample" <(stax annotate hot_loop --cfg --json) \
    '([.data.blocks[].n_samples] | add) + .data.n_outside_samples == .data.function.n_self_samples'
check_status "a DOT graph" 0 '^digraph "hot_loop"' -- stax annotate hot_loop --dot
for columns in 40 80 200; do
    COLUMNS=$columns stax annotate hot_loop >"$TMP/text"
    check "$columns columns are enough" "$PYTHON" -c '
import sys
lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
wide = [l for l in lines if len(l) > max(int(sys.argv[2]), 60)]
sys.exit("\n".join(wide) or 0)' "$TMP/text" $columns
done
check "one line is marked" test "$(grep -c '^>' "$TMP/text")" = 1
if command -v dot >/dev/null; then
    check "graphviz reads the graph" bash -c 'stax annotate hot_loop --dot | dot -Tsvg >/dev/null'
fi

# The binary goes while its process runs on: what ran is stored all the same.
mv "$TMP/loop" "$TMP/gone"
rm "$TMP/gone"
stax stop >/dev/null
wait_for 5 gone "$record"
kill -KILL "$target"
stax annotate hot_loop --json >"$TMP/stopped.json"
in_loop "stopped, binary removed" "$TMP/stopped.json"
check_json "stopped: the code is in the run" "$TMP/stopped.json" '.data.code_from == "run"'
check_json "stopped: what is called has its name" "$TMP/stopped.json" \
    'any(.data.instructions[]; .flow == "call" and .target_name == "tail_call_target")'
stax save "$TMP/a.stax" --json >"$TMP/save.json"
check_json "save says how much code" "$TMP/save.json" '.data.n_functions > 0 and .data.code_bytes > 20'
for form in "" --cfg --source; do
    # shellcheck disable=SC2086
    stax annotate hot_loop $form --json >"$TMP/run.json"
    # shellcheck disable=SC2086
    env STAX_SERVER_SOCKET="$TMP/nobody.sock" stax annotate hot_loop $form --run "$TMP/a.stax" --json >"$TMP/archive.json"
    check "an archive annotates the same: ${form:-instructions}" \
        diff <(jq -S .data "$TMP/run.json") <(jq -S .data "$TMP/archive.json")
done
check_json "so does one saved from the live run" \
    <(stax annotate hot_loop --run "$TMP/live.stax" --json) \
    '.data.code_from == "run" and .data.code == $code' --argjson code "$(jq .data.code "$TMP/stopped.json")"

# Written over in place: other code has the same name and inode.
cc -O0 -o "$TMP/other" "$TMP/loop.c"
cc -O2 -fno-omit-frame-pointer -o "$TMP/again" "$TMP/loop.c"
stax record -- "$TMP/again" 2 >/dev/null 2>&1
check "a program that ended by itself has its code stored" \
    test "$(stax annotate hot_loop --json | jq -r .data.code_from)" = run
start "$TMP/again" 60
target=$last_pid
start stax record --pid "$target" >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 200
cp "$TMP/other" "$TMP/new"
mv "$TMP/new" "$TMP/again"
stax annotate hot_loop --json >"$TMP/replaced.json" 2>/dev/null
check_json "a file that was replaced is not taken for what ran" "$TMP/replaced.json" \
    '.data.code_from == null and any(.warnings[]; test("no instructions: .*not the file"))'
check_json "... and its samples are shown all the same" "$TMP/replaced.json" \
    "($sum) == .data.function.n_self_samples and .data.function.n_self_samples > 0"
stax stop >/dev/null
wait_for 5 gone "$record"
kill -KILL "$target"
finish
