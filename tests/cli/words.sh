#!/usr/bin/env bash
# What stax says without a server: help, the manual page, schemas, errors in both forms, closed pipes.
. "$(dirname "$0")/../live/lib.sh"
export STAX_NO_AUTOSTART=1
manuals=$(cd "$(dirname "$0")/../../docs/man" && pwd)

# is NAME WANTED CMD...: the exact output, stderr after stdout.
is() {
    local name=$1 wanted=$2 got
    shift 2
    got=$("$@" 2>&1 </dev/null)
    if [[ $got == "$wanted" ]]; then
        ok "$name"
    else
        fail "$name" "$(diff <(echo "$wanted") <(echo "$got"))"
    fi
}

unreachable="stax: stax-server unreachable: nothing answers on $SOCKET
  start it with 'stax-server' or 'systemctl --user start stax-server'; 'stax record' starts it by itself"
is "no server" "$unreachable" stax top
is "no server, and none may be started" "$unreachable" stax record -- true
for command in status list wait stop top flame threads waits wakers "callers f" "callees f" "compare 1 2" "compare 1 2 --sql x" diagnose "save x.stax" "select-run 1" "sql --path" "sql x"; do
    # shellcheck disable=SC2086
    check_status "no server: stax $command ends with 3" 3 -- stax $command
done
is "the nearest command" "stax: stax has no command 'recrod'
  did you mean stax record?" stax recrod
is "the nearest option" "stax: stax top has no option --limti
  did you mean --limit?" stax top --limti 3
is "both a pid and a command" "stax: stax record takes a command or --pid, not both
  stax record -- COMMAND, or stax record --pid PID" stax record -p 1 -- true
is "usage without operands has no blank at its end" "stax: stax top does not take 'x'
  usage: stax top [OPTIONS]" stax top x
is "a duration that is none" "stax: --from wants seconds, not '2 apples'
  a number, or one with its unit: 500ms, 2s, 1.5m, 1h" stax top --from '2 apples'
is "a word for the version" "stax: stax has no command 'version'
  did you mean stax --version?" stax version
is "an error as JSON" '{"error":{"code":"usage","message":"--limit wants a whole number, not '"'x'"'","hint":""}}' \
    stax top --json --limit x
is "control bytes of arguments do not reach the terminal" "stax: stax has no command 'a\\x1b[31mb'
  'stax help' lists the commands" stax $'a\e[31mb'
check_status "a socket path that is too long" 2 'too long' -- \
    env STAX_SERVER_SOCKET="/$(printf 'x%.0s' {1..200})" stax status
check_status "--from after --to" 2 'smaller' -- stax top --from 2 --to 1
check_status "two conditions" 2 'one condition' -- stax wait --for-samples 1 --for-seconds 1
check_status "two formats" 2 'not both' -- stax sql --csv --json 'SELECT 1'
check_status "compare: one run" 2 -- stax compare 1
check_status "compare: a condition is checked before a run is asked" 2 'a unit' -- stax compare 1 2 --fail-if 'on_cpu > +10'
check_status "compare: what does not go with SQL" 2 'does not go with --sql' -- stax compare 1 2 --sql 'SELECT 1' --by rate
check_status "compare: a basis that is none" 2 '"time", "rate" or "share"' -- stax compare 1 2 --by size
check_status "a number that is no run" 2 'id of a run' -- stax select-run x
check_status "neither a run nor a file" 3 'neither' -- stax top --run nothing
check_status "no such file" 1 'nothing.stax' -- stax top --run "$TMP/nothing.stax"
check_status "no archive" 1 'passwd' -- stax top --run /etc/passwd
check_status "time limit 0" 2 'more than 0' -- stax record -l 0 -- true

check "docs/man/stax.1 is what stax help --man prints" diff <(stax help --man) "$manuals/stax.1"
if command -v groff >/dev/null; then
    check "the manual pages are good roff" test -z "$(groff -man -ww -Tutf8 "$manuals"/*.1 2>&1 >/dev/null)"
else
    skip "the manual pages are good roff" "groff is not installed"
fi
is "schema of the database without a server" "CREATE TABLE sample (" grep -o 'CREATE TABLE sample (' <(stax sql --schema)

is "stax sql .schema is --schema" "" diff <(stax sql .schema) <(stax sql --schema)
is "stax sql '.schema NAME'" "CREATE TABLE binary (" grep -x 'CREATE TABLE binary (' <(stax sql '.schema binary')
check "... shows one alone" test "$(stax sql '.schema binary' | grep -c '^CREATE')" = 1
is "stax sql .tables" "$(stax sql --schema | sed -nE 's/^CREATE (TABLE|VIEW) ([a-z_0-9]+).*/\2/p')" stax sql .tables
check_json "... as JSON" <(stax sql --json .tables) '.schema == "stax.sql-tables/1" and (.data.names | index("sample") != null)'
is "stax sql with a table that is none" "stax: there is no table or view 'nothing'
  stax sql .tables lists them" stax sql '.schema nothing'
is "stax sql with another dot" "stax: stax sql does not know '.quit'
  there are .schema [NAME] and .tables, and SQL" stax sql .quit

# Every schema is a valid one, and the documents that need no server follow theirs.
if "$PYTHON" -c 'import jsonschema' 2>/dev/null; then
    follows() {
        "$PYTHON" - "$1" "$2" <<'P'
import json, sys, jsonschema
schema, document = (json.load(open(f, encoding="utf-8")) for f in sys.argv[1:])
cls = jsonschema.validators.validator_for(schema)
cls.check_schema(schema)
cls(schema).validate(document)
P
    }
    for command in help version schema sql-schema sql-tables error; do
        case $command in
        help) stax help --json ;;
        version) stax --version --json ;;
        schema) stax schema --json ;;
        sql-schema) stax sql --schema --json ;;
        sql-tables) stax sql --json .tables ;;
        error) stax top --json 2>&1 ;;
        esac >"$TMP/document.json"
        stax schema $command >"$TMP/schema.json"
        check "stax schema $command" follows "$TMP/schema.json" "$TMP/document.json"
    done
    echo '{"schema":"stax.top/1","run":null,"data":{"sort":"self"},"quality":null,"warnings":[]}' >"$TMP/document.json"
    stax schema top >"$TMP/schema.json"
    if follows "$TMP/schema.json" "$TMP/document.json" 2>/dev/null; then
        fail "a document that lacks members is refused"
    else
        ok "a document that lacks members is refused"
    fi
else
    skip "schemas" "python3-jsonschema is not installed"
fi
for name in $(stax schema); do
    check_json "stax schema $name is JSON" <(stax schema "$name") '."$schema" == "https://json-schema.org/draft/2020-12/schema"'
done

check_status "a full disk is an error" 1 'No space left' -- bash -c 'stax --help >/dev/full'
is "a closed pipe is quiet" "0" bash -c 'stax help --man | :; echo ${PIPESTATUS[0]}'
finish
