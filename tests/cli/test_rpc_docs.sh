#!/usr/bin/env bash
# Runs every curl example of docs/rpc.md against a server that records a small program, and checks
# that the document is what the method table says. Each must answer with the schema the document names.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${STAX_BIN:=build/bin}"
server=$(cd "$STAX_BIN" && pwd)/stax-server
tmp=$(mktemp -d /tmp/stax-docs.XXXXXX) || exit 1
export STAX_SERVER_SOCKET=$tmp/s.sock STAX_DATA_DIR=$tmp/data STAX_SERVER_WS_BIND=off
pids=()
n_failed=0
cleanup() {
    kill "${pids[@]}" 2>/dev/null
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$tmp"
}
trap cleanup EXIT

report() { # STATUS NAME DETAIL-FILE
    if [ "$1" = 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        head -c 600 "$3" | sed 's/^/    /'
        n_failed=$((n_failed + 1))
    fi
}

"$server" --print-rpc-docs >"$tmp/rpc.md"
diff -u docs/rpc.md "$tmp/rpc.md" >"$tmp/diff"
report $? "docs/rpc.md is current" "$tmp/diff"

# The target needs a function called main that shows up in stacks.
cat >"$tmp/spin.c" <<'C'
#include <time.h>
static volatile unsigned long n;
__attribute__((noinline)) static void work(void) { for (int i = 0; i < 100000; i++) n += (unsigned)i; }
int main(void) { for (time_t end = time(0) + 60; time(0) < end; ) work(); return 0; }
C
cc -O0 -o "$tmp/spin" "$tmp/spin.c" || exit 1
"$tmp/spin" &
target=$!
pids+=("$target")
"$server" 2>"$tmp/log" &
pids+=("$!")
for _ in $(seq 100); do [ -S "$STAX_SERVER_SOCKET" ] && break; sleep 0.05; done

# One file per example, in an order that works: what needs the active run before stop_active.
awk -v dir="$tmp" '
    /^### / { method = $2 }
    /^Answers `/ { split($0, part, "`"); schema[method] = part[2] }
    /^```sh$/ { inside = 1; n++; next }
    /^```$/ { inside = 0; print n, method, schema[method] > (dir "/list") }
    inside { print > (dir "/example-" n) }
' docs/rpc.md
ended=" stop_active save_current open_saved select_run remove_run "
while read -r n method schema; do
    late=0
    case "$ended" in *" $method "*) late=1 ;; esac
    echo "$late $n $method $schema"
done <"$tmp/list" | sort -n -k1,1 -k2,2 >"$tmp/order"

run_example() {
    sed "s/\"pid\": 1234/\"pid\": $target/" "$tmp/example-$1" >"$tmp/example.sh"
    timeout 30 sh "$tmp/example.sh" >"$tmp/answer" 2>&1
    if [ "$2" = start_attach ] && grep -q '"code":"not_permitted"' "$tmp/answer"; then
        echo "skip - examples: recording is not permitted here"
        exit 77
    fi
    grep -q "^{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"schema\":\"$3\"" "$tmp/answer"
    report $? "example of $2" "$tmp/answer"
}
while read -r _ n method schema; do
    run_example "$n" "$method" "$schema"
done <"$tmp/order"
[ "$(wc -l <"$tmp/order")" -ge 19 ]
report $? "every method has its example" "$tmp/order"
rm -f /tmp/stax-rpc-example.stax
[ "$n_failed" = 0 ]
