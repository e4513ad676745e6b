#!/usr/bin/env bash
# Names that come from elsewhere while a run is recorded: separate debug files, mini debug info, a
# debuginfod server, dwz alternates; lines and inlined functions compared with eu-addr2line; what is refused is said.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf

dir=$TMP/program
mkdir "$dir"
cat >"$dir/hot.c" <<'C'
/* hot_inner is local: only .symtab has it. */
static __attribute__((noinline)) unsigned long hot_inner(unsigned long x)
{
    for (int i = 0; i < 4000; i++)
        x = x * 6364136223846793005ul + 1;
    return x;
}
unsigned long hot_entry(unsigned long x);
unsigned long hot_entry(unsigned long x)
{
    return hot_inner(x) + 1;
}
C
cat >"$dir/main.c" <<'C'
#include <stdlib.h>
#include <time.h>
unsigned long hot_entry(unsigned long x);
volatile unsigned long sink;
int main(int argc, char **argv)
{
    time_t end = time(NULL) + atoi(argc > 1 ? argv[1] : "2");
    while (time(NULL) < end)
        sink += hot_entry(sink);
    return 0;
}
C
(cd "$dir" && gcc -O2 -g -fno-omit-frame-pointer -shared -fPIC -Wl,--build-id=sha1 -o libhot.full.so hot.c &&
    gcc -O2 -g -fno-omit-frame-pointer -shared -fPIC -Wl,--build-id=none -o libhot.noid.so hot.c &&
    cp libhot.full.so libhot.so && gcc -O2 -o main main.c -L. -lhot -Wl,-rpath,"$dir" &&
    objcopy --only-keep-debug libhot.full.so full.debug && objcopy --only-keep-debug libhot.noid.so noid.debug) ||
    fail "the program builds"
id=$(readelf -n "$dir/libhot.full.so" | sed -n 's/.*Build ID: //p')

# strip_as FULL [LINKED DEBUG FILE]: libhot.so without symbols, and a link to a debug file.
strip_as() {
    rm -f "$dir/libhot.so"
    objcopy --strip-all "$dir/$1" "$dir/libhot.so"
    [[ -z ${2:-} ]] || (cd "$dir" && objcopy --add-gnu-debuglink="$2" libhot.so)
}
inner_source() {
    stax sql "SELECT source FROM symbol WHERE name = 'hot_inner'" --csv 2>/dev/null | tail -n +2
}
is_named() {
    [[ $(inner_source) == "$1" ]]
}
top_has() {
    stax top --json 2>/dev/null | jq -e --arg n "$1" '.data.functions | map(.name) | index($n) != null' >/dev/null
}
restart() {
    local pid
    pid=$(server_pid)
    [[ -z $pid ]] || { kill "$pid" && wait_for 5 gone "$pid"; }
}
# live NAME SOURCE [ENV...]: a recording in which hot_inner gets its name from SOURCE before it ends.
live() {
    local name=$1 source=$2
    shift 2
    restart
    start env "$@" stax record -- "$dir/main" 60 >/dev/null 2>"$TMP/err"
    local record=$last_pid
    wait_for 20 has_samples 20 # before, views are of the run before it
    check "$name: named while the run records" wait_for 20 is_named "$source"
    check "$name: top has it while the run records" wait_for 5 top_has hot_inner
    stax sql "SELECT n_renames FROM run" --csv | tail -1 >"$TMP/renames"
    stax stop >/dev/null
    # the server is its child, too
    # shellcheck disable=SC2046
    kill $(pgrep -P "$record" -x main) 2>/dev/null
    wait "$record" 2>/dev/null
    wait_for 20 names_are complete # lines may have been on their way
    check "$name: and when it has stopped" top_has hot_inner
    check_json "$name: nothing of it is unnamed" <(stax top --json --sort self) \
        '[.data.functions[] | select(.name | test("libhot"))] | length == 0'
    check_json "$name: summaries are those of the names" <(stax sql --json \
        "SELECT (SELECT sum(self_on_cpu_ns) FROM symbol_sum) = (SELECT on_cpu_ns FROM run) AS is_same") '.data.rows == [[1]]'
}

strip_as libhot.full.so full.debug
live ".gnu_debuglink" debug_file
check_json "lines came with it" <(stax sql --json "SELECT count(*) FROM frame_line WHERE file LIKE '%/hot.c' AND line BETWEEN 3 AND 6") \
    '.data.rows[0][0] > 0'

mkdir -p "$TMP/debug/.build-id/${id:0:2}"
cp "$dir/full.debug" "$TMP/debug/.build-id/${id:0:2}/${id:2}.debug"
strip_as libhot.full.so
live "build id" debug_file STAX_DEBUG_DIRS="$TMP/debug"
rm -r "$TMP/debug"

strip_as libhot.noid.so noid.debug
live ".gnu_debuglink without build id" debug_file

# Another file under the linked name is not believed.
refused() {
    restart
    stax record -- "$dir/main" 2 >/dev/null 2>&1
    stax sql --json "SELECT note FROM binary WHERE name = 'libhot.so'" >"$TMP/note.json"
    check_json "$1: refused, and said" "$TMP/note.json" '.data.rows[0][0] | test($w)' --arg w "$2"
    check "$1: no name of it is used" is_named ""
}
printf x >>"$dir/noid.debug"
refused "wrong checksum" checksum
(cd "$dir" && sed 's/4000/5000/' hot.c >other.c && gcc -O2 -g -shared -fPIC -Wl,--build-id=sha1 -o other.so other.c &&
    objcopy --only-keep-debug other.so full.debug)
objcopy --strip-all "$dir/libhot.full.so" "$dir/libhot.so"
(cd "$dir" && objcopy --add-gnu-debuglink=full.debug libhot.so)
refused "debug file of another build" "another build"

# Debug files that are there but cut off, or no ELF files, and debug information that cannot be read: said, with the path.
row_of() { # of libhot.so in diagnose symbols
    stax diagnose symbols --json | jq '[.data.binaries[] | select(.binary | endswith("/libhot.so"))][0]'
}
mkdir -p "$TMP/damaged/.build-id/${id:0:2}"
file=$TMP/damaged/.build-id/${id:0:2}/${id:2}.debug
restart
for n_bytes in 2000 100 0; do
    strip_as libhot.full.so
    objcopy --only-keep-debug "$dir/libhot.full.so" "$file"
    truncate -s "$n_bytes" "$file"
    restart
    STAX_DEBUG_DIRS=$TMP/damaged stax record -- "$dir/main" 1 >/dev/null 2>&1
    wait_for 20 names_are complete # the server looks again where a run ended first
    check_json "a debug file of $n_bytes bytes: its note says that it is damaged" <(stax sql --json "SELECT note FROM binary WHERE name = 'libhot.so'") \
        '.data.rows[0][0] | test("there but damaged \\((cut off after 2000 bytes|ELF header is cut off|cut off after 100 bytes|empty)\\): .*" + $p)' --arg p "${id:2}.debug"
    check_json "... diagnose, too" <(row_of) '(.why | test("there but damaged.*" + $p)) and (.help | test("^the whole file: .*symbolize"))' --arg p "${id:2}.debug"
done
unreadable() { # NAME WHY HELP: libhot.so as it is in $dir
    restart
    stax record -- "$dir/main" 1 >/dev/null 2>&1
    wait_for 20 names_are complete # the server looks again where a run ended first
    check "$1: names are there" top_has hot_inner
    check_json "$1: no lines, and that is said" <(row_of) '.unnamed_ns == 0 and (.why | test($w)) and (.help | test($h))' --arg w "$2" --arg h "$3"
}
if objcopy --compress-debug-sections=zstd "$dir/libhot.full.so" "$dir/libhot.so" 2>/dev/null &&
    ! eu-readelf --debug-dump=info "$dir/libhot.so" 2>/dev/null | grep -q DW_TAG_compile_unit; then
    unreadable "DWARF packed by zstd" "no lines and no inlined functions: .*elfutils.*zstd" "decompress-debug-sections.*symbolize"
else
    skip "DWARF packed by zstd" "no such objcopy, or elfutils unpack it"
fi
objcopy --dump-section .debug_info="$TMP/info" "$dir/libhot.full.so" "$TMP/copy"
"$PYTHON" -c 'import sys; p = sys.argv[1]; n = len(open(p, "rb").read()); open(p, "wb").write(b"\xee" * n)' "$TMP/info"
rm "$dir/libhot.so"
objcopy --update-section .debug_info="$TMP/info" "$dir/libhot.full.so" "$dir/libhot.so"
unreadable "damaged DWARF" "no lines and no inlined functions: damaged debug information" "undamaged copy.*symbolize"

# Debug files that come after the run: a stopped run, and an archive without its binary.
restart
mkdir -p "$TMP/debug/.build-id/${id:0:2}"
strip_as libhot.full.so
export STAX_DEBUG_DIRS=$TMP/debug
stax record -- "$dir/main" 2 >/dev/null 2>&1
check_json "diagnose symbols says why and what would help" <(stax diagnose symbols --json) \
    '.data.unnamed_ns > 0 and (.data.binaries[0] | (.binary | endswith("/libhot.so")) and .unnamed_pct > 50
     and (.why | test("stripped")) and (.help | test("symbolize")))'
stax save "$TMP/a.stax" >/dev/null
objcopy --only-keep-debug "$dir/libhot.full.so" "$TMP/debug/.build-id/${id:0:2}/${id:2}.debug"
for run in "" "--run $TMP/a.stax"; do
    name=${run:+archive: }
    [[ -z $run ]] || rm "$dir/libhot.so"
    # shellcheck disable=SC2086
    {
        check_json "${name}symbolize finds it" <(stax symbolize $run --json) \
            '.data.n_symbols_named > 0 and .data.n_lines > 0 and .data.is_complete and (.data.is_live | not)'
        check_json "${name}and top has it" <(stax top $run --json) '.data.functions[0].name == "hot_inner"'
        check_json "${name}nothing is unnamed any more" <(stax diagnose symbols $run --json) '[.data.binaries[] | select(.binary | endswith("/libhot.so")) | .unnamed_ns] | add // 0 | . == 0'
        check_json "${name}the whole tree adds up" <(stax sql $run --json "SELECT sum(self_on_cpu_ns) = (SELECT on_cpu_ns FROM run),
            sum(n_self_samples) = (SELECT n_samples FROM run) FROM call_tree") '.data.rows == [[1, 1]]'
    }
done
check_status "a file that is no archive is refused" 1 "not a stax run|not a database" -- stax symbolize --run "$dir/main"
unset STAX_DEBUG_DIRS

# What Fedora leaves in a stripped file.
for full in libhot.full.so libhot.noid.so; do
    (cd "$dir" && nm -D --defined-only $full --format=posix | cut -d' ' -f1 | sort >dynamic &&
        nm --defined-only $full --format=posix | awk '$2 ~ /[tT]/ {print $1}' | sort >all && comm -13 dynamic all >keep &&
        objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=keep $full mini &&
        xz -f mini && rm -f libhot.so && objcopy --strip-all --add-section .gnu_debugdata=mini.xz $full libhot.so)
    restart
    stax record -- "$dir/main" 1 >/dev/null 2>&1
    check "mini debug info of $full names local functions" is_named gnu_debugdata
    check_json "... and is said to be that" <(row_of) '.why | startswith("mini debug info only: names, no lines")'
done

# A library whose file is gone when the recording begins: the process's memory tells its build id, and that finds its debug file.
strip_as libhot.full.so
mkdir -p "$TMP/gone/.build-id/${id:0:2}"
objcopy --only-keep-debug "$dir/libhot.full.so" "$TMP/gone/.build-id/${id:0:2}/${id:2}.debug"
restart
start "$dir/main" 60
target=$last_pid
sleep 0.3
rm "$dir/libhot.so"
STAX_DEBUG_DIRS=$TMP/gone stax record --pid "$target" -l 2 >/dev/null 2>&1
check "a deleted library is named by its build id" is_named debug_file
check_json "... and has addresses" <(stax sql --json "SELECT has_addresses, build_id FROM binary WHERE name LIKE 'libhot.so%'") \
    '.data.rows == [[1, $id]]' --arg id "$id"
kill "$target"

# A program that was replaced while it runs (an update) is read as its process has it, also by its user.
cp "$STAX_WORKLOADS/cpu_shares" "$TMP/repl"
start "$TMP/repl" --threads 1 --seconds 20 >/dev/null
repl=$last_pid
wait_for 5 test -d "/proc/$repl/task"
sleep 0.2
rm "$TMP/repl"
cp /bin/true "$TMP/repl"
stax record -l 0.6 --pid "$repl" 2>/dev/null
kill -KILL "$repl"
check_json "a program that was replaced while it runs keeps its names" <(stax top --json) \
    '[.data.functions[] | select(.name | test("^burn_")).self_pct] | add > 90'

# The package whose debug package would help is a fact of the run, and of an archive.
if [[ -d /var/lib/dpkg/info ]]; then
    owner=$(grep -lE "^(/usr)?/lib/[^/]*/libc\\.so\\.6$" /var/lib/dpkg/info/*.list | head -1)
    owner=$(basename "${owner%.list}")
    cat >"$dir/libc.c" <<'C'
#include <stdlib.h>
#include <time.h>
static int order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(void)
{
    static int numbers[100000];
    time_t end = time(NULL) + 2;
    while (time(NULL) < end) {
        for (int i = 0; i < 100000; i++) numbers[i] = rand();
        qsort(numbers, 100000, sizeof(int), order);
    }
    return 0;
}
C
    restart
    gcc -O2 -g -o "$dir/libc" "$dir/libc.c" && STAX_DEBUG_DIRS=$TMP/nothing stax record -- "$dir/libc" >/dev/null 2>&1
    check_json "the package of a file is known" <(stax sql --json "SELECT package FROM binary WHERE name = 'libc.so.6' OR name LIKE 'libc-%'") \
        '.data.rows == [[$p]]' --arg p "${owner%%:*}"
    check_json "... and diagnose names its debug package" <(stax diagnose symbols --json) \
        '[.data.binaries[] | select(.binary | test("libc")) | .help | test("package " + $p + "-dbg")] | length > 0 and all' --arg p "${owner%%:*}"
fi

# dwz moves what debug files share into one of their own: found beside them, by build id
# or by a server; what is missing is said until it comes.
if command -v dwz >/dev/null && command -v g++ >/dev/null; then
    cat >"$dir/shared.h" <<'C'
#include <cstdlib>
#include <ctime>
#include <map>
#include <string>
namespace shared
{
template <class T> struct mixer {
    T state, step;
    inline __attribute__((always_inline)) T turn(int n) { for (int i = 0; i < n; i++) state = state * 1103515245 + step; return state; }
    inline __attribute__((always_inline)) T fold(int n) { for (int i = 0; i < n; i++) state ^= state * 7 + i; return state; }
};
inline __attribute__((always_inline)) unsigned both(mixer<unsigned> &m) { return m.turn(30000) + m.fold(30000); }
} // namespace shared
C
    for name in a b; do
        cat >"$dir/dwz_$name.cpp" <<C
#include "shared.h"
std::map<std::string, int> counts_$name;
int main(int, char **v)
{
    clock_t end = (clock_t)(CLOCKS_PER_SEC * atof(v[1]));
    shared::mixer<unsigned> m{1, 12345};
    while (clock() < end) counts_${name}["$name"] += shared::both(m);
    return counts_${name}["$name"] == 12345;
}
C
    done
    # dwz_files PATH: the program a, stripped, and both debug files with PATH as that of what they share (common).
    dwz_files() {
        (cd "$dir" && for name in a b; do
            g++ -O2 -g -Wl,--build-id=sha1 -o "dwz_$name" "dwz_$name.cpp" && objcopy --only-keep-debug "dwz_$name" "$name.debug" && objcopy --strip-all "dwz_$name" || exit 1
        done && rm -f common && dwz -m common -M "$1" a.debug b.debug) || fail "dwz makes an alternate"
        a_id=$(readelf -n "$dir/dwz_a" | sed -n 's/.*Build ID: //p')
        alt_id=$(readelf -n "$dir/common" | sed -n 's/.*Build ID: //p')
        rm -rf "$TMP/dwz"
        mkdir -p "$TMP/dwz/.build-id/${a_id:0:2}" "$TMP/dwz/.build-id/${alt_id:0:2}"
        cp "$dir/a.debug" "$TMP/dwz/.build-id/${a_id:0:2}/${a_id:2}.debug"
    }
    has_inlined() {
        [[ $(stax sql --csv "SELECT count(DISTINCT name) FROM symbol JOIN symbol_sum AS t ON t.symbol = id WHERE t.n_total_samples > 0 AND
            source = 'dwarf' AND (name LIKE 'shared::%::turn(int)' OR name LIKE 'shared::%::fold(int)')" 2>/dev/null | tail -1) == 2* ]]
    }
    lacks_alternate() { # FILE [WHAT [SERVER]]
        stax diagnose symbols --json | jq -e '[.data.binaries[] | select(.binary | endswith("/dwz_a"))] | length == 1 and (.[0] |
            (.why | test("its dwz alternate " + $f + " \\(build id " + $id + "\\) " + $w + ": inlined functions have no names" + $s)) and
            (.help | test("build-id/.*DEBUGINFOD_URLS.*symbolize") or test("server.*symbolize")))' --arg f "$1" --arg id "$alt_id" --arg w "${2:-is missing}" --arg s "${3:-}" >/dev/null
    }
    lacks_nothing() {
        stax diagnose symbols --json | jq -e '[.data.binaries[] | select((.binary | endswith("/dwz_a")) and (.why | test("alternate")))] == []' >/dev/null
    }
    is_nameless() {
        stax top --json | jq -e '[.data.functions[] | select(.name == "(inlined function without a name)")] | length > 0' >/dev/null
    }
    dwz_files /nonexistent/common.dwz
    restart
    export STAX_DEBUG_DIRS=$TMP/dwz
    stax record -- "$dir/dwz_a" 1 >/dev/null 2>&1
    wait_for 20 names_are complete # the server looks again where a run ended first
    check "a dwz alternate that is nowhere: said, with what would help" lacks_alternate /nonexistent/common.dwz
    check_json "... in its note" <(stax sql --json "SELECT note FROM binary WHERE name = 'dwz_a'") \
        '.data.rows[0][0] | startswith("its dwz alternate /nonexistent/common.dwz (build id " + $id)' --arg id "$alt_id"
    check "... its functions have no names" is_nameless
    cp "$dir/b.debug" "$TMP/dwz/.build-id/${alt_id:0:2}/${alt_id:2}.debug"
    stax symbolize >/dev/null 2>&1
    check "one of another build is not taken" lacks_alternate /nonexistent/common.dwz "is of another build"
    head -c 1000 "$dir/common" >"$TMP/dwz/.build-id/${alt_id:0:2}/${alt_id:2}.debug"
    stax symbolize >/dev/null 2>&1
    check "one that is cut off is not taken" lacks_alternate /nonexistent/common.dwz "is damaged"
    before=$(stax sql --csv "SELECT count(*) FROM inlined_call" | tail -1)
    stax symbolize >/dev/null 2>&1
    check "named again without it: no call is kept twice" test "$before" = "$(stax sql --csv "SELECT count(*) FROM inlined_call" | tail -1)"
    cp "$dir/common" "$TMP/dwz/.build-id/${alt_id:0:2}/${alt_id:2}.debug"
    stax symbolize >/dev/null 2>&1
    check "it is found by build id: inlined functions have names" has_inlined
    check "... none is without" eval '! is_nameless'
    check "... nothing is missing" lacks_nothing
    check_json "... line tables have names, too" <(stax sql --json "SELECT count(DISTINCT c.function) FROM code_line AS l JOIN inlined_call AS c ON c.id = l.call
        WHERE c.function LIKE 'shared::%'") '.data.rows[0][0] >= 2'
    dwz_files common.dwz # relative, and the debug file is a link
    mkdir -p "$TMP/dwz/beside"
    mv "$TMP/dwz/.build-id/${a_id:0:2}/${a_id:2}.debug" "$TMP/dwz/beside/a.debug"
    ln -s ../../beside/a.debug "$TMP/dwz/.build-id/${a_id:0:2}/${a_id:2}.debug"
    cp "$dir/common" "$TMP/dwz/beside/common.dwz"
    stax record -- "$dir/dwz_a" 1 >/dev/null 2>&1
    wait_for 20 names_are complete # the server looks again where a run ended first
    check "an alternate beside the file that a link leads to" has_inlined
    unset STAX_DEBUG_DIRS
fi

# A debuginfod server, on loopback.
if command -v debuginfod >/dev/null; then
    strip_as libhot.full.so
    mkdir "$TMP/served"
    cp "$dir/libhot.full.so" "$TMP/served/"
    port=$((20000 + ($$ + 7919) % 20000))
    start env -u DEBUGINFOD_URLS debuginfod -p "$port" -d "$TMP/debuginfod.db" -F "$TMP/served" >"$TMP/debuginfod.log" 2>&1
    server=$last_pid
    serves() {
        curl -sf -o /dev/null "http://127.0.0.1:$port/buildid/$id/debuginfo"
    }
    wait_for 20 serves || fail "debuginfod serves" "$(tail -5 "$TMP/debuginfod.log")"
    live debuginfod debuginfod DEBUGINFOD_URLS="http://127.0.0.1:$port" DEBUGINFOD_CACHE_PATH="$TMP/cache"
    if command -v dwz >/dev/null && command -v g++ >/dev/null; then
        dwz_files /nonexistent/common.dwz
        cp "$dir/a.debug" "$dir/common" "$TMP/served/"
        serves_both() {
            curl -sf -o /dev/null "http://127.0.0.1:$port/buildid/$a_id/debuginfo" && curl -sf -o /dev/null "http://127.0.0.1:$port/buildid/$alt_id/debuginfo"
        }
        kill -USR1 "$server" # look at the files again
        wait_for 20 serves_both || fail "debuginfod serves the alternate" "$(tail -5 "$TMP/debuginfod.log")"
        restart
        start env DEBUGINFOD_URLS="http://127.0.0.1:$port" DEBUGINFOD_CACHE_PATH="$TMP/cache_dwz" stax record -- "$dir/dwz_a" 30 >/dev/null 2>&1
        record=$last_pid
        check "debuginfod: a dwz alternate comes while the run records" wait_for 20 has_inlined
        check "... nothing is missing then" wait_for 5 lacks_nothing
        check "... nor nameless" wait_for 5 eval '! is_nameless'
        stax stop >/dev/null
        # shellcheck disable=SC2046
        kill $(pgrep -P "$record" -x dwz_a) 2>/dev/null
        wait "$record" 2>/dev/null
        check_json "... summaries are those of the names" <(stax sql --json \
            "SELECT (SELECT sum(self_on_cpu_ns) FROM symbol_sum) = (SELECT on_cpu_ns FROM run), (SELECT count(*) FROM binary WHERE note LIKE '%dwz%')") \
            '.data.rows == [[1, 0]]'
        restart
        export DEBUGINFOD_URLS=http://127.0.0.1:1 DEBUGINFOD_CACHE_PATH=$TMP/cache_dead STAX_DEBUG_DIRS=$TMP/dwz
        stax record -- "$dir/dwz_a" 1 >/dev/null 2>&1
        stax symbolize >/dev/null 2>&1
        check "... when nobody has it, that is said, too" lacks_alternate /nonexistent/common.dwz "is missing" \
            "; debuginfod at http://127.0.0.1:1: failed: Connection refused$"
        unset DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH STAX_DEBUG_DIRS
    fi
    kill "$server"
else
    skip "debuginfod" "not installed"
fi

# A server that accepts and never answers delays nothing.
cat >"$TMP/deaf.py" <<'PY'
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(8)
print(s.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(s.accept())
PY
strip_as libhot.full.so
start "$PYTHON" "$TMP/deaf.py" >"$TMP/port"
wait_for 5 test -s "$TMP/port"
restart
DEBUGINFOD_URLS=http://127.0.0.1:$(<"$TMP/port")
export DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH=$TMP/cache2
begin=$(date +%s%N)
stax record -- "$dir/main" 2 >/dev/null 2>"$TMP/err"
took_ms=$((($(date +%s%N) - begin) / 1000000))
unset DEBUGINFOD_URLS DEBUGINFOD_CACHE_PATH
check "a deaf server does not hold up the end (${took_ms} ms)" test "$took_ms" -lt 8000
check_json "views say that names were still looked for" <(stax top --json) \
    '.warnings | map(select(test("still being looked for.*stax symbolize"))) | length == 1'
check_json "diagnose says it too" <(stax diagnose --json) '[.. | objects | select(.name? == "late_names" and .unlock == "stax symbolize")] | length >= 1'
check_json "a deaf server delays no commit" <(stax diagnose --json) '.data.ingest == null or .data.ingest.max_commit_ns < 2e9'
begin=$(date +%s%N)
stax record -- /bin/true >/dev/null 2>&1
took_ms=$((($(date +%s%N) - begin) / 1000000))
check "another run may begin at once (${took_ms} ms)" test "$took_ms" -lt 8000

# Inlined functions stand in the tree while the run records, and in what was recorded before they were known.
restart
start stax record -- "$STAX_WORKLOADS/inlines" 60 >/dev/null 2>"$TMP/err"
record=$last_pid
flame_has_inlined() {
    stax flame --json --threshold-pct 0 2>/dev/null | jq -e '.run.state == "recording" and ([.. | objects
        | select(.is_inlined? == true) | .name | select(test("middle|step|lambda"))] | length >= 3)' >/dev/null
}
top_has_inlined() {
    stax top --json --limit 100 2>/dev/null | jq -e '.run.state == "recording" and ([.data.functions[]
        | select(.is_inlined) | .name | select(test("middle|step|lambda"))] | length >= 1)' >/dev/null
}
check "flame shows inlined functions while the run records" wait_for 20 flame_has_inlined
check "top marks them" wait_for 5 top_has_inlined
check "top marks them in text" grep -q '(inlined)' <(stax top -n 50)
# One document each: the run goes on between two.
check_json "live: the tree adds up" <(stax sql --json "SELECT (SELECT sum(n_total_samples) FROM call_tree WHERE parent = 0) =
    (SELECT sum(n_self_samples) FROM call_tree), (SELECT count(*) FROM callsite WHERE node NOT IN (SELECT id FROM call_tree)),
    (SELECT n_renames > 0 FROM run)") '.data.rows == [[1, 0, 1]]'
stax stop >/dev/null
# shellcheck disable=SC2046
kill $(pgrep -P "$record" -x inlines) 2>/dev/null
wait "$record" 2>/dev/null
same_by_range() {
    jq -S '[.. | objects | select(has("children")) | [.name, .is_inlined, .self_on_cpu_ns, .total_on_cpu_ns]] | sort' <<<"$1"
}
check "the whole range has the same tree as the run" diff <(same_by_range "$(stax flame --json --threshold-pct 0)") \
    <(same_by_range "$(stax flame --json --threshold-pct 0 --from 0)")

# Lines and inlined functions of every sampled address, as eu-addr2line gives them.
restart
stax record -- "$STAX_WORKLOADS/inlines" 2 >/dev/null 2>&1
flame=$(stax flame --json --threshold-pct 0)
check_json "inlined functions stand in the tree" <(echo "$flame") \
    '[.. | objects | select(.is_inlined? == true) | .name | select(test("middle|step|lambda"))] | length >= 3'
check_json "--no-inlines folds them away" <(stax flame --json --threshold-pct 0 --no-inlines) \
    '([.. | objects | select(.is_inlined? == true)] == []) and
     ([.. | objects | select((.name? // "") | test("outer")) | .self_on_cpu_ns] | add > 0)'
check_json "--no-inlines moves no time" <(stax flame --json --threshold-pct 0 --no-inlines) \
    '.data.on_cpu_ns == $f.data.on_cpu_ns and ([.data.roots[].total_on_cpu_ns] | add) == ([$f.data.roots[].total_on_cpu_ns] | add)' \
    --argjson f "$flame"
check_json "a time range has them too" <(stax flame --json --threshold-pct 0 --from 0) \
    '[.. | objects | select(.is_inlined? == true)] | length >= 3'
stax sql --csv "SELECT printf('0x%x', f.rel_address) AS address, l.depth, l.file, l.line FROM frame_line AS l
    JOIN frame AS f ON f.id = l.frame JOIN binary AS b ON b.id = f.binary WHERE b.name = 'inlines' ORDER BY f.rel_address, l.depth" |
    tail -n +2 | tr -d '\r' >"$TMP/ours"
cut -d, -f1 "$TMP/ours" | uniq | while read -r address; do
    eu-addr2line -i -e "$STAX_WORKLOADS/inlines" "$address" | sed -E 's/ \(discriminator.*//; s/:([0-9]+):[0-9]+$/:\1/' |
        awk -v a="$address" '{n = split($0, p, ":"); f = p[1]; for (i = 2; i < n; i++) f = f ":" p[i]; print a "," NR - 1 "," f "," p[n]}'
done >"$TMP/theirs"
check "lines of every sampled address as eu-addr2line has them" diff "$TMP/ours" "$TMP/theirs"
check "... and they are some" test "$(wc -l <"$TMP/ours")" -gt 20
check_json "nothing changed by adding names" <(stax sql --json \
    "SELECT (SELECT sum(self_on_cpu_ns) FROM call_tree) = on_cpu_ns AND n_samples = (SELECT count(*) FROM sample) FROM run") \
    '.data.rows == [[1]]'

# An archive without code and source gets those of what is named now where the files are here, and no text of any other file.
stax save "$TMP/bare.stax" >/dev/null
"$PYTHON" - "$TMP/bare.stax" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for table in "code", "source_line", "frame_line":
    db.execute(f"DELETE FROM {table}")
frame, symbol = db.execute("SELECT f.id, f.symbol FROM frame AS f JOIN binary AS b ON b.id = f.binary "
    "LEFT JOIN frame_sum AS t ON t.frame = f.id WHERE b.name <> 'inlines' ORDER BY b.name <> '[kernel]', t.frame IS NULL LIMIT 1").fetchone()
db.execute("INSERT INTO frame_line VALUES (?, 0, ?, '/etc/passwd', 1)", (frame, symbol))
db.commit()
PY
check_json "symbolize adds code to an archive" <(stax symbolize --run "$TMP/bare.stax" --json) '.data.n_code > 0 and .data.n_lines > 0'
check "... and leaves nothing behind" test "$(find "$STAX_DATA_DIR" -name 'symbolize-*')" = ""
check_json "... and source" <(stax sql --run "$TMP/bare.stax" --json "SELECT count(*) FROM source_line WHERE file LIKE '%inlines.cpp'") \
    '.data.rows[0][0] > 3'
check_json "... but not of files that only the archive names" <(stax sql --run "$TMP/bare.stax" --json \
    "SELECT (SELECT count(*) FROM frame_line WHERE file = '/etc/passwd'), (SELECT count(*) FROM source_line WHERE file LIKE '%passwd%')") \
    '.data.rows == [[1, 0]]'
finish
