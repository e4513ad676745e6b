#!/usr/bin/env bash
# Counters: what the kernel counted for threads that know it themselves, in totals, threads and functions;
# and what cannot be counted is said before anything runs.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

# staxd opens counters by its own names, which have no modifiers.
user=minor-faults:u
[[ $STAX_DAEMON_SOCKET ]] && user=minor-faults
list=page-faults,task-clock,$user
sees_kernel && list+=,context-switches

stax record --counters "$list" -- "$STAX_WORKLOADS/faults" --pages 4000 --rounds 20 >"$TMP/truth.json" 2>"$TMP/err" ||
    fail "record" "$(cat "$TMP/err")"
stax threads -n 0 --json >"$TMP/threads.json"
stax top -n 10000 --json >"$TMP/top.json" 2>/dev/null
stax top -n 10000 --by page-faults --json >"$TMP/by.json" 2>/dev/null
stax flame -d 1000 --threshold-pct 0 --by page-faults --json >"$TMP/flame.json" 2>/dev/null
stax sql --json "SELECT slot, name, unit, n_attributed, n_counted, enabled_ns, running_ns FROM counter ORDER BY slot" >"$TMP/sql.json"
jq -s '{truth: .[0], threads: .[1].data, warnings: .[1].warnings, top: .[2].data, by: .[3].data, flame: .[4].data,
        counter: ([.[5].data.rows[] | {key: .[1], value: {unit: .[2], attributed: .[3], counted: .[4], enabled: .[5], running: .[6]}}] | from_entries)}' \
    "$TMP"/{truth,threads,top,by,flame,sql}.json >"$TMP/all.json"

check_json "counters are recorded in the order they were asked for" "$TMP/sql.json" \
    '[.data.rows[][1]] | join(",") == $list' --arg list "$list"
# The program's own count ends before the program does; exec and exit fault a little, too.
check_json "all page faults are counted" "$TMP/all.json" \
    '(.counter."page-faults".counted - .truth.n_minor_faults) | fabs < 300'
check_json "those of user code, too" "$TMP/all.json" \
    '.counter[$user].counted as $n | ([.truth.threads[].n_minor_faults] | add) as $least
     | $n > 0.98 * $least and $n <= .counter."page-faults".counted' --arg user "$user"
check_json "the clock counts the CPU time that the recording knows of" "$TMP/all.json" \
    '.counter."task-clock" | .unit == "ns" and (.counted / .enabled - 1 | fabs) < 0.05'
check_json "they counted all of the time" "$TMP/all.json" '[.counter[] | .running == .enabled] | all'
if sees_kernel; then
    check_json "all context switches are counted" "$TMP/all.json" \
        '(.counter."context-switches".counted - .truth.n_switches) | fabs < 20'
    check_json "... and those of each thread nearly" "$TMP/all.json" \
        '[.truth.threads[] as $t | .threads.threads[] | select(.tid == $t.tid) | .counters."context-switches" / $t.n_switches]
         | length == 3 and all(. > 0.7 and . < 1.02)'
fi
# What a thread counts after its last sample on a CPU is in no sample.
check_json "samples tell of nearly all page faults" "$TMP/all.json" \
    '.counter."page-faults" | .attributed <= .counted and .attributed > 0.85 * .counted'
check_json "page faults of each thread" "$TMP/all.json" \
    '[.truth.threads[] as $t | .threads.threads[] | select(.tid == $t.tid) | .counters."page-faults" / $t.n_minor_faults]
     | length == 3 and all(. > 0.8 and . < 1.02)'
check_json "threads add up to the run" "$TMP/all.json" \
    '([.threads.threads[].counters."page-faults"] | add) == .counter."page-faults".attributed
     and .threads.counters."page-faults" == .counter."page-faults".attributed'
check_json "... and what is in none is said with the threads, from 1 % on" "$TMP/all.json" \
    '(.counter."page-faults" | .counted - .attributed) as $missing | .counter."page-faults".counted as $all
     | [.warnings[] | select(test("of all page-faults of the run \\(\($missing) of \($all)\\).* no thread has them"))] | length
     == if $missing * 100 >= $all then 1 else 0 end'
check_json "shares are of what samples tell of" "$TMP/all.json" \
    '.by.by == "page-faults" and .by.counters."page-faults" == .counter."page-faults".attributed'
check_json "the function that touches pages has them, not the one that spins" "$TMP/all.json" \
    '.counter."page-faults".attributed as $all
     | ([.by.functions[] | select(.name == "touch_pages") | .total_counters."page-faults"] | add) as $touched
     | ([.by.functions[] | select(.name == "spin_calmly") | .self_counters."page-faults"] | add // 0) as $spun
     | $touched > 0.8 * $all and $spun < 0.15 * $all'
check_json "top by a counter is in its order" "$TMP/by.json" \
    '[.data.functions[].self_counters."page-faults"] | . == (sort | reverse) and (add > 0)'
check_json "self adds up to the run in top and flame" "$TMP/all.json" \
    '([.flame | .. | objects | select(has("self_counters")) | .self_counters."page-faults"] | add) == .counter."page-faults".attributed
     and ([.flame.roots[].total_counters."page-faults"] | add) == .counter."page-faults".attributed'
check_json "shares are of the counter" "$TMP/all.json" '([.flame.roots[].total_pct] | add) - 100 | fabs < 0.1'

# Filters: two halves are the whole, in counts and in threads.
half=$(jq '.run.elapsed_ns / 2e9' "$TMP/top.json")
for part in "--to $half" "--from $half"; do
    # shellcheck disable=SC2086
    stax top -n 10000 --by page-faults $part --json 2>/dev/null
done | jq -s '[.[].data.counters."page-faults"]' >"$TMP/halves.json"
check_json "two halves of the time have the counts of the whole" "$TMP/halves.json" \
    'add == $all and all(. > 0)' --argjson all "$(jq '.counter."page-faults".attributed' "$TMP/all.json")"
tid=$(jq '.threads[0].tid' "$TMP/truth.json")
check_json "one thread's functions have that thread's counts" <(
    stax top -n 10000 --tid "$tid" --json 2>/dev/null | jq --argjson all "$(cat "$TMP/threads.json")" --argjson tid "$tid" \
        '{mine: .data.counters, its: ($all.data.threads[] | select(.tid == $tid) | .counters)}'
) '.mine == .its and .mine."page-faults" > 0'

stax save "$TMP/a.stax" >/dev/null
check_json "an archive answers the same" <(stax top -n 10000 --by page-faults --run "$TMP/a.stax" --json 2>/dev/null) \
    '.data == $live' --argjson live "$(jq .data "$TMP/by.json")"
check_status "the table by a counter has its rates" 0 '/sample +/ms' -- stax top --by page-faults
check_status "the table by time has counters beside" 0 'page-faults +task-clock' -- env COLUMNS=200 stax top
check_status "threads --wide has counters" 0 'page-faults +task-clock' -- stax threads --wide
check_status "flame by a counter" 0 'by page-faults, ' -- stax flame --by page-faults
check_status "views name what the run counts" 1 'it counts page-faults, task-clock' -- stax top --by cycles
check_status "waits have no counters" 2 'exclude each other' -- stax top --by page-faults --off-cpu

# Attached, while it runs.
start "$STAX_WORKLOADS/faults" --rounds 100000 --pages 500 --threads 2 >/dev/null
target=$last_pid
start stax record --counters minor-faults --pid "$target" >/dev/null 2>&1
record=$last_pid
has_counts() {
    stax top --by minor-faults --json 2>/dev/null | jq -e '.data.counters."minor-faults" > 1000' >/dev/null &&
        stax threads --json | jq -e '[.data.threads[] | select(.counters."minor-faults" > 100)] | length == 2' >/dev/null
}
check "live: counts appear while the run records" wait_for 20 has_counts
stax stop >/dev/null
wait_for 10 gone "$record"
kill "$target"
check_json "attached: counts of threads that were there" <(stax threads --json) \
    '[.data.threads[] | select(.counters."minor-faults" > 100)] | length == 2'

# Events of a PMU: the one that most machines have counts the CPU's own clock, whatever runs.
if sees_kernel && [[ ! $STAX_DAEMON_SOCKET && -r /sys/bus/event_source/devices/msr/events/tsc ]]; then
    stax record --counters 'msr/tsc/,msr/event=0x0/,tsc,task-clock' -- "$STAX_WORKLOADS/fixed_work" --units 3000 --threads 1 \
        >"$TMP/truth.json" 2>"$TMP/err" || fail "record events of a PMU" "$(cat "$TMP/err")"
    check_json "events of a PMU by fields, by event and by name alone count the same" \
        <(stax sql --json "SELECT name, n_counted FROM counter ORDER BY slot") \
        '[.data.rows[][1]] | (.[0] / .[3]) as $ghz | $ghz > 0.5 and $ghz < 10
         and (.[0] / .[1] - 1 | fabs) < 0.01 and (.[0] / .[2] - 1 | fabs) < 0.01'
    check_status "top by an event of a PMU" 0 'by msr/tsc/' -- stax top --by msr/tsc/
else
    skip "events of a PMU" "no msr PMU that this user may count"
fi

# What cannot be counted.
refused() {
    local name=$1 status=$2 pattern=$3
    shift 3
    rm -f "$TMP/ran"
    check_status "$name" "$status" "$pattern" -- stax record --counters "$1" -- touch "$TMP/ran"
    [[ ! -e $TMP/ran ]] || fail "$name: the command has not run"
}
refused "an unknown event: the nearest names" 2 'did you mean .*page-faults' page-fault
refused "five events" 2 'more than 4' cycles,instructions,cs,faults,migrations
refused "an empty name" 2 'empty' cycles,
refused "a modifier that means nothing" 2 ':u counts in user code' cycles:x
if [[ -r /sys/kernel/tracing/events/sched ]]; then
    refused "a tracepoint that does not exist" 1 'no tracepoint nothing:at_all' nothing:at_all
else
    refused "a tracepoint without tracefs" 5 'mount -t tracefs' sched:sched_switch
fi
if [[ -e /sys/bus/event_source/devices/cpu ]]; then
    check_status "hardware events" 0 -- stax record --counters cycles,instructions -- true
else
    refused "hardware events without a PMU" 1 'cycles cannot be counted: this CPU offers no counters \(no PMU' cycles
    check_status "without being asked, they are left out with a note" 0 'not on this host: .*counters' -- stax record -- true
    check_status "... and why is told" 0 'no PMU' -- stax diagnose host
fi
if ! sees_kernel; then
    refused "what happens in the kernel, without access to it" 5 'forbids counting context-switches' context-switches
fi
refused "nothing is left of it" 2 'happens in the kernel' context-switches:u
check_status "none" 0 -- stax record --counters none -- true
stax record --counters none -- true >"$TMP/none" 2>&1
if grep -q counters "$TMP/none"; then
    fail "what nobody wanted is not missing" "$(cat "$TMP/none")"
else
    ok "what nobody wanted is not missing"
fi
check_json "a run without counters has no rows of them" <(
    stax sql --json "SELECT (SELECT count(*) FROM counter) + (SELECT count(*) FROM symbol_counter) + (SELECT count(*) FROM call_tree_counter)"
) '.data.rows[0][0] == 0'

# Tracepoints, where they may be used: in a mount namespace of our own.
if is_root && unshare -m true 2>/dev/null; then
    check_status "a tracepoint" 0 -- unshare -m bash -c "
        mountpoint -q /sys/kernel/tracing || mount -t tracefs nodev /sys/kernel/tracing || exit 9
        export XDG_RUNTIME_DIR=$TMP/run2 STAX_DATA_DIR=$TMP/data2
        mkdir -m 700 $TMP/run2
        stax record --counters sched:sched_switch,context-switches -- $STAX_WORKLOADS/faults --rounds 20 >/dev/null || exit 8
        stax sql --json 'SELECT n_counted FROM counter' >$TMP/tracepoint.json
        kill \$(stax status --json | jq .data.server.pid)"
    check_json "a switch is both the event and the tracepoint" "$TMP/tracepoint.json" \
        '[.data.rows[][0]] | .[0] > 30 and ((.[0] - .[1]) | fabs) <= 0.1 * .[0] + 10'
else
    skip "tracepoints" "they need root"
fi
finish
