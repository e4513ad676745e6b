#!/usr/bin/env bash
# Archives: saved from live and stopped runs, opened with and without a server, and hostile ones.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
spin=("$STAX_WORKLOADS/cpu_shares" --threads 2 --duty 0.6)

# Without times and the path: what must be equal between a run and its archive.
same='del(.run.path, .run.id, .warnings, .quality.data_age_ns)'
compare() {
    check "$1" diff <(jq -S "$same" "$2") <(jq -S "$same" "$3")
}

start stax record -- "${spin[@]}" --seconds 600 >/dev/null 2>&1
record=$last_pid
wait_for 10 has_samples 1000
check "save of a live run" stax save "$TMP/live.stax"
for i in {1..8}; do # the run goes on while it is saved
    stax save --json "$TMP/live$i.stax" >"$TMP/saved$i" 2>/dev/null
    sqlite3 -readonly "$TMP/live$i.stax" 'SELECT n_samples FROM run' >"$TMP/held$i"
done
check "what save says it has is what the archive has" diff \
    <(jq -s '.[] | .data.n_samples, .run.n_samples, .quality.n_samples' "$TMP"/saved*) <(sed 'p;p' "$TMP"/held*)
check "the run goes on" is_active
check_json "the copy of a live run is a stopped run" <(stax top --json --run "$TMP/live.stax") \
    '.run.state == "stopped" and .run.stop_reason == "saved_live" and .run.n_samples >= 1000'
check "its journal mode is delete" test "$(sqlite3 -readonly "$TMP/live.stax" 'PRAGMA journal_mode')" = delete
check "plain sqlite3 finds it whole" test "$(sqlite3 -readonly "$TMP/live.stax" 'PRAGMA integrity_check')" = ok
check "sums of the copy of a live run agree" test \
    "$(sqlite3 -readonly "$TMP/live.stax" 'SELECT SUM(self_on_cpu_ns) FROM symbol_sum')" = \
    "$(sqlite3 -readonly "$TMP/live.stax" 'SELECT SUM(on_cpu_ns) FROM sample')"
ln -s "$(stax sql --path)" "$TMP/link.stax"
check_json "a link to a run in use is that run" <(stax top --json --run "$TMP/link.stax") \
    '.run.state == "recording" and .run.n_samples >= 1000'
check_status "... and no archive" 2 "own runs" -- stax open "$TMP/link.stax"
rm "$TMP/link.stax"
end_run
wait_for 5 gone "$record"

check "save of a stopped run" stax save "$TMP/a.stax"
check_status "an existing file is kept" 2 'force' -- stax save "$TMP/a.stax"
check "... unless told otherwise" stax save --force "$TMP/a.stax"
for view in "top -n 1000" "flame -d 100 --threshold-pct 0" "threads -n 0" "top --from 0.3 --to 0.8"; do
    # shellcheck disable=SC2086
    stax $view --json >"$TMP/run.json"
    # shellcheck disable=SC2086
    stax $view --json --run "$TMP/a.stax" >"$TMP/archive.json" 2>"$TMP/err" || fail "$view --run FILE" "$(cat "$TMP/err")"
    compare "the archive answers as the run did: $view" "$TMP/run.json" "$TMP/archive.json"
done
check "a plain sqlite3 gives the numbers of stax top" diff \
    <(jq -r '.data.functions[] | select(.self_on_cpu_ns > 0) | "\(.name)|\(.self_on_cpu_ns)"' <(stax top --json -n 1000) | sort) \
    <(sqlite3 -readonly "$TMP/a.stax" "SELECT name, self_on_cpu_ns FROM symbol_sum JOIN symbol ON symbol.id = symbol
      WHERE kind NOT IN ('process', 'marker') AND self_on_cpu_ns > 0" | sort)
check "open" stax open "$TMP/a.stax"
check_json "an opened archive is in the list" <(stax list --json) 'any(.data.runs[]; .is_archive)'

# No server, a folder that cannot be written, another folder.
mkdir "$TMP/ro"
cp "$TMP/a.stax" "$TMP/ro/b.stax"
chmod 500 "$TMP/ro"
before=$(sha256sum <"$TMP/ro/b.stax")
for view in top flame threads; do
    check_status "--run FILE without a server: $view" 0 burn_alpha\|share -- \
        env STAX_SERVER_SOCKET="$TMP/nobody.sock" stax $view --run "$TMP/ro/b.stax"
done
check_status "sql --run FILE without a server" 0 burn_alpha -- env STAX_SERVER_SOCKET="$TMP/nobody.sock" \
    stax sql --run "$TMP/ro/b.stax" "SELECT name FROM symbol WHERE name = 'burn_alpha'"
check "reading changed nothing" test "$(sha256sum <"$TMP/ro/b.stax") $(ls "$TMP/ro")" = "$before b.stax"
if is_root; then
    skip "save into a folder without write permission" "root may write everywhere"
else
    check_status "save into a folder without write permission" 5 -- stax save "$TMP/ro/new.stax"
fi
chmod 700 "$TMP/ro"
check_status "save into a missing folder" 1 'no/such' -- stax save "$TMP/no/such/x.stax"
mkdir "$TMP/folder"
check_status "save over a folder" 2 'regular file' -- stax save --force "$TMP/folder"
check_status "no such archive" 1 'nope.stax' -- stax top --run "$TMP/nope.stax"

if is_root && mkdir "$TMP/small" && mount -t tmpfs -o size=64k none "$TMP/small" 2>/dev/null; then
    check_status "save on a full disk" 1 'space|full' -- stax save "$TMP/small/x.stax"
    check "a failed save leaves nothing behind" test -z "$(ls -A "$TMP/small")"
    umount "$TMP/small"
else
    skip "save on a full disk" "needs root to mount a small tmpfs"
fi

# Files that are not what they say.
hostile() {
    local name=$1 file=$2 pattern=${3:-}
    local got=0
    timeout 20 stax top --run "$file" >"$TMP/out" 2>&1 </dev/null || got=$?
    if ((got != 1)) || ! grep -qE -- "$pattern" "$TMP/out"; then
        fail "hostile: $name" "status $got, wanted 1${pattern:+ and /$pattern/}" "$(cat "$TMP/out")"
    else
        ok "hostile: $name"
    fi
}
echo "hello, I am text" >"$TMP/text.stax"
hostile "a text file" "$TMP/text.stax"
: >"$TMP/empty.stax"
hostile "an empty file" "$TMP/empty.stax"
hostile "a folder" "$TMP/folder"
sqlite3 "$TMP/other.stax" 'CREATE TABLE t(x); INSERT INTO t VALUES (1);'
hostile "somebody else's database" "$TMP/other.stax"
head -c $(($(stat -c %s "$TMP/a.stax") / 2)) "$TMP/a.stax" >"$TMP/half.stax"
hostile "half a file" "$TMP/half.stax"
doctored() {
    cp "$TMP/a.stax" "$TMP/doctored.stax"
    sqlite3 "$TMP/doctored.stax" "$1"
}
doctored 'PRAGMA user_version = 99'
hostile "from the future" "$TMP/doctored.stax" 'newer|version'
doctored 'PRAGMA application_id = 7'
hostile "another application" "$TMP/doctored.stax"
doctored 'CREATE TRIGGER t AFTER INSERT ON sample BEGIN DELETE FROM run; END'
hostile "with a trigger" "$TMP/doctored.stax"
doctored 'CREATE VIEW evil AS SELECT 1'
hostile "with a view of its own" "$TMP/doctored.stax"
doctored 'CREATE VIRTUAL TABLE v USING fts5(x)'
hostile "with a virtual table" "$TMP/doctored.stax"
doctored 'DROP TABLE thread_sum'
hostile "without one of our tables" "$TMP/doctored.stax"

# Flipped bits: any answer but a crash or a hang.
"$PYTHON" - "$TMP/a.stax" "$TMP" <<'P'
import random, sys
data, rng = open(sys.argv[1], "rb").read(), random.Random(42)
for i in range(25):
    b = bytearray(data)
    for _ in range(8):
        b[rng.randrange(100, len(b))] ^= 1 << rng.randrange(8)
    open(f"{sys.argv[2]}/flip{i}.stax", "wb").write(b)
P
bad=
for file in "$TMP"/flip*.stax; do
    for view in top flame threads "top --from 0.1 --to 0.5"; do
        status=0
        # shellcheck disable=SC2086
        timeout 20 stax $view --run "$file" >"$TMP/out" 2>&1 || status=$?
        ((status <= 5)) || bad+="$file $view: status $status"$'\n'
    done
done
if [[ $bad ]]; then fail "bit flips are errors or answers, never crashes" "$bad"; else ok "bit flips are errors or answers, never crashes"; fi
check_status "the server opens none of them" 1 -- stax open "$TMP/half.stax"
check_status "the server still answers" 0 burn_alpha -- stax top --run "$TMP/a.stax"
finish
