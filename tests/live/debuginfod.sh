#!/usr/bin/env bash
# debuginfod servers that hang, drip, lie about sizes or answer another build: nothing waits for them
# longer than it was told to, nothing of theirs is used, and what happened is said.
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
(cd "$dir" && gcc -O2 -g -fno-omit-frame-pointer -Wl,--build-id=sha1 -o full hot.c && objcopy --strip-all full main &&
    objcopy --only-keep-debug full full.debug && sed 's/4000/5000/' hot.c >other.c &&
    gcc -O2 -g -Wl,--build-id=sha1 -o other other.c && objcopy --only-keep-debug other other.debug) || exit 1
id=$(readelf -n "$dir/full" | sed -n 's/.*Build ID: //p')

# server.py MODE FILE: answers every request that way, and counts them in the log.
cat >"$TMP/server.py" <<'PY'
import socket, sys, threading, time
mode, body = sys.argv[1], open(sys.argv[2], "rb").read()
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(64)
print(s.getsockname()[1], flush=True)
def header(n, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {n}\r\nX-DEBUGINFOD-SIZE: {n}\r\nConnection: close\r\n\r\n".encode()
def answer(c):
    request = c.recv(65536).decode(errors="replace")
    print("request", request.split("\r\n")[0], file=sys.stderr, flush=True)
    try:
        if mode == "hang":
            time.sleep(600)
        elif mode == "drip":
            c.sendall(header(len(body)))
            for b in body:
                c.sendall(bytes([b]))
                time.sleep(0.5)
        elif mode == "short":
            c.sendall(header(len(body) + 4096) + body)
        elif mode == "long":
            c.sendall(header(len(body) // 2) + body)
        elif mode == "huge":
            c.sendall(header(1 << 50) + body)
        elif mode == "missing":
            c.sendall(header(0, "404 Not Found"))
        elif mode == "noise":
            c.sendall(b"\xff" * 100000)
        else:
            c.sendall(header(len(body)) + body)
    except OSError:
        pass
    c.close()
while True:
    threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
PY
n_cache=0
serve() { # MODE FILE
    : >"$TMP/port"
    start "$PYTHON" "$TMP/server.py" "$@" >"$TMP/port" 2>"$TMP/requests"
    service=$last_pid
    wait_for 5 test -s "$TMP/port"
    DEBUGINFOD_URLS=http://127.0.0.1:$(<"$TMP/port")
    export DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH=$TMP/cache$((++n_cache))
}
restart() {
    local pid
    pid=$(server_pid)
    [[ -z $pid ]] || { kill "$pid" && wait_for 5 gone "$pid"; }
}
named() {
    [[ $(stax sql "SELECT count(*) FROM symbol WHERE name = 'hot_inner'" --csv 2>/dev/null | tail -1) == 1* ]]
}
n_requests() {
    grep -c "request.*$id" "$TMP/requests"
}
symbolize() { # TIMEOUT_MS
    local begin
    begin=$(date +%s%N)
    stax symbolize --timeout-ms "$1" --json >"$TMP/symbolize.json" 2>"$TMP/err"
    took_ms=$((($(date +%s%N) - begin) / 1000000))
}
# says PATTERN: diagnose symbols gives it as reason, with the server's URL.
says() {
    stax diagnose symbols --json | jq '[.data.binaries[] | select(.binary | endswith("/main"))]' >"$TMP/symbols.json"
    jq -e 'length == 1 and (.[0].why | test($w))' --arg w "$1" "$TMP/symbols.json" >/dev/null
}
# refused MODE FILE WHAT WHY: not used, and WHAT (jq) of diagnose says so, WHY diagnose symbols.
refused() {
    serve "$1" "$2"
    restart
    stax record -- "$dir/main" 1 >/dev/null 2>&1
    symbolize 3000
    check "$1: symbolize ends in time ($took_ms ms)" test "$took_ms" -lt 8000
    check_not "$1: nothing of it is used" named
    stax diagnose --json >"$TMP/diagnose.json"
    check_json "$1: and it is said" "$TMP/diagnose.json" "$3"
    check "$1: and why code has no names" says "$4"
    check "$1: it was asked" test "$(n_requests)" -ge 1
    kill "$service"
}
check_not() {
    local name=$1
    shift
    if "$@"; then fail "$name"; else ok "$name"; fi
}
refused hang "$dir/full.debug" '.data.debuginfod | .n_found == 0 and .n_failed == 0 and .n_not_found == 0' 'no debug file was found; debuginfod at http://127.0.0.1:[0-9]+: no answer yet$'
refused drip "$dir/full.debug" '.data.debuginfod | .n_found == 0 and .n_failed == 0 and .n_not_found == 0' 'debuginfod at http://127.0.0.1:[0-9]+: no answer yet$'
refused short "$dir/full.debug" '.data.debuginfod | .n_failed >= 1 and (.last_failure | length > 0)' 'debuginfod at http://127.0.0.1:[0-9]+: failed: the download broke off$'
refused long "$dir/full.debug" '.data.debuginfod | .n_found + .n_failed >= 1' 'answered a damaged file \(cut off'
refused huge "$dir/full.debug" '.data.debuginfod | .n_failed >= 1' 'failed: the file is larger than 8 GiB$'
refused noise "$dir/full.debug" '.data.debuginfod | .n_failed + .n_not_found >= 1' 'debuginfod at http://127.0.0.1:[0-9]+: (failed: .*|does not have it)$'
refused missing "$dir/full.debug" '.data.debuginfod | .n_not_found >= 1 and .n_failed == 0' 'debuginfod at http://127.0.0.1:[0-9]+: does not have it$'
refused other "$dir/other.debug" '.data.debuginfod | .n_failed >= 1 and .last_failure == "answered another build"' 'answered another build$'
check_json "other: the note says of which build it is" <(stax sql --json "SELECT note FROM binary WHERE name = 'main'") \
    '.data.rows[0][0] | test("another build")'

# Nobody listens there; names and passwords of a URL are nobody's business.
export DEBUGINFOD_URLS="http://me:secret@127.0.0.1:1/x?token=secret http://127.0.0.1:2" DEBUGINFOD_CACHE_PATH=$TMP/cache_dead
restart
stax record -- "$dir/main" 1 >/dev/null 2>&1
symbolize 3000
check "no server: the reason is the failure" says '^stripped, and no debug file was found; debuginfod at http://127.0.0.1:1/x and 1 more: failed: Connection refused$'
check_json "no server: help is not to name a server" "$TMP/symbols.json" '.[0].help | test("the server when it answers") and test("symbolize$")'
stax save "$TMP/dead.stax" >/dev/null
check_not "no server: no password in the file" grep -q secret "$TMP/dead.stax"
cp "$dir/full.debug" "$TMP/here.debug"
mkdir -p "$TMP/debug/.build-id/${id:0:2}"
mv "$TMP/here.debug" "$TMP/debug/.build-id/${id:0:2}/${id:2}.debug"
restart
STAX_DEBUG_DIRS=$TMP/debug stax record -- /bin/true >/dev/null 2>&1
stax symbolize --run "$TMP/dead.stax" >/dev/null 2>&1
check_json "no server: nothing of it is left when the file is there" <(stax sql --run "$TMP/dead.stax" --json "SELECT note FROM binary WHERE name = 'main'") \
    '.data.rows == [[null]]'

# What a server did not have is not asked for again, and one that is dead is left alone.
serve missing "$dir/full.debug"
restart
stax record -- "$dir/main" 1 >/dev/null 2>&1
symbolize 3000
asked=$(n_requests)
rm -rf "$DEBUGINFOD_CACHE_PATH" # the library's own memory
symbolize 3000
check "missing: asked once ($asked, then $(n_requests))" test "$(n_requests)" = "$asked"
kill "$service"

serve hang "$dir/full.debug"
restart
start stax record -- "$dir/main" 40 >/dev/null 2>&1
downloads() {
    stax diagnose --json 2>/dev/null | jq -e '.data.debuginfod.download.path | test("/main$")' >/dev/null
}
check "hang: diagnose names what is being asked for" wait_for 8 downloads
gave_up() {
    stax diagnose --json 2>/dev/null | jq -e '.data.debuginfod | .n_failed >= 1 and (.last_failure | test("no answer"))' >/dev/null
}
check "hang: it is given up" wait_for 20 gave_up
check_json "hang: it delays no commit" <(stax diagnose --json) '.data.ingest.max_commit_ns < 2e9'
stax stop >/dev/null
kill "$service"
finish
