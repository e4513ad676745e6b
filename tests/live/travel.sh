#!/usr/bin/env bash
# An archive on a machine that has neither the program nor its sources nor debug information prints what
# the first machine printed: they are really removed.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
mkdir -p "$TMP/build/src" "$TMP/elsewhere"
cp "$here/../workloads/inlines.cpp" "$TMP/build/src/"
(cd "$TMP/build" && g++ -O2 -g -o inlines src/inlines.cpp) || exit 1

# show NAME RUN: everything that is compared, without what says which file or server answered.
commands=("annotate outer" "annotate outer --all" "annotate outer --source" "annotate outer --cfg" "annotate main" "annotate main --all"
    "annotate main --source" "annotate --list" "top -n 0" "top --sort total -n 0" "flame" "flame --no-inlines")
show() {
    local i command
    mkdir -p "$1"
    for i in "${!commands[@]}"; do
        read -ra command <<<"${commands[i]}"
        stax "${command[@]}" --run "$2" 2>&1 | sed '1s/^run [^ ]*//' >"$1/$i.txt"
        stax "${command[@]}" --run "$2" --json 2>/dev/null | jq -S .data >"$1/$i.json"
    done
}
same() { # NAME FOLDER FOLDER
    local i form
    for i in "${!commands[@]}"; do
        for form in txt json; do
            check "$1: ${commands[i]} ($form)" diff "$2/$i.$form" "$3/$i.$form"
        done
    done
}

has_lines() {
    stax annotate outer --json 2>/dev/null | jq -e '.data.instructions[0].line' >/dev/null
}
server_start
start "$TMP/build/inlines" 60
target=$last_pid
start stax record --pid "$target" >/dev/null 2>&1
record=$last_pid
wait_for 20 has_samples 300
check "lines of every instruction come while it records" wait_for 20 has_lines
stax annotate outer --json | jq -S '[.data.lines[] | {file, line, text}] | sort' >"$TMP/live.json"
stax save "$TMP/live.stax" >/dev/null
stax stop >/dev/null
wait_for 5 gone "$record"
kill -KILL "$target"
stax annotate outer --json | jq -S '[.data.lines[] | {file, line, text}] | sort' >"$TMP/stopped.json"
stax annotate outer --run "$TMP/live.stax" --json | jq -S '[.data.lines[] | {file, line, text}] | sort' >"$TMP/saved.json"
check "the run has the same lines when it has stopped" diff "$TMP/live.json" "$TMP/stopped.json"
check "... and an archive of the run that recorded" diff "$TMP/live.json" "$TMP/saved.json"
check_json "lines are those of the whole function" "$TMP/live.json" 'length > 8 and all(.[]; .text != null)'
stax record -- "$TMP/build/inlines" 3 >/dev/null 2>&1
stax save "$TMP/elsewhere/a.stax" --json >"$TMP/save.json"
stax save "$TMP/elsewhere/bare.stax" --no-source --json >"$TMP/bare.json"
stax open "$TMP/elsewhere/a.stax" >/dev/null
show "$TMP/first" 2
check_json "callers without samples of their own have code and lines" "$TMP/first/5.json" \
    '.code_from == "run" and ([.instructions[] | .line // empty] | length) > 5'
check_json "every instruction of main can be placed" "$TMP/first/5.json" '.instructions[0] | has("line")'
check_json "source text of lines without samples" "$TMP/first/5.json" \
    '[.lines[] | select(.n_samples == 0 and (.file | endswith("inlines.cpp"))) | .text] | length > 3 and all'
check "inlined calls are told" grep -q 'Ring::step' "$TMP/first/1.txt"
check_json "save says what it took" "$TMP/save.json" '.data.n_source_lines > 20 and .data.source_bytes > 200 and .data.n_functions >= 2'
check_json "... and without source" "$TMP/bare.json" '.data.n_source_lines == 0 and .data.source_bytes == 0'

# Another machine: no server, no file.
pid=$(server_pid)
kill -TERM "$pid"
wait_for 5 gone "$pid"
rm -rf "$TMP/build" "$STAX_DATA_DIR" "${TMP:?}/.cache"
mkdir "$TMP/there"
mv "$TMP/elsewhere/a.stax" "$TMP/there/b.stax"
check "the program and its source are gone" test ! -e "$TMP/build"
show "$TMP/second" "$TMP/there/b.stax"
same "archive" "$TMP/first" "$TMP/second"
stax annotate outer --all --run "$TMP/elsewhere/bare.stax" >"$TMP/bare.txt"
check "--no-source keeps line numbers" grep -Eq 'inlines\.cpp:[0-9]+' "$TMP/bare.txt"
check_status "... and has no text" 1 '' -- grep -q 'state ^=' "$TMP/bare.txt"
check_json "... of any line" <(stax annotate outer --run "$TMP/elsewhere/bare.stax" --json) 'all(.data.lines[]; .text == null)'
finish
