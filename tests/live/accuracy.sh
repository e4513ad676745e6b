#!/usr/bin/env bash
# Shares of CPU time per function, path and thread against what the program measured of itself, and
# the sums that must agree with each other in every view.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

# 3 points are far from what chance does to the samples there are at this rate, on a busy machine, too.
stax record -F 2000 -- "$STAX_WORKLOADS/cpu_shares" --seconds 5 --threads 3 >"$TMP/truth.json" 2>"$TMP/record.err"
status=$?
if ((status != 0)); then
    fail "record exits with the target's status" "status $status" "$(cat "$TMP/record.err")"
    finish
fi
check_json "the target's output is its own" "$TMP/truth.json" '.functions.burn_alpha > 0'
stax top --json -n 1000 >"$TMP/top.json" 2>"$TMP/err" || fail "top" "$(cat "$TMP/err")"
stax flame --json -d 100 --threshold-pct 0 >"$TMP/flame.json" 2>"$TMP/err" || fail "flame" "$(cat "$TMP/err")"
stax threads --json -n 0 >"$TMP/threads.json" 2>"$TMP/err" || fail "threads" "$(cat "$TMP/err")"

# within TRUTH MEASURED: both {name: ns}; every share within 3 points.
within='def shares: (add // 0) as $sum | map_values(100 * . / $sum);
    ($truth[0] | FILTER | shares) as $want | ($want | to_entries | length > 0) and
    (MEASURED | shares) as $got |
    all($want | to_entries[]; (.value - ($got[.key] // 0)) | fabs <= 3)'
shares() {
    local name=$1 file=$2 filter=${within/FILTER/$3}
    check_json "$name" "$file" "${filter/MEASURED/$4}" --slurpfile truth "$TMP/truth.json"
}
shares "self time by function within 3 points" "$TMP/top.json" '.functions' \
    '[.data.functions[] | select(.name | startswith("burn_")) | {(.name): .self_on_cpu_ns}] | add'
shares "total time by caller within 3 points" "$TMP/top.json" '.paths' \
    '[.data.functions[] | select(.name | startswith("path_")) | {(.name): .total_on_cpu_ns}] | add'
shares "CPU time by thread within 3 points" "$TMP/threads.json" '[.threads[] | {(.name): .cpu_ns}] | add' \
    '[.data.threads[] | select(.name | startswith("share-")) | {(.name): .on_cpu_ns}] | add'
# Exact, by context switches, whatever was sampled.
check_json "CPU time of each thread within 2 %" "$TMP/threads.json" \
    '(.data.threads | map({(.tid | tostring): .on_cpu_ns}) | add) as $got |
     all($truth[0].threads[]; (($got[.tid | tostring] // 0) - .cpu_ns | fabs) / .cpu_ns < 0.02)' \
    --slurpfile truth "$TMP/truth.json"
# A virtual machine whose host is busy gets timer interrupts late, and late ones are not made up for,
# but a sample stands for all the time since the last.
check_json "samples stand for that time within 5 %" "$TMP/threads.json" \
    '([$truth[0].threads[].cpu_ns] | add) as $want | (.data.on_cpu_ns - $want | fabs) / $want < 0.05' \
    --slurpfile truth "$TMP/truth.json"
check_json "hardly anything lost" "$TMP/top.json" '.quality.n_lost * 100 <= .run.n_samples'
check_json "the run is stopped because its target ended" "$TMP/top.json" \
    '.run.state == "stopped" and .run.stop_reason == "target_exited"'
check_json "nothing is pending in a stopped run" "$TMP/top.json" '.quality.n_pending == 0'

tid=$(jq '.threads[0].tid' "$TMP/truth.json")
stax top --json -n 1000 --tid "$tid" >"$TMP/tid.json" 2>"$TMP/err" || fail "top --tid" "$(cat "$TMP/err")"
check_json "one thread: 50/30/20 within 3 points" "$TMP/tid.json" \
    '[.data.functions[] | select(.name | startswith("burn_")) | {(.name): .self_on_cpu_ns}] | add |
     (add) as $sum | (100 * .burn_alpha / $sum - 50 | fabs <= 3) and
     (100 * .burn_beta / $sum - 30 | fabs <= 3) and (100 * .burn_gamma / $sum - 20 | fabs <= 3)'

# The same numbers wherever they are asked for.
self='[.data.functions[].self_on_cpu_ns] | add'
check_json "self times add up to the run's CPU time" "$TMP/top.json" "($self) == .run.on_cpu_ns and .data.on_cpu_ns == .run.on_cpu_ns"
# A thread's time is exact; what it ran after its last sample is in no sample.
check_json "threads add up to the run's CPU time and what came after their last samples" "$TMP/threads.json" \
    '([.data.threads[].on_cpu_ns] | add) as $sum | $sum >= .run.on_cpu_ns and $sum <= .run.on_cpu_ns + 5000000 * .data.n_threads'
check_json "flame roots add up to the run's CPU time" "$TMP/flame.json" '([.data.roots[].total_on_cpu_ns] | add) == .run.on_cpu_ns'
check_json "flame self times add up too" "$TMP/flame.json" \
    '([.data.roots[] | recurse(.children[]) | .self_on_cpu_ns] | add) == .run.on_cpu_ns'
check_json "flame goes thread function, path, leaf" "$TMP/flame.json" \
    '[paths(type == "object" and .name? == "burn_alpha") as $p | [range(1; $p | length + 1) as $i | getpath($p[:$i]) | objects | .name?]] |
     any(.[]; index("run") as $r | index("path_left") as $l | $r != null and $l != null and $r < $l)'

# The function of a sample: what is inlined innermost, and of a part the whole.
function="LEFT JOIN frame_line line ON line.frame = frame.id AND line.depth = 0
          JOIN symbol part ON part.id = ifnull(line.symbol, frame.symbol)
          JOIN symbol s ON s.id = ifnull(part.whole, part.id)"
path=$(stax sql --path)
db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
check "the raw rows give the same self times as top" diff \
    <(jq -r '.data.functions[] | select(.self_on_cpu_ns > 0) | "\(.name)|\(.self_on_cpu_ns)|\(.n_self_samples)"' "$TMP/top.json" | sort) \
    <(db "SELECT s.name, SUM(sample.on_cpu_ns), COUNT(*) FROM sample JOIN frame ON frame.id = sample.frame
          $function GROUP BY s.id" | sort)
check "the raw rows give the same samples as threads" diff \
    <(jq -r '.data.threads[] | select(.n_samples > 0) | "\(.tid)|\(.n_samples)"' "$TMP/threads.json" | sort) \
    <(db "SELECT tid, COUNT(*) FROM sample JOIN thread USING (utid) GROUP BY utid" | sort)
check "... and, but for the end, the same times" test 0 = "$(db "
    SELECT count(*) FROM (SELECT utid, sum(on_cpu_ns) AS ns FROM sample GROUP BY utid) JOIN thread_sum t USING (utid)
     WHERE t.on_cpu_ns NOT BETWEEN ns AND ns + 5000000")"
check "call_tree's self times are the samples" test \
    "$(db 'SELECT SUM(self_on_cpu_ns), SUM(n_self_samples) FROM call_tree')" = "$(db 'SELECT SUM(on_cpu_ns), COUNT(*) FROM sample')"
check "integrity_check" test "$(db 'PRAGMA integrity_check')" = ok

# Filters: two ranges that meet are the whole; excluding a function leaves out its stacks.
on_cpu() {
    stax "$@" --json | jq '.data.on_cpu_ns'
}
for view in top flame threads; do
    a=$(on_cpu $view --from 0 --to 1.7) b=$(on_cpu $view --from 1.7 --to 3.1) c=$(on_cpu $view --from 3.1)
    check "$view: time ranges add up to the run" test "$((a + b + c))" = "$(jq .run.on_cpu_ns "$TMP/top.json")"
    check "$view: a time range is not empty" test "$b" -gt 0
done
stax top --json --from 1.7 --to 3.1 -n 1000 >"$TMP/range.json"
check "a time range gives the sums of its rows" diff \
    <(jq -r '.data.functions[] | select(.self_on_cpu_ns > 0) | "\(.name)|\(.self_on_cpu_ns)"' "$TMP/range.json" | sort) \
    <(db "SELECT s.name, SUM(sample.on_cpu_ns) FROM sample, run JOIN frame ON frame.id = sample.frame
          $function
          WHERE ts >= start_ts + 1700000000 AND ts < start_ts + 3100000000 GROUP BY s.id" | sort)
stax top --json --exclude burn_gamma -n 1000 >"$TMP/exclude.json"
check_json "--exclude leaves out what stood on its stacks" "$TMP/exclude.json" \
    '.data.on_cpu_ns == $top[0].data.on_cpu_ns - ($top[0].data.functions[] | select(.name == "burn_gamma").total_on_cpu_ns) and
     all(.data.functions[]; .name != "burn_gamma")' --slurpfile top "$TMP/top.json"
check_status "an unknown function is named with the nearest ones" 1 'burn_gamma' -- stax top --exclude burn_gama
finish
