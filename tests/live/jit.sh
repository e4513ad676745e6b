#!/usr/bin/env bash
# Code made at run time: names, files and lines of JavaScript while it runs; code that is replaced and
# moves against what a program measured; perf maps of other mount namespaces; files that lie.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
cd "$TMP" || exit 1

top_json() {
    stax top --json -n 1000 2>/dev/null
}
# A function whose name begins so has samples of its own.
# shellcheck disable=SC2317 # called by name
top_has() {
    top_json | jq -e --arg n "$1" 'any(.data.functions[]; (.name | startswith($n)) and .n_self_samples > 20)' >/dev/null
}
# shellcheck disable=SC2317 # called by name
flame_has() {
    stax flame 2>/dev/null | grep -q "  $1"
}
# shellcheck disable=SC2317 # called by name
is_named() {
    stax diagnose symbols --json 2>/dev/null | jq -e '[.data.binaries[] | select(.kind == "jit") | .unnamed_ns] | add // 0 | . * 20 < $all' \
        --argjson all "$(stax status --json | jq .data.active.on_cpu_ns)" >/dev/null
}
sql() {
    stax sql "$1" --csv 2>/dev/null | tail -n +2
}
# The dump's own word for where a function lay and for its lines, and objdump's for its instructions and their
# targets. Before its first line a function is where its name says.
cat >"$TMP/dumped.py" <<'P'
import json, re, struct, subprocess, sys
dump, data = open(sys.argv[1], "rb").read(), json.load(open(sys.argv[2]))["data"]
function, code = data["function"], bytes.fromhex(data["code"])
loads, lines, at, debug = {}, {}, struct.unpack_from("<I", dump, 8)[0], (0, [])
while at + 32 <= len(dump):
    kind, size = struct.unpack_from("<II", dump, at)
    if kind == 2:
        entries, (address, n), next_at, file = [], struct.unpack_from("<QQ", dump, at + 16), at + 32, ""
        for _ in range(n):
            place, line = struct.unpack_from("<QI", dump, next_at)
            end = dump.index(0, next_at + 16)
            text = dump[next_at + 16:end]
            file = file if text == b"\xff" else text.decode("latin1")
            entries.append((place - address - int(sys.argv[3], 0), file, line))
            next_at = end + 1
        debug = address, entries
    if kind == 0:
        address, n = struct.unpack_from("<QQ", dump, at + 32)
        loads[at + size - n] = address, dump[at + size - n:at + size]
        name = dump[at + 56:dump.index(0, at + 56)].decode("latin1")
        lines[at + size - n] = name, [e for e in debug[1] if 0 <= e[0] < n] if debug[0] == address else []
        debug = 0, []
    at += max(size, 16)
assert loads[function["rel_address"]] == (function["address"], code), "not as dumped"
open(sys.argv[2] + ".bin", "wb").write(code)
machine = {"x86_64": ["-m", "i386:x86-64", "-M", "intel"], "aarch64": ["-m", "aarch64"]}[data["arch"]]
listing = subprocess.run(["objdump", "-D", "-w", "-b", "binary", *machine, "--no-show-raw-insn",
                          f"--adjust-vma={function['address']:#x}", sys.argv[2] + ".bin"],
                         check=True, capture_output=True, text=True).stdout
theirs = []
for address, mnemonic, operands in re.findall(r"^ +([0-9a-f]+):\t(\S+) *(.*)$", listing, re.M):
    jumps = re.match(r"j|call|loop|b$|bl$|b\.|cbn?z|tbn?z", mnemonic)
    target = re.search(r"(?:^|, *)0x([0-9a-f]+)$", operands)
    theirs.append((int(address, 16), int(target[1], 16) if jumps and target else None))
ours = [(i["address"], i.get("target")) for i in data["instructions"]]
assert ours == theirs, next((pair for pair in zip(ours, theirs) if pair[0] != pair[1]), "one is shorter")
name, entries = lines[function["rel_address"]]
named = re.match(r"\w+:[~^+*]?.* (\S+?):(\d+)(?::\d+)?$", name)
def place_of(delta):
    before = [(e[0], i) for i, e in enumerate(entries) if e[0] <= delta]
    file, line = entries[max(before)[1]][1:] if before else (None, named and int(named[2]))
    is_text = file and file.isascii() and file.isprintable()
    return (file if is_text else named and named[1].removeprefix("file://")), line
shown, told, last = [], [], (None, None)
for i in data["instructions"]:
    last = (i.get("file"), i["line"]) if "line" in i else last
    shown.append(last)
    told.append(place_of(i["address"] - function["address"]))
assert shown == told, next((n, *pair) for n, pair in enumerate(zip(shown, told)) if pair[0] != pair[1])
n_lines = len(set(told))
assert n_lines > 1, "one line only"
n_inside = sum(t is not None and 0 <= t - function["address"] < len(code) for _, t in ours)
print(len(ours), "instructions,", n_inside, "targets inside,", n_lines, "lines")
sys.exit(n_inside == 0)
P
# is_as_dumped FUNCTION [OFFSET of addresses in debug info [OPTION...]]
# shellcheck disable=SC2317 # called by name
is_as_dumped() {
    stax annotate "$1" --json --all "${@:3}" >"$TMP/annotated.json" 2>/dev/null &&
        "$PYTHON" "$TMP/dumped.py" "$(echo "$TMP"/jit-*.dump)" "$TMP/annotated.json" "${2:-0}"
}

# ---- node ----

cat >"$TMP/hot.js" <<'J'
function hotLoop(a) {
    let s = 0;
    for (let i = 0; i < a.length; i++) s += a[i] * 3;
    return s;
}
// V8 writes its dump through a buffer of 4 KiB: new functions now and then fill it.
function makeMore(n) {
    return new Function('x', `function more${n}(y) { let s = y; for (let i = 0; i < 50; i++) s += i * ${n}; return s; }
        let s = 0; for (let i = 0; i < 3000; i++) s += more${n}(x); return s;`)(n);
}
const a = Array.from({ length: 100000 }, (_, i) => i);
const end = Date.now() + 1000 * Number(process.argv[2]);
let x = 0, n = 0, next = 0;
while (Date.now() < end) {
    x += hotLoop(a);
    if (Date.now() >= next) { x += makeMore(n++); next = Date.now() + 100; }
}
console.log(x > 0);
J
# node_live MODE KIND
node_live() {
    local mode=$1 kind=$2
    start stax record -- node "$mode" "$TMP/hot.js" 60 >/dev/null 2>"$TMP/err"
    local record=$last_pid target
    wait_for 10 is_active # till then top answers of the run before
    check "node $mode: top has the function with file and line while it runs" wait_for 25 top_has "hotLoop hot.js:1"
    check "node $mode: so has flame" wait_for 20 flame_has "hotLoop hot.js:1"
    check "node $mode: that was live" is_active
    check "node $mode: hardly any time in code without a name" wait_for 20 is_named
    [[ $kind != jitdump ]] ||
        check "node $mode: annotate has its addresses, targets and lines while it runs" wait_for 10 is_as_dumped hotLoop 0x40
    target=$(pgrep -P "$record" -x node)
    kill "$target" 2>/dev/null
    wait "$record" 2>/dev/null
    check "node $mode: the run is over" wait_for 5 is_idle
    check "node $mode: still there when it has stopped" top_has "hotLoop hot.js:1"
    # The jitdumps of node 18 begin a script's path with bytes of freed memory.
    local path="$TMP/hot.js" major
    major=$(sed -E 's/^v([0-9]+).*/\1/' "$TMP/node")
    [[ $kind != jitdump ]] || ((major >= 20)) || path="%/hot.js"
    check "node $mode: the raw name is kept, with its file and lines" test "$(sql "
        SELECT count(DISTINCT l.line) > 0 AND min(s.linkage_name) LIKE '%:_hotLoop $TMP/hot.js:1%'
        FROM symbol s JOIN frame f ON f.symbol = s.id JOIN frame_line l ON l.frame = f.id
        WHERE s.name = 'hotLoop hot.js:1' AND l.file LIKE '$path' AND s.source = '$kind'")" = 1
}
if node --version >"$TMP/node" 2>&1; then
    node_live --perf-basic-prof perf_map
    node_live --perf-prof jitdump
    check_json "lines come from debug info" <(stax annotate hotLoop --json) \
        '[.data.lines[]?.line] as $l | any($l[]; . >= 3 and . <= 4)'
    check_json "annotate shows the recorded instructions" <(stax annotate hotLoop --json) \
        '.data.code_from == "run" and (.data.instructions | length > 10) and
         ([.data.instructions[].n_samples // 0] | add) > 20'
    # perf inject puts code behind an ELF header, and V8 writes the addresses of its lines as if it had.
    check "annotate: addresses, targets and lines of a function of node as they lay in memory" is_as_dumped hotLoop 0x40
    stax save "$TMP/node.stax" >/dev/null 2>&1
    check "... and in an archive" is_as_dumped hotLoop 0x40 --run "$TMP/node.stax"
    rm -f jit-*.dump isolate-*.log
    check_json "an archive has them without the dump" <(stax annotate hotLoop --run "$TMP/node.stax" --json) \
        '.data.code_from == "run" and (.data.instructions | length > 10)'
    # In Debian's node these are in a stripped library.
    if nm "$(readlink -f "$(command -v node)")" 2>/dev/null | grep -q ' Builtins_'; then
        check_json "... and what it calls in node's own file" <(stax annotate hotLoop --run "$TMP/node.stax" --json) \
            '[.data.instructions[] | select(.flow == "call" and .target_name) | .target_name] | any(startswith("Builtins_"))'
    else
        skip "... and what it calls in node's own file" "this node has no symbols for it"
    fi
    # Without either, and the run says what would help.
    stax record -- node "$TMP/hot.js" 1 >/dev/null 2>"$TMP/err"
    check_json "a run without maps says what would name its code" <(stax diagnose symbols --json) \
        'any(.data.binaries[]; .binary == "[anon]" and (.why | startswith("JIT without a map")) and (.help | test("--perf-prof")))'
else
    skip "node" "nodejs is not installed"
fi

# ---- a program that knows the truth ----

churn=$STAX_WORKLOADS/jit_churn
# within NAME FILE: every share of the workload's functions within 3 points of what it measured.
within() {
    check_json "$1" "$2" 'def shares: (add) as $sum | map_values(100 * . / $sum);
        ($truth[0].functions | shares) as $want |
        ([.data.functions[] | select(.name | test("^(gen_a[0-9]+|mover|steady)$"))] | group_by(.name) |
            map({(.[0].name): (map(.self_on_cpu_ns) | add)}) | add | shares) as $got |
        ($want | length > 5) and all($want | to_entries[]; (.value - ($got[.key] // 0)) | fabs <= 3)' \
        --slurpfile truth "$TMP/truth.json"
}
churned() {
    local name=$1
    shift
    stax record -F 2000 -- "$churn" --seconds 5 --dir "$TMP" "$@" >"$TMP/truth.json" 2>"$TMP/err" ||
        fail "$name: record" "$(cat "$TMP/err")"
    top_json >"$TMP/top.json"
    within "$name: each piece of code that lay at one address within 3 points" "$TMP/top.json"
    check_json "$name: hardly anything is left unnamed" "$TMP/top.json" '.quality.n_unnamed * 50 < .run.n_samples'
}
churned "jitdump"
check "jitdump: code that moved is the same code" test "$(sql "SELECT count(*) FROM symbol WHERE name = 'mover'")" = 1
check "jitdump: lines from debug info" test "$(sql "SELECT count(DISTINCT l.line) FROM frame_line l JOIN symbol s
    ON s.id = l.symbol WHERE l.file = 'churn.src' AND l.line = 100 + CAST(substr(s.name, 6) AS INTEGER)")" -ge 8
check "jitdump: sums follow from the facts" test "$(sql "SELECT (SELECT sum(on_cpu_ns) FROM sample s JOIN frame f ON f.id = s.frame
    JOIN symbol y ON y.id = f.symbol WHERE y.name LIKE 'gen_a%') = (SELECT sum(self_on_cpu_ns) FROM symbol_sum t
    JOIN symbol y ON y.id = t.symbol WHERE y.name LIKE 'gen_a%') AS is_so" | tail -1)" = 1
for name in steady mover gen_a1; do
    check "jitdump: addresses, targets and lines of $name as they lay in memory" is_as_dumped "$name"
done
rm -f "$TMP"/jit-*.dump
churned "jitdump written at the end" --buffered 1 --generation-ms 1000
check "jitdump written at the end: what is a guess is said" test -n "$(sql "SELECT note FROM binary WHERE name LIKE 'jit-%'")"
churned "perf map" --perf-map 1
rm -f /tmp/perf-*.map "$TMP"/jit-*.dump

# ---- dumps that are wrong ----

# faulty NAME WHY HELP [OPTION...]: what binary.note and stax diagnose symbols say of it.
faulty() {
    local fault=$1 why=$2 help=$3
    shift 3
    stax record -F 1000 -- "$churn" --seconds 1 --generation-ms 200 --dir "$TMP" --fault "$fault" "$@" >/dev/null 2>"$TMP/err" ||
        fail "$fault: record" "$(cat "$TMP/err")"
    check "a dump with fault $fault: its note says so" test "$(sql "SELECT count(*) FROM binary
        WHERE name LIKE 'jit-%' AND note LIKE '%$why%(at byte %'")" = 1
    check_json "... and so does what has no name" <(stax diagnose symbols --json) \
        'any(.data.binaries[]; .binary == "[anon]" and (.why | startswith("its jitdump jit-") and contains($why)) and (.help | contains($help)))' \
        --arg why "$why" --arg help "$help"
    rm -f "$TMP"/jit-*.dump
}
faulty realtime "not of CLOCK_MONOTONIC" "times of CLOCK_MONOTONIC"
faulty tsc "times of the CPU" "times of CLOCK_MONOTONIC"
faulty magic "not a jitdump" "keep to the format"
faulty size "does not fit into its record" "keep to the format"
faulty record "a size that cannot be" "keep to the format"
faulty cut "ends within a record" "one that is killed"
faulty cut "ends within a record" "one that is killed" --buffered 1
# With times that are too early names come, and are a guess.
stax record -F 1000 -- "$churn" --seconds 1 --dir "$TMP" --fault early >/dev/null 2>"$TMP/err" || fail "early: record" "$(cat "$TMP/err")"
check "a dump with early times: names" test "$(sql "SELECT sum(n_self_samples) > 500 FROM symbol_sum t JOIN symbol s ON s.id = t.symbol
    WHERE s.source = 'jitdump'")" = 1
check "... and a note that they are a guess" test "$(sql "SELECT count(*) FROM binary WHERE name LIKE 'jit-%' AND note LIKE '%before its process began%'")" = 1
rm -f "$TMP"/jit-*.dump
stax record -F 1000 -- "$churn" --seconds 1 --generation-ms 300 --perf-map 1 --fault cut >/dev/null 2>"$TMP/err" || fail "cut map: record" "$(cat "$TMP/err")"
check "the last line of a perf map needs no end once its process has ended" top_has gen_a0
rm -f /tmp/perf-*.map

# ---- code without frame pointers ----

frameless() {
    stax record -F 1000 -- "$STAX_WORKLOADS/jit_frameless" --seconds 2 --dir "$TMP" "$@" >/dev/null 2>"$TMP/err" ||
        fail "record jit_frameless" "$(cat "$TMP/err")"
    stax flame --json -d 100 --threshold-pct 0 >"$TMP/frameless.json" 2>/dev/null
    rm -f "$TMP"/jit-*.dump
}
# shellcheck disable=SC2016 # jq's
whole='def under($path): if ($path | length) == 0 then [.] elif .name == $path[0] then
        [.children[]? | under($path[1:])[]] + (if ($path | length) == 1 then [.] else [] end) else [.children[]? | under($path)[]] end;
    def all_of($name): [.. | objects | select(.name? == $name and has("total_on_cpu_ns")) | .total_on_cpu_ns] | add // 0;
    ([.data.roots[] | under(["main", "jit_outer", "hop", "jit_inner", "burn"])[] | .total_on_cpu_ns] | add // 0) as $whole
    | ([.data.roots[]] | all_of("burn")) as $burn | ($burn > 500000000) and'
if [[ $(uname -m) == x86_64 ]]; then
    frameless
    check_json "unwinding info of a jitdump: stacks reach main through its code" "$TMP/frameless.json" "$whole \$whole >= 0.99 * \$burn"
    check "... and nothing of them is a guess" test "$(sql "SELECT sum(n_guessed_samples) * 100 <= sum(n_samples) FROM stack_end")" = 1
    frameless --unwinding 0
    check_json "without it they end at its code" "$TMP/frameless.json" "$whole \$whole <= 0.01 * \$burn"
    check "... and are said to be cut" test "$(sql "SELECT sum(n_samples) FILTER (WHERE cause = 'no_cfi') * 100 >= 95 * sum(n_samples) FROM stack_end")" = 1
else
    skip "code without frame pointers" "the workload is for x86-64"
fi

# ---- attached to, in namespaces of its own ----

flags=(--mount --pid --fork --kill-child)
is_root || flags+=(--user --map-root-user)
# shellcheck disable=SC2016 # for the shell inside
inside='mount -t tmpfs none /tmp && exec "$0" --seconds 60 --perf-map 1 --generation-ms 500'
if unshare "${flags[@]}" true 2>"$TMP/unshare.err"; then
    cp "$churn" "$TMP/jit_churn" # the workloads may lie in the /tmp that is hidden there
    start unshare "${flags[@]}" sh -c "$inside" "$TMP/jit_churn" >/dev/null 2>"$TMP/err"
    outer=$last_pid
    target=
    # shellcheck disable=SC2317 # called by name
    find_target() {
        target=$(pgrep -P "$outer" -x jit_churn)
        [[ $target ]]
    }
    if wait_for 10 find_target; then
        sleep 1.2
        start stax record --pid "$target" >/dev/null 2>"$TMP/err"
        record=$last_pid
        check "perf map of another mount namespace: names while it runs" wait_for 10 top_has gen_a
        check "perf map of another mount namespace: code older than the recording" wait_for 10 top_has steady
        stax stop >/dev/null
        wait "$record" 2>/dev/null
        check "perf map of another mount namespace: by the path and pid inside" test "$(sql "SELECT path FROM binary WHERE names_from = 'perf_map'")" = /tmp/perf-1.map
        kill -KILL "$target"
    else
        fail "the target in namespaces starts" "$(cat "$TMP/err")"
    fi
else
    skip "perf map of another mount namespace" "unshare: $(tail -1 "$TMP/unshare.err")"
fi

# ---- files that are not what they should be ----

# A map that another process left under this pid, and one that is no file.
start sh -c 'sleep 2; exec "$0" --seconds 3 --dir "$1"' "$churn" "$TMP" >/dev/null 2>&1
target=$last_pid
echo "1000 7fffffff0000 stale" >"/tmp/perf-$target.map"
touch -d '1 hour ago' "/tmp/perf-$target.map"
stax record --pid "$target" >/dev/null 2>"$TMP/err" || fail "attach" "$(cat "$TMP/err")"
check "a map older than its process names nothing" test "$(sql "SELECT count(*) FROM symbol WHERE name = 'stale'")" = 0
check "... and the dump still does" top_has gen_a
rm -f "/tmp/perf-$target.map"
start sh -c 'mkfifo /tmp/perf-$$.map; exec "$0" --seconds 3 --dir "$1"' "$churn" "$TMP" >/dev/null 2>&1
target=$last_pid
stax record --pid "$target" >/dev/null 2>"$TMP/err" || fail "attach" "$(cat "$TMP/err")"
check "a fifo in a map's place holds nothing up" top_has gen_a
rm -f "/tmp/perf-$target.map"
finish
