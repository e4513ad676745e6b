#!/usr/bin/env bash
# Names and line tables that the end of a run had no time for are completed by the server afterwards;
# nothing waits for that, neither a recording nor the server's end, and nobody is told to come again.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
export DEBUGINFOD_RETRY_LIMIT=1

dir=$TMP/program
mkdir "$dir"
cat >"$dir/hot.c" <<'C'
#include <stdlib.h>
#include <time.h>
volatile unsigned long sink;
static __attribute__((noinline)) unsigned long hot_inner(unsigned long x)
{
    for (int i = 0; i < 4000; i++)
        x = x * 6364136223846793005ul + 1;
    return x;
}
int main(int argc, char **argv)
{
    time_t end = time(NULL) + atoi(argc > 1 ? argv[1] : "2");
    while (time(NULL) < end)
        sink += hot_inner(sink);
    return 0;
}
C
(cd "$dir" && gcc -O2 -g -fno-omit-frame-pointer -Wl,--build-id=sha1 -o full hot.c && objcopy --strip-all full main) || exit 1

stop_server() {
    local pid
    pid=$(server_pid)
    kill "$pid" && wait_for 5 gone "$pid"
}
took() { # CMD...: in $took_ms
    local begin
    begin=$(date +%s%N)
    "$@" >"$TMP/out" 2>&1
    status=$?
    took_ms=$((($(date +%s%N) - begin) / 1000000))
}
is_whole() {
    [[ $(sqlite3 -readonly "$1" 'PRAGMA integrity_check') == ok ]]
}

# As if the end of the run had had no time at all.
server_start
stax record -- "$dir/full" 2 >/dev/null 2>&1
check "names are completed" wait_for 60 names_are complete
stop_server
path=$TMP/data/run-1.stax
sqlite3 "$path" 'DELETE FROM code_line'
server_start
check "line tables come by themselves" wait_for 60 names_are complete
lines='[.data.instructions[] | select(.line > 0)] | length'
check_json "annotate has lines where no samples are" <(stax annotate hot_inner --json) \
    "($lines) > ([.data.instructions[] | select(.n_samples > 0)] | length)"
stop_server
lacking="DELETE FROM code_line; DELETE FROM frame_line; INSERT INTO ability (name, is_available, reason, unlock)
    VALUES ('late_names', 0, 'names were still being looked for when the run ended', 'stax symbolize')"
sqlite3 "$path" "$lacking"
server_start
check "names come by themselves" wait_for 60 names_are complete
check "... with their lines" test "$(sqlite3 -readonly "$path" 'SELECT count(*) > 0 FROM frame_line')" = 1
check "... and nothing says any more that they lack" test \
    "$(sqlite3 -readonly "$path" "SELECT count(*) FROM ability WHERE name = 'late_names'")" = 0
stop_server
sqlite3 "$path" "$lacking"
server_start
check "what is saved at once has its names" stax save "$TMP/whole.stax"
check "... with their lines" test "$(sqlite3 -readonly "$TMP/whole.stax" 'SELECT count(*) > 0 FROM frame_line')" = 1
check "... and nothing says that they lack" test \
    "$(sqlite3 -readonly "$TMP/whole.stax" "SELECT count(*) FROM ability WHERE name = 'late_names'")" = 0
stop_server

# A server for debug files that never answers: the search is in its middle for a long time.
cat >"$TMP/server.py" <<'PY'
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(64)
print(s.getsockname()[1], flush=True)
held = []
while True:
    held.append(s.accept()[0])
PY
start "$PYTHON" "$TMP/server.py" >"$TMP/port"
wait_for 5 test -s "$TMP/port"
DEBUGINFOD_URLS=http://127.0.0.1:$(<"$TMP/port")
export DEBUGINFOD_URLS DEBUGINFOD_TIMEOUT=90 DEBUGINFOD_CACHE_PATH=$TMP/cache
# middle: a run whose names are being looked for; its number and file are $run and $path.
middle() {
    stax record -- "$dir/main" 1 >/dev/null 2>&1
    run=$(stax list --json | jq '.data.runs[0].id')
    path=$(stax sql --path --run "$run")
    sleep 0.5
    check "$1: names are being looked for" names_are pending
}
server_start
middle "a recording"
took stax record -- true
check "a recording is not held up ($took_ms ms)" test "$status" = 0 -a "$took_ms" -lt 3000
check_json "... and the first run is taken up again" <(stax list --json) \
    ".data.runs | map(select(.id == $run)) | .[0].names == \"pending\""
middle "saving"
took stax save "$TMP/a.stax"
check "saving is not held up ($took_ms ms)" test "$status" = 0 -a "$took_ms" -lt 5000
took stax symbolize --run "$run" --timeout-ms 2000
check "symbolize is not refused ($took_ms ms)" test "$status" = 0 -a "$took_ms" -lt 8000
middle "removal"
took rpc remove_run "{\"run\": $run}"
check_json "removal is not refused" "$TMP/out" '.error == null'
check "... nor held up ($took_ms ms)" test "$took_ms" -lt 3000
check "... and leaves nothing" test ! -e "$path" -a ! -e "$path-wal"
middle "SIGTERM"
server=$(server_pid)
kill -TERM "$server"
took wait_for 10 gone "$server"
check "SIGTERM ends the server at once ($took_ms ms)" test "$status" = 0 -a "$took_ms" -lt 3000
check "... and the run is whole" is_whole "$path"
finish
