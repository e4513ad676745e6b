#!/usr/bin/env bash
# The broker as root runs it, asked by a user without privileges: what it gives, and what it refuses.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
if ! is_root; then
    skip "staxd" "the broker is started by root"
    finish
fi
# What the user needs to reach, and setuid programs on a file system that honours them.
public=$(mktemp -d /tmp/staxd-live.XXXXXX)
has_mounted=
clean_up() {
    local status=$?
    [[ $has_mounted ]] && umount /sys/kernel/tracing
    rm -rf "$public"
    (exit $status)
    cleanup
}
trap clean_up EXIT
chmod 755 "$public"
cp "$here/staxd.py" "$public/"
chmod 644 "$public/staxd.py"
socket=$public/staxd.sock
user=54321
as_user() {
    setpriv --reuid="$user" --regid="$user" --clear-groups env -C / TMPDIR=/tmp "$@"
}
caller() {
    as_user "$PYTHON" "$public/staxd.py" "$socket" "$@" || n_failed=$((n_failed + 1))
}

if [[ ! -r /sys/kernel/tracing/events/sched/sched_waking/id ]]; then
    start staxd --socket "$public/early.sock" 2>/dev/null
    early=$last_pid
    wait_for 5 test -S "$public/early.sock"
    socket=$public/early.sock caller no_tracefs
    kill -KILL "$early"
    mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null && has_mounted=1
fi
start staxd --socket "$socket" 2>"$TMP/staxd.log"
broker=$last_pid
if ! wait_for 5 test -S "$socket" || ! alive "$broker"; then
    fail "staxd starts" "$(cat "$TMP/staxd.log")"
    finish
fi
capabilities() {
    (($((16#$(awk '/^CapEff/ { print $2 }' "/proc/$broker/status") & ~(1 << 38 | 1 << 34 | 1 << 21))) == 0))
}
check "it gives up all capabilities but those it uses" capabilities
check_status "a second one on the same socket is refused" 1 'another' -- staxd --socket "$socket"

caller abilities
cp "/proc/$broker/maps" "$TMP/maps.before"
if [[ -r /sys/kernel/tracing/events/sched/sched_waking/id ]]; then
    mkfifo -m 644 "$public/fifo"
    start "$PYTHON" -c 'import sys, time, os
f = os.open(sys.argv[1], os.O_RDWR)
while True: time.sleep(0.005); os.write(f, b"x")' "$public/fifo"
    caller wakeups "$public/fifo" "$last_pid"
else
    skip "wakeups" "tracefs cannot be mounted"
fi

for program in sleep dd; do
    cp "$(command -v $program)" "$public/$program"
    install -m 4755 "$(command -v $program)" "$public/$program.setuid"
    install -m 2755 "$(command -v $program)" "$public/$program.setgid"
done
capable=0
if setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw true 2>/dev/null; then
    start setpriv --reuid=$user --regid=$user --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw sleep 100
    capable=$last_pid
    sleep 0.2
fi
if findmnt -no OPTIONS -T "$public" | grep -qw nosuid; then
    skip "setuid programs" "/tmp is mounted nosuid"
else
    caller refusals "$public/sleep.setuid" "$public/sleep.setgid" "$public/sleep" "$capable"
    caller becomes_privileged "$public/dd" "$public/dd.setuid"
fi
caller messages

# A pid that lives again.
mkfifo "$TMP/go"
as_user "$PYTHON" "$public/staxd.py" "$socket" reuse <"$TMP/go" >"$TMP/reuse" 2>"$TMP/reuse.pid" &
reuser=$!
exec {go}>"$TMP/go"
wait_for 5 test -s "$TMP/reuse.pid"
dead=$(cat "$TMP/reuse.pid")
again=
for _ in {1..50}; do
    echo $((dead - 1)) >/proc/sys/kernel/ns_last_pid 2>/dev/null
    start setpriv --reuid=$user --regid=$user --clear-groups sleep 100
    [[ $last_pid == "$dead" ]] && again=$last_pid && break
    kill -KILL "$last_pid"
done
sleep 0.2
echo "${again:-0}" >&$go
exec {go}>&-
wait "$reuser" || n_failed=$((n_failed + 1))
cat "$TMP/reuse"

if unshare --pid --fork true 2>/dev/null; then
    unshare --pid --fork setpriv --reuid=$user --regid=$user --clear-groups "$PYTHON" "$public/staxd.py" "$socket" namespace ||
        n_failed=$((n_failed + 1))
else
    skip "a caller in another pid namespace" "unshare --pid is forbidden"
fi

# Those who only take room. Other users are served meanwhile.
few_fds() {
    (($(find "/proc/$broker/fd" -type l 2>/dev/null | wc -l) < 150))
}
caller crowd
wait_for 3 few_fds
check "... its descriptors stay few" few_fds
for attack in hold linger ambush; do
    [[ $attack == ambush ]] && kill -STOP "$broker"
    mkfifo "$TMP/$attack"
    as_user "$PYTHON" "$public/staxd.py" "$socket" $attack <"$TMP/$attack" 2>"$TMP/$attack.log" &
    attacker=$!
    exec {go}>"$TMP/$attack"
    wait_for 20 test -s "$TMP/$attack.log" || fail "$attack begins" "$(cat "$TMP/$attack.log")"
    kill -CONT "$broker"
    for other in 54322 54323; do
        user=$other caller served 3 "$attack"
    done
    check "$attack: its descriptors stay few" few_fds
    exec {go}>&-
    wait "$attacker"
done
served_again() {
    as_user "$PYTHON" "$public/staxd.py" "$socket" served 5 afterwards
}
check "the user is served again when all that is over" wait_for 30 served_again
check "it still runs" alive "$broker"
check "nothing was allocated meanwhile" diff "$TMP/maps.before" "/proc/$broker/maps"
check "what it says stays short" test "$(wc -l <"$TMP/staxd.log")" -le 200
kill -KILL "$broker"
wait_for 10 gone "$broker" # until then its socket is not a leftover
start staxd --socket "$socket" 2>"$TMP/staxd.log"
check "a socket left over by a killed one is replaced" wait_for 5 served_again
finish
