#!/usr/bin/env bash
# Attaching to a process with thousands of threads that come and go, twice, and leaving it without a
# trace: against what each of its threads noted of itself.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
now() {
    "$PYTHON" -c 'import time; print(time.monotonic_ns())'
}
mkfifo "$TMP/stdin"
"$STAX_WORKLOADS/churn" --threads 1500 --life-ms 2000 --seconds 280 <"$TMP/stdin" >"$TMP/truth.json" 9>&- &
target=$!
exec 9>"$TMP/stdin" # held by this shell alone, so that closing it ends the target
crowded() {
    local tasks=(/proc/"$target"/task/*)
    ((${#tasks[@]} > 1400))
}
wait_for 20 crowded || fail "the target starts"
server_start 9>&-
server=$(server_pid)
no_events() {
    (($(find "/proc/$server/fd" -lname '*perf_event*' | wc -l) == 0))
}
has_events() {
    ! no_events
}
for round in first second; do
    start stax record --pid "$target" >/dev/null 2>"$TMP/$round.err" 9>&-
    record=$last_pid
    wait_for 30 is_active || fail "$round attach" "$(cat "$TMP/$round.err")"
    from=$(now)
    check "$round attach: there are events" has_events
    sleep 3
    to=$(now)
    stax stop >/dev/null
    wait_for 10 gone "$record"
    stax sql --path >"$TMP/$round.path"
    echo "$from $to" >"$TMP/$round.times"
    check "$round detach: no event is left" wait_for 2 no_events
    check "$round detach: the target goes on" alive "$target"
done
after=$(now)
sleep 1
exec 9>&-
status=0
wait "$target" || status=$?
check "the target ends as it would have" test $status = 0
for round in first second; do
    read -r from to <"$TMP/$round.times"
    "$PYTHON" - "$TMP/truth.json" "$(cat "$TMP/$round.path")" "$from" "$to" "$after" >"$TMP/$round.json" <<'P'
import json, sqlite3, sys

truth = json.load(open(sys.argv[1], encoding="utf-8"))["threads"]
start, end, after = map(int, sys.argv[3:6])
db = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
n_lost, run_end = db.execute("SELECT n_lost, end_ts FROM run").fetchone()
n_blind, = db.execute("SELECT ifnull(sum(n), 0) FROM loss WHERE kind = 'no_events'").fetchone()
rows = {}
for tid, since, until, cpu in db.execute(
        "SELECT tid, start_ts, ifnull(end_ts, ?), ifnull(on_cpu_ns, 0) FROM thread LEFT JOIN thread_sum USING (utid)", (run_end,)):
    rows.setdefault(tid, []).append((since, until, cpu))
ms = 1000000
missing, n_met, n_whole, cpu_truth, cpu_seen, twice = [], 0, 0, 0, 0, 0
for tid, since, until, cpu in truth:
    met = [r for r in rows.get(tid, []) if r[0] <= until + 20 * ms and r[1] >= since - 20 * ms]
    if since < end - 50 * ms and until > start + 50 * ms:
        n_met += bool(met)
        missing += [] if met else [(tid, (since - start) / ms, (until - start) / ms)]
    if start < since and until < end and met:
        n_whole += 1
        cpu_truth += cpu
        cpu_seen += sum(r[2] for r in met)
        twice += len(met) > 1
early, = db.execute("SELECT count(*) FROM thread WHERE end_ts < start_ts").fetchone()
later = sum(since > after for _, since, _, _ in truth)
print(json.dumps({"n_met": n_met, "missing": missing[:5], "n_missing": len(missing), "n_whole": n_whole, "twice": twice,
                  "cpu_truth": cpu_truth, "cpu_seen": cpu_seen, "n_lost": n_lost, "n_blind": n_blind, "early": early, "later": later}))
P
    check_json "$round: thousands came and went" "$TMP/$round.json" '.n_met > 1800 and .n_whole > 100'
    # A machine that is far too busy does not get to all of them: then the run says how many.
    check_json "$round: every thread has a row, or the loss is stored" "$TMP/$round.json" '.n_missing == 0 or .n_lost > 0 or .n_blind > 0'
    check_json "$round: ... and one row" "$TMP/$round.json" '.twice == 0 or .n_lost > 0'
    check_json "$round: none ends before it begins" "$TMP/$round.json" '.early == 0'
    # The kernel counts the switches themselves for the thread, records begin and end within them; and
    # a thread goes on a little after it looks last. Of half a millisecond that is some percent.
    check_json "$round: their CPU time" "$TMP/$round.json" '.n_lost > 0 or (.cpu_seen >= .cpu_truth * 0.9 and .cpu_seen <= .cpu_truth * 1.3)'
done
check_json "afterwards: its threads go on coming and going" "$TMP/second.json" '.later > 100'
cat "$TMP/first.json" "$TMP/second.json" | sed 's/^/# /'
finish
