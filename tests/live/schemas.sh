#!/usr/bin/env bash
# Every command's --json output, live and stopped, against the JSON Schema that `stax schema` prints.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_perf
if ! "$PYTHON" -c 'import jsonschema' 2>/dev/null; then
    skip "JSON schemas" "python3-jsonschema is not installed"
    finish
fi
# One process for all: it takes as long to start as for ten documents.
coproc validator {
    "$PYTHON" -uc '
import json, sys
import jsonschema
for line in sys.stdin:
    schema, document = (json.load(open(f, encoding="utf-8")) for f in line.split())
    cls = jsonschema.validators.validator_for(schema)
    cls.check_schema(schema)
    errors = sorted(cls(schema).iter_errors(document), key=str)[:5]
    print(len(errors))
    for e in errors:
        print("/".join(map(str, e.absolute_path)), json.dumps(e.message[:300]))
'
}
# shellcheck disable=SC2154 # named by coproc
exec {to_validator}>&"${validator[1]}" {from_validator}<&"${validator[0]}"
# validate SCHEMA DOCUMENT
validate() {
    local n='' i error
    echo "$1 $2" >&"$to_validator"
    read -r n <&"$from_validator" || return 1 # it has died of what it read
    for ((i = 0; i < n; i++)); do
        read -r error <&"$from_validator"
        echo "$error"
    done
    ((n == 0))
}
# valid_as SCHEMA NAME COMMAND [ARGS...], valid NAME COMMAND [ARGS...]: the document on stdout is valid and says which schema it follows.
valid() {
    valid_as "$2" "$@"
}
valid_as() {
    local schema=$1 name=$2 command=$3
    shift 3
    if ! stax schema "$schema" >"$TMP/schema.json" 2>"$TMP/err"; then
        fail "$name: stax schema $schema" "$(cat "$TMP/err")"
        return
    fi
    if ! stax "$command" "$@" --json >"$TMP/doc.json" 2>"$TMP/err"; then
        fail "$name: stax $command $* --json" "$(cat "$TMP/err")"
        return
    fi
    check "$name: stax $command $*" validate "$TMP/schema.json" "$TMP/doc.json"
    check_json "$name: $command has the members of every document" "$TMP/doc.json" \
        '(.schema | test("^stax\\.[a-z_-]+/1$")) and has("data") and (.warnings | type == "array")'
}
server_start
valid "no run" status
valid "no run" list
stax schema diagnose-host >"$TMP/schema.json"
stax diagnose host --json >"$TMP/doc.json"
check "no run: stax diagnose host" validate "$TMP/schema.json" "$TMP/doc.json"
start "$STAX_WORKLOADS/cpu_shares" --threads 1 --duty 0.4 --seconds 90 >/dev/null
target=$last_pid
start stax record --json --counters page-faults,task-clock --pid "$target" >"$TMP/record.json" 2>/dev/null
record=$last_pid
wait_for 10 has_samples 500
for when in live stopped archive; do
    run=()
    if [[ $when == live ]]; then
        valid live wait --for-samples 10 --timeout-ms 5000
    elif [[ $when == stopped ]]; then
        valid stopped stop
        wait_for 5 gone "$record"
    else
        run=(--run "$TMP/a.stax")
    fi
    if [[ $when != archive ]]; then
        valid $when status
        valid $when list
    fi
    valid $when diagnose "${run[@]}"
    for view in top flame threads; do
        valid $when $view "${run[@]}"
        valid $when $view "${run[@]}" --from 0.1 --to 0.6 --exclude burn_gamma
    done
    for view in top flame waits; do
        if [[ $view != waits ]]; then
            valid $when $view "${run[@]}" --off-cpu
        fi
        valid $when $view "${run[@]}" --reason sleep --from 0.1
    done
    for tree in callers callees; do
        valid $when $tree "${run[@]}" burn_alpha
        valid $when $tree "${run[@]}" burn_alpha --from 0.1 --to 0.6 --exclude burn_gamma
        valid $when $tree "${run[@]}" "$(stax top --off-cpu --json 2>/dev/null | jq -r '.data.functions[0].name // "burn_alpha"')" --off-cpu
    done
    valid $when top "${run[@]}" --by page-faults
    valid $when flame "${run[@]}" --by task-clock --to 0.6
    for form in "" --source --list; do
        # shellcheck disable=SC2086
        valid $when annotate burn_alpha $form "${run[@]}"
    done
    valid $when annotate "${run[@]}"
    valid $when annotate burn_alpha "${run[@]}" --from 0.1 --syntax att
    stax schema cfg >"$TMP/schema.json"
    stax annotate burn_alpha --cfg "${run[@]}" --json >"$TMP/doc.json" 2>/dev/null
    check "$when: stax annotate --cfg" validate "$TMP/schema.json" "$TMP/doc.json"
    valid $when waits "${run[@]}" -n 5
    valid $when wakers "${run[@]}" --chain
    valid $when wakers "${run[@]}" --from 0.1 --to 0.6
    valid $when waits "${run[@]}" --reason runnable
    valid $when top "${run[@]}" --sort total --tid "$(stax threads --json | jq '.data.threads[0].tid')"
    valid $when sql "${run[@]}" 'SELECT * FROM sample LIMIT 5'
    valid_as symbols $when diagnose symbols "${run[@]}"
    valid $when top "${run[@]}" --no-inlines
    [[ $when == archive ]] || valid $when symbolize
    if [[ $when == stopped ]]; then
        valid $when save "$TMP/a.stax"
        valid $when select-run "$(stax list --json | jq '.data.runs[0].id')"
        valid $when open "$TMP/a.stax"
    fi
done
id=$(stax list --json | jq '.data.runs[-1].id')
valid "run and archive" compare "$id" "$TMP/a.stax"
valid "conditions" compare "$id" "$TMP/a.stax" --by rate --fail-if 'on_cpu > +50% or self(burn_alpha) > 100s or total(burn_alpha) < 1ms'
valid "an empty range" compare "$id" "$TMP/a.stax" --by share --from 100
stax schema record >"$TMP/schema.json"
check "record --json" validate "$TMP/schema.json" "$TMP/record.json"
check_json "an empty view is a document with a warning" <(stax top --json --from 100) '.data.functions == [] and (.warnings | length > 0)'
kill -KILL "$target"
finish
