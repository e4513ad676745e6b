#!/usr/bin/env bash
# Source files that are missing, newer than the program, not UTF-8, 1 GB large or no files at all.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
mkdir "$TMP/src"
source=$TMP/src/inlines.cpp
cp "$here/../workloads/inlines.cpp" "$source"
touch -d '2020-01-01' "$source"
(cd "$TMP/src" && g++ -O2 -g -o "$TMP/inlines" "$source") || exit 1
server_start
stax record -- "$TMP/inlines" 2 >/dev/null 2>&1
# On a busy host the run may be over before all lines were read: the server completes them.
check "names are completed after the run" wait_for 60 names_are complete

# ask NAME: the answer, in $TMP/NAME.json; what it says of our file's lines as it is now.
ask() {
    timeout 20 stax annotate outer --json >"$TMP/$1.json" 2>"$TMP/stderr"
    check "$1: annotate answers" test "$?" = 0
}
texts='[.data.lines[] | select(.file | endswith("/inlines.cpp")) | .text]'
warned() { # NAME PATTERN COUNT
    check_json "$1: warnings about $2: $3" "$TMP/$1.json" '[.warnings[] | select(test($p))] | length == $n' --arg p "$2" --argjson n "$3"
}
ask as_built
check_json "every line has its text" "$TMP/as_built.json" "$texts | length > 5 and all"
warned as_built 'inlines.cpp' 0

touch "$source"
touch -d '2021-01-01' "$TMP/inlines"
ask newer
warned newer 'inlines.cpp was changed after the code was built' 1
stax save "$TMP/newer.stax" >/dev/null
stax annotate outer --run "$TMP/newer.stax" --json >"$TMP/archive.json"
warned archive 'inlines.cpp was changed after the code was built' 1

printf 'a\xff\xfeb\033[31m\xc3\n%.0s' {1..60} >"$source"
touch -d '2020-01-01' "$source"
ask binary
check_json "bytes that are no text are written as such" "$TMP/binary.json" \
    "$texts | length > 5 and all(.[]; startswith(\"a\\\\xff\\\\xfeb\\\\x1b\"))"
warned binary 'inlines.cpp' 0
stax annotate outer --all >"$TMP/text"
check_status "no control bytes reach the output" 1 '' -- grep -q $'\033' "$TMP/text"

truncate -s 1G "$source"
touch -d '2020-01-01' "$source"
ask large
check_json "a file of 1 GB has no text" "$TMP/large.json" "$texts | length > 5 and all(.[]; . == null)"
warned large 'inlines.cpp has more than 16 MiB' 1
stax save "$TMP/large.stax" --json >"$TMP/save.json"
stax annotate outer --run "$TMP/large.stax" --json >"$TMP/archive.json"
warned archive 'inlines.cpp has more than 16 MiB' 1

for kind in missing fifo folder; do
    rm -rf "$source"
    case $kind in
    fifo) mkfifo "$source" ;;
    folder) mkdir "$source" ;;
    esac
    ask "$kind"
    check_json "$kind: lines keep their numbers and have no text" "$TMP/$kind.json" \
        "($texts | length > 5 and all(.[]; . == null)) and any(.data.instructions[]; .line > 0)"
done
finish
