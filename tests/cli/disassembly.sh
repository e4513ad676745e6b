#!/usr/bin/env bash
# Disassembles the code of real binaries as stax annotate does and compares it with objdump: the
# address and size of every instruction, and the mnemonic.
set -u
cd "$(dirname "$0")/../.." || exit 1
: "${STAX_BIN:=build/bin}"
bin=$(cd "$STAX_BIN" && pwd)
bench=$bin/../tests/bench/bench_disasm
tmp=$(mktemp -d /tmp/stax-disasm.XXXXXX) || exit 1
trap 'rm -rf "$tmp"' EXIT
n_failed=0
report() { # STATUS NAME DETAIL-FILE
    if [ "$1" = 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        head -c 1500 "$3" | sed 's/^/    /'
        n_failed=$((n_failed + 1))
    fi
}
compare() { # NAME ARGS...
    local name=$1
    shift
    /usr/bin/python3 tests/cli/disassembly.py "$bench" "$@" >"$tmp/out" 2>&1
    report $? "$name: $(tail -1 "$tmp/out")" "$tmp/out"
}
if [ "$(uname -m)" = x86_64 ]; then
    libc=$(ldd "$bin/stax" | awk '$1 == "libc.so.6" { print $3 }')
    compare "x86-64, the C library" objdump "$libc" x86_64
    compare "x86-64, stax itself" objdump "$bin/stax" x86_64
    compare "x86-64, the shell" objdump "$(command -v bash)" x86_64
fi
# Our own sources for aarch64: preprocessed for this machine, since no headers for the other are here.
if command -v llvm-objdump >/dev/null && clang --target=aarch64-linux-gnu -x c -c /dev/null -o "$tmp/none.o" 2>/dev/null; then
    for source in base/text.c base/map.c cli/args.c capture/unwind.c; do
        clang -E -O2 -D_GNU_SOURCE -DSTAX_VERSION='""' -I. -I"$bin/../generated" "$source" >"$tmp/a.i" 2>"$tmp/out" &&
            clang --target=aarch64-linux-gnu -O2 -w -mbranch-protection=standard -x cpp-output -c "$tmp/a.i" -o "$tmp/a.o" 2>>"$tmp/out"
        report $? "aarch64, $source is compiled" "$tmp/out"
        compare "aarch64, $source" llvm-objdump "$tmp/a.o" aarch64
    done
else
    echo "skip - aarch64: llvm-objdump, or clang for aarch64, is not installed"
fi
[ "$n_failed" = 0 ]
