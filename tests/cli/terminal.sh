#!/usr/bin/env bash
# What stax shows on a terminal: colour, width, the progress line, Ctrl-C, and the SQL prompt.
. "$(dirname "$0")/../live/lib.sh"
need_perf
unset NO_COLOR
export TERM=xterm

# tty COLUMNS INPUT CMD...: runs the command on a terminal of that width. INPUT is a list of
# "text-to-wait-for=keys" words of Python; prints what the terminal received.
tty() {
    "$PYTHON" - "$@" <<'P'
import ast, fcntl, os, pty, select, struct, sys, termios, time
columns, steps, command = int(sys.argv[1]), ast.literal_eval(sys.argv[2]), sys.argv[3:]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(command[0], command)
seen, mark, end = b"", 0, time.time() + 30
while time.time() < end:
    if steps and steps[0][0].encode() in seen[mark:]:
        mark = len(seen)
        time.sleep(0.3)
        os.write(fd, steps.pop(0)[1].encode())
    if select.select([fd], [], [], 0.05)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
else:
    os.kill(pid, 9)
    seen += b"\nTIMEOUT\n"
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(seen + b"\nSTATUS %d\n" % os.waitstatus_to_exitcode(status))
P
}
# shows NAME FILE ERE
shows() {
    if grep -qE -- "$3" "$2"; then
        ok "$1"
    else
        fail "$1" "wanted /$3/" "$(cat "$2")"
    fi
}
lacks() {
    if grep -qE -- "$3" "$2"; then
        fail "$1" "found /$3/" "$(cat "$2")"
    else
        ok "$1"
    fi
}

# The target spins until Ctrl-C reaches it, as it does in a real terminal.
spin='import time
end = time.time() + 25
while time.time() < end: pass'
tty 80 '[("samples", ""), (" 1.", "\x03")]' stax record -- "$PYTHON" -c "$spin" >"$TMP/record"
shows "the progress line counts" "$TMP/record" $'\e\\[999;1Hrun 1  [0-9.]+ s  [0-9]+ samples  1 thread  0 lost'
shows "Ctrl-C ends the run with a summary" "$TMP/record" 'run 1.* after [0-9.]+ s, [0-9]+ samples'
shows "the summary says what to try" "$TMP/record" 'try: stax top'
shows "the status is that of the interrupted target" "$TMP/record" 'STATUS (130|1)$'
check_json "the run is there" <(stax top --json) '.run.state == "stopped" and .data.n_samples > 300'

# The target's own terminal: what it writes there stays as it is. The screen is looked at, not the bytes.
screen() {
    "$PYTHON" "$(dirname "$0")/screen.py" 24 80 "$1" >"$1.screen"
}
drawn=$'\e\\[999;1Hrun [0-9]+  [0-9.]+ s '
prompting='import time
end = time.time() + 1.6
while time.time() < end: pass
print("one\ntwo\nthree", flush=True)
input("Password: ")
time.sleep(1.5)'
tty 80 '[("Password: ", "se"), ("se", "cret\n")]' stax record -- "$PYTHON" -c "$prompting" >"$TMP/prompt"
screen "$TMP/prompt"
shows "a target that is silent at first has the line" "$TMP/prompt" "$drawn"
check "its text, its prompt and what was typed stay whole" test "$(sed -n '/^one/,/^Password/p' "$TMP/prompt.screen")" = \
    $'one|\ntwo|\nthree|\nPassword: secret|'
lacks "no line is drawn once the target has used the terminal" <(sed -n '/Password/,$p' "$TMP/prompt") "$drawn"
lacks "... and nothing of it is left" "$TMP/prompt.screen" 'samples  1 thread'
# A password is asked for on /dev/tty, which is another file than the terminal's own.
secretly='import getpass, time
end = time.time() + 1.6
while time.time() < end: pass
getpass.getpass("Secret: ")
time.sleep(1.5)'
tty 80 '[("Secret: ", "x\n")]' stax record -- "$PYTHON" -c "$secretly" >"$TMP/secret"
shows "... and one that asks on /dev/tty, too" "$TMP/secret" "$drawn"
lacks "... but not once it has asked" <(sed -n '/Secret/,$p' "$TMP/secret" | sed '1s/.*Secret//') "$drawn"
talking='import time
end = time.time() + 3
while time.time() < end: print("working", round(end - time.time(), 1), flush=True) or time.sleep(0.2)'
tty 80 '[]' stax record -- "$PYTHON" -c "$talking" >"$TMP/talk"
lacks "a target that talks is not talked over" "$TMP/talk" "$drawn"
shows "... and has its summary" "$TMP/talk" 'try: stax top'
# It comes back when the target has been silent for some seconds, below what it wrote, and goes again before more of it.
pausing='import time
def spin(seconds):
    end = time.time() + seconds
    while time.time() < end: pass
spin(0.2)
print("first", flush=True)
spin(6)
for i in range(3): print("second", i, flush=True)
spin(1)'
tty 80 '[]' stax record -- "$PYTHON" -c "$pausing" >"$TMP/pause"
screen "$TMP/pause"
shows "the line comes back when the target is silent" <(sed -n '/first/,/second/p' "$TMP/pause") "$drawn"
lacks "... not at once" <(sed -n '/second/,$p' "$TMP/pause" | sed '1s/.*second//') "$drawn"
check "... and what the target wrote stays whole" test "$(sed -n '/^first/,/^second 2/p' "$TMP/pause.screen")" = \
    $'first|\nsecond 0|\nsecond 1|\nsecond 2|'
lacks "... with nothing of the line left" "$TMP/pause.screen" 'samples  1 thread'
# An editor or a pager has the whole screen, and is never drawn over.
keys='import sys, time, tty
tty.setcbreak(0)
print("keys", flush=True)
end = time.time() + 6
while time.time() < end: pass'
tty 80 '[]' stax record -- "$PYTHON" -c "$keys" >"$TMP/keys"
lacks "a target that reads keys is not drawn over" <(sed -n '/keys/,$p' "$TMP/keys") "$drawn"
# A terminal that may not be read, as after su and sudo: nobody would notice what others write.
as=()
is_root && as=(setpriv "--bounding-set=-dac_override,-dac_read_search")
tty 80 '[]' "${as[@]}" sh -c 'chmod 200 "$(tty)"; exec stax record -l 11 -- sleep 20' >"$TMP/others"
shows "a terminal of somebody else's has a plain line now and then" "$TMP/others" '^stax: run [0-9]+  10\.[0-9]+ s  [0-9]+ samples  1 thread  0 lost'
lacks "... and nothing that moves about" "$TMP/others" $'\e\\[999;1H'
TERM=dumb tty 80 '[]' stax record -- sleep 1.5 >"$TMP/dumb"
lacks "a dumb terminal gets no line" "$TMP/dumb" $'\e'
# Ctrl-Z of a shell's job, and its return.
tty 80 '[("ready", "stax record -- '"$STAX_WORKLOADS"'/cpu_shares --seconds 20 >/dev/null\n"), (" samples ", "\x1a"),
 ("Stopped", "echo stop\"ped\"\n"), ("stopped", "fg\n"), ("cpu_shares", "\x03"), ("try:", "exit\n")]' \
    env PS1='ready ' bash --norc --noprofile --noediting -i >"$TMP/job"
screen "$TMP/job"
shows "Ctrl-Z stops it" "$TMP/job" 'Stopped.*stax record'
check "... with the line gone" test "$(sed -n '/Stopped/,/^stopped/p' "$TMP/job.screen" | grep -c ' samples ')" = 0
shows "... and fg brings it back to end by Ctrl-C" "$TMP/job" 'stopped by request'

tty 60 '[]' stax top >"$TMP/top"
shows "colour on a terminal" "$TMP/top" $'\e\\[1mself ms'
widest() {
    sed -E $'s/\e\\[[0-9;]*m//g; s/\r//g; /^warning|^STATUS/d' "$1" | LC_ALL=C.UTF-8 wc -L
}
check "lines fit the terminal" test "$(widest "$TMP/top")" -le 60
for columns in 40 80 200; do
    for view in top "top --off-cpu" flame "flame --off-cpu" threads waits wakers "wakers --chain" list; do
        # shellcheck disable=SC2086
        COLUMNS=$columns stax $view >"$TMP/view" 2>/dev/null
        check "stax $view fits $columns columns" test "$(widest "$TMP/view")" -le "$columns"
    done
done
# What is asked for by name is not left out; the terminal wraps it.
check "stax threads --wide has all columns on any terminal" test \
    "$(COLUMNS=40 stax threads --wide 2>/dev/null | grep '^CPU ms' | wc -w)" = \
    "$(COLUMNS=300 stax threads --wide 2>/dev/null | grep '^CPU ms' | wc -w)"
NO_COLOR=1 tty 80 '[]' stax top >"$TMP/plain"
lacks "NO_COLOR" "$TMP/plain" $'\e\\['
stax top >"$TMP/pipe" 2>&1
lacks "no colour in a pipe" "$TMP/pipe" $'\e'

tty 100 '[("stax>", "SELECT count(*) > 0 AS\n"), ("...", "yes FROM sample;\n"), ("stax>", "SELECT 7\n"),
 ("...", "\x03"), ("stax>", ".schema thread\n"), ("stax>", "SELECT n_sam\t FROM run;\n"),
 ("stax>", "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r;\n"),
 ("count(", "\x03"), ("stax>", "nonsense;\n"), ("stax>", ".quit\n")]' stax sql >"$TMP/sql"
shows "a statement of two lines is answered" "$TMP/sql" '1 row, '
shows "its column" "$TMP/sql" '^.*yes'
shows ".schema of one table" "$TMP/sql" 'CREATE TABLE thread \('
lacks "... and of no other" "$TMP/sql" 'CREATE TABLE process'
shows "completion" "$TMP/sql" 'n_samples'
shows "Ctrl-C cancels a running query" "$TMP/sql" 'cancel|interrupt'
shows "errors are shown and the prompt goes on" "$TMP/sql" 'syntax error'
shows ".quit leaves with 0" "$TMP/sql" 'STATUS 0'
check "history is kept" grep -q 'count' "$XDG_STATE_HOME/stax/sql_history"
check "history is private" test "$(stat -c %a "$XDG_STATE_HOME/stax/sql_history")" = 600
check "statements from standard input" test "$(printf 'SELECT 1 AS a;\n-- ;\nSELECT 2 AS b' | stax sql | xargs)" = "a 1 b 2"

# A save that takes long says how much of it is done; nothing of that stays.
start "$PYTHON" "$(dirname "$0")/slow_save.py" "$TMP/slow.sock" "$(stax --version | cut -d' ' -f2)" 2>"$TMP/slow.err"
wait_for 5 test -S "$TMP/slow.sock"
STAX_SERVER_SOCKET=$TMP/slow.sock tty 80 '[]' stax save "$TMP/slow.stax" >"$TMP/slow"
screen "$TMP/slow"
shows "a long save says how much is done" "$TMP/slow" 'saving for [1-3]\.[0-9] s, 50 % done'
shows "... until it is" "$TMP/slow" 'saved .*1 sample, code of 1 function .*in 3000 ms'
lacks "... and not afterwards" "$TMP/slow.screen" 'saving'

# Examples of every command's help are run as they are printed, where they need no other program.
stax record --counters page-faults -- "$STAX_WORKLOADS/cpu_shares" --seconds 1 >/dev/null 2>&1
stax save "$TMP/profile.stax" >/dev/null
run=$(stax list --json | jq '.data.runs[0].id')
cd "$TMP" && cp profile.stax run.stax && cp profile.stax colleague.stax
cp profile.stax before.stax && cp profile.stax after.stax
# The functions and runs that examples name are those of this recording.
known=$(stax top -n 1000 --json | jq -r '[.data.functions[].name | select(test("^[A-Za-z_0-9]+$"))][0]')
here_named="s/memcpy|malloc|pthread_mutex_lock|handle_request|parse_expr|parse/$known/; s/callees main/callees $known/; s/compare 3 4/compare $run $run/; s/after.stax 7/after.stax $run/; s/--list str/--list burn/"
address=$(stax annotate "$known" --json | jq -r '.data.function | "\(.binary)+\(.rel_address)"')
printf -v address '%s+0x%x' "${address%+*}" "${address##*+}"
here_named="$here_named; s/libc.so.6\\+0x[0-9a-f]+/$address/"
n=0
while IFS= read -r example; do
    case $example in
    sudo\ *) continue ;; # changes the machine: setup.sh tests it in a DESTDIR
    *record* | *4711* | *wait* | *"stax sql" | *stop* | *"save "* | *"--from"* | *"select-run"* | *"--run 3"*) continue ;;
    esac
    if [[ $example == *'| dot '* ]] && ! command -v dot >/dev/null; then
        skip "example: $example" "graphviz is not installed"
        continue
    fi
    n=$((n + 1))
    check "example: $example" bash -c "$(sed -E "$here_named" <<<"$example")"
done < <(stax help --json | jq -r '.data.commands[].examples')
check "examples were run" test "$n" -ge 10
finish
