#!/usr/bin/env bash
# Throttled events. For a second this lowers a setting of the whole host, which pauses every recording
# and refuses high rates: nothing else is recorded meanwhile (scripts/test).
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$(stax sql --path)" "$1"
}
rate=$(cat /proc/sys/kernel/perf_event_max_sample_rate)
if ! is_root || ! echo "$rate" 2>/dev/null >/proc/sys/kernel/perf_event_max_sample_rate || ((rate < 8000)); then
    skip "throttled events" "this user cannot lower kernel.perf_event_max_sample_rate"
else
    # At once back at what it was: other recordings of this host are not meant.
    trap 'echo "$rate" >/proc/sys/kernel/perf_event_max_sample_rate; cleanup' EXIT
    start stax record -F 20000 -- "$STAX_WORKLOADS/cpu_shares" --threads 1 --seconds 3 >"$TMP/truth.json" 2>"$TMP/err"
    wait_for 10 has_samples 500
    echo 4000 >/proc/sys/kernel/perf_event_max_sample_rate
    sleep 1
    echo "$rate" >/proc/sys/kernel/perf_event_max_sample_rate
    wait "$last_pid"
    trap cleanup EXIT
    check "throttled: each pause is stored, with its time and CPU" test "1|0" = "$(db "
        SELECT count(*) > 10, count(*) FILTER (WHERE cpu IS NULL OR n <> 1 OR l.ts NOT BETWEEN r.start_ts AND r.end_ts)
          FROM loss l, run r WHERE kind = 'throttled'")"
    check_json "... and no CPU time is missing" <(jq --argjson ns "$(db "
        SELECT sum(on_cpu_ns) FROM thread_sum JOIN thread USING (utid) WHERE name LIKE 'share-%'")" \
        '{truth: ([.threads[].cpu_ns] | add), $ns}' "$TMP/truth.json") '.ns > .truth * 0.95 and .ns < .truth * 1.05'
    check_json "... which a view says" <(stax top --json) '.quality.n_throttled > 10 and (.warnings | any(test("paused sampling")))'
fi
finish
