#!/usr/bin/env bash
# A target in mount, pid and (for users without privileges) user namespaces of its own: recorded by the
# pid it has here, with the names of files that only it can see.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
flags=(--mount --pid --fork --kill-child)
is_root || flags+=(--user --map-root-user)
if ! unshare "${flags[@]}" true 2>"$TMP/err"; then
    skip "namespaces" "unshare ${flags[*]}: $(tail -1 "$TMP/err")"
    finish
fi
inside=$TMP/inside
mkdir "$inside"
cat >"$TMP/go.sh" <<'S'
mount -t tmpfs none "$1" && mount -t proc proc /proc && cp "$2" "$1/hidden" && exec "$1/hidden" --threads 2 --seconds "$3"
S
path=
db() {
    sqlite3 -readonly -cmd '.timeout 2000' "$path" "$1"
}
# What a recording of it must say; $1: the kind of recording, $2: its host pid.
checks() {
    path=$(stax sql --path)
    check_json "$1: functions of a file that only it sees have their names" <(stax top --json) \
        '([.data.functions[] | select(.name | test("^burn_(alpha|beta|gamma)$")).self_pct] | add) > 80'
    check "$1: the file by the path it has there" test "$(db "SELECT DISTINCT path FROM binary WHERE kind = 'main' AND path LIKE '%/hidden'")" = "$inside/hidden"
    check "$1: pids are those seen from here" test "$(db "SELECT count(*) FROM process WHERE pid = $2")" = 1
    check "$1: no stack is lost in unknown code" test "$(db '
        SELECT count(*) FROM sample JOIN frame f ON f.id = frame JOIN symbol s ON s.id = f.symbol WHERE s.kind <> '"'function'"'')" -le 20
}
start unshare "${flags[@]}" sh "$TMP/go.sh" "$inside" "$STAX_WORKLOADS/cpu_shares" 60 >"$TMP/truth.json" 2>"$TMP/err"
outer=$last_pid
target=
find_target() {
    target=$(pgrep -P "$outer" -f hidden)
    [[ $target && $(readlink "/proc/$target/exe") == "$inside/hidden" ]]
}
if ! wait_for 10 find_target; then
    fail "the target starts" "$(cat "$TMP/err")"
    finish
fi
check "the file is not there from outside" test ! -e "$inside/hidden"
check "the target has another pid inside" grep -qE "^NSpid:[[:space:]]+${target}[[:space:]]+1$" "/proc/$target/status"

stax record --pid "$target" -l 1 2>"$TMP/record.err" || fail "attach" "$(cat "$TMP/record.err")"
checks attached "$target"
check "attached: its threads by the ids seen from here" diff \
    <(find "/proc/$target/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort) <(db 'SELECT tid FROM thread' | sort)
if [[ $STAX_DAEMON_SOCKET ]] && ! is_root; then
    check_json "attached: staxd leaves user namespaces to us, and the run says so" <(stax diagnose --json) \
        '.data.abilities[] | select(.name == "kernel_stacks") | (.is_available | not) and (.reason | test("user namespace"))'
fi
kill -KILL "$target"
wait_for 5 gone "$outer"

start stax record -- unshare "${flags[@]}" sh "$TMP/go.sh" "$inside" "$STAX_WORKLOADS/cpu_shares" 2 >"$TMP/truth.json" 2>"$TMP/record.err"
record=$last_pid
find_launched() {
    outer=$(pgrep -P "$record" unshare)
    [[ $outer ]] && find_target
}
wait_for 10 find_launched || fail "launched: the target starts" "$(cat "$TMP/record.err")"
wait "$record"
checks launched "$target"
check "launched: both its names for the main thread are one process" test "$(db "SELECT count(*) FROM process WHERE name = 'hidden'")" = 1
finish
