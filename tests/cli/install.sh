#!/usr/bin/env bash
# The release preset, and what cmake --install puts where: programs that run, manual pages, units.
. "$(dirname "$0")/../live/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
if ! command -v cmake >/dev/null || [[ ! -f CMakePresets.json ]]; then
    skip "install" "there are no sources here"
    finish
fi
if scripts/build release >"$TMP/build.log" 2>&1; then
    ok "the release preset builds"
else
    fail "the release preset builds" "$(tail -20 "$TMP/build.log")"
    finish
fi
check "the release preset has no tests in it" test -z "$(find build-release/bin -name 'unit_*')"
DESTDIR=$TMP/root cmake --install build-release --prefix /usr >"$TMP/install.log" 2>&1 ||
    fail "cmake --install" "$(tail -20 "$TMP/install.log")"
usr=$TMP/root/usr
bin=$usr/bin
for program in "$bin/stax" "$bin/stax-server" "$usr/libexec/stax/staxd"; do
    check "${program#"$TMP/root"} runs" "$program" --help
done
check "stax is of the version it was built as" test "$("$bin/stax" --version)" = "stax $(sed -nE 's/^project\(stax VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)"
for page in docs/man/*.1; do
    check "/usr/share/man/man1/$(basename "$page")" cmp "$page" "$usr/share/man/man1/$(basename "$page")"
done
for unit in server/systemd/*; do
    check "/usr/lib/systemd/user/$(basename "$unit")" cmp "$unit" "$usr/lib/systemd/user/$(basename "$unit")"
done
program=$(sed -nE 's,^ExecStart=([^ ]+).*,\1,p' "$usr/lib/systemd/user/stax-server.service")
check "the unit starts a program that is installed" test -x "$bin/$(basename "$program")"
# The installed stax finds the installed server beside it, and stax setup its staxd.
export PATH=$bin:/usr/bin:/bin
check_status "the installed stax starts the installed stax-server" 0 -- stax record --daemon-socket "" -- true
check "... that one" test "$(readlink "/proc/$(server_pid)/exe")" = "$bin/stax-server"
if is_root; then
    check_status "stax setup finds the installed staxd" 0 'staxd' -- stax setup --destdir "$TMP/setup"
    check "... and copies it" cmp "$usr/libexec/stax/staxd" "$(find "$TMP/setup" -name staxd -type f | head -1)"
fi
finish
