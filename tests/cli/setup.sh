#!/usr/bin/env bash
# stax setup: what it installs, that it can be repeated, and what it tells systemd.
. "$(dirname "$0")/../live/lib.sh"
export STAX_NO_AUTOSTART=1
units=etc/systemd/system
export DESTDIR=$TMP/root

check_status "the first time: each step is printed" 0 '^done +.*/usr/local/libexec/staxd \(installed\)' -- stax setup
check "the program is what was built" cmp "$STAX_BIN/staxd" "$DESTDIR/usr/local/libexec/staxd"
check "modes" test "$(stat -c %a "$DESTDIR/usr/local/libexec/staxd" "$DESTDIR/$units/staxd.service" "$DESTDIR/$units/staxd.socket" | xargs)" = "755 644 644"
find "$DESTDIR" -type f -exec stat -c '%n %i %Y' {} + | sort >"$TMP/before"
check_status "the second time: nothing changes" 0 'nothing changed' -- stax setup
check "... not even the files" diff "$TMP/before" <(find "$DESTDIR" -type f -exec stat -c '%n %i %Y' {} + | sort)
check_status "every user may connect" 0 -- grep -q '^SocketMode=0666$' "$DESTDIR/$units/staxd.socket"
check_json "a group: JSON" <(stax setup --json --group developers) \
    '.schema == "stax.setup/1" and .data.n_changed == 1 and ([.data.steps[].result] == ["unchanged", "unchanged", "done", "skipped"])'
check "only the group may connect" test "$(grep -E '^Socket(Mode|Group)=' "$DESTDIR/$units/staxd.socket" | xargs)" = "SocketMode=0660 SocketGroup=developers"
echo damaged >>"$DESTDIR/usr/local/libexec/staxd"
chmod 777 "$DESTDIR/$units/staxd.service"
check_json "what was changed is put right" <(stax setup --json) '.data.n_changed == 3'
check "... and its mode" test "$(stat -c %a "$DESTDIR/$units/staxd.service")" = 644
if "$PYTHON" -c 'import jsonschema' 2>/dev/null; then
    stax setup --json >"$TMP/document.json"
    stax schema setup >"$TMP/schema.json"
    check "the document follows its schema" "$PYTHON" -c 'import json, sys, jsonschema
s, d = (json.load(open(f)) for f in sys.argv[1:])
jsonschema.validators.validator_for(s)(s).validate(d)' "$TMP/schema.json" "$TMP/document.json"
else
    skip "the document follows its schema" "python3-jsonschema is not installed"
fi
if command -v systemd-analyze >/dev/null; then
    # Units that others bring are not below this root; what is wrong with ours is said with a line number or key.
    check "systemd understands the units" test -z "$(systemd-analyze verify --root="$DESTDIR" staxd.service staxd.socket 2>&1 |
        grep -E '^/|Unknown|Failed to parse|Invalid|ignoring')"
    if systemd-analyze security --offline=true --root="$DESTDIR" staxd.service >"$TMP/security" 2>&1; then
        check "hardening: an exposure below 3" awk '/Overall exposure/ { for (i = 1; i <= NF; i++) if ($i ~ /^[0-9.]+$/) exit !($i < 3) } ' "$TMP/security"
    else
        skip "hardening" "this systemd-analyze cannot look at units offline"
    fi
else
    skip "units" "systemd-analyze is not installed"
fi
check_status "uninstall" 0 'staxd is removed' -- stax setup --uninstall
check "no file is left" test -z "$(find "$DESTDIR" -type f)"
check_status "uninstall again" 0 'not installed' -- stax setup --uninstall
check_status "a folder that cannot be" 1 'cannot make the folder' -- env DESTDIR=/dev/null/x stax setup
check_status "a relative folder" 2 'absolute' -- env DESTDIR=x stax setup
check_status "a group that would be more than a name" 2 'not the name of a group' -- stax setup --group $'a\nExecStart=/bin/sh'
check_status "--group with --uninstall" 2 -- stax setup --uninstall --group a
unset DESTDIR
if ! is_root; then
    check_status "without root: said, with the way out" 5 'sudo' -- stax setup
    finish
fi
check_status "a group that there is not" 1 'groupadd' -- stax setup --group no_such_group

# The system itself, as a mount namespace shows it: nothing of this reaches the host.
# shellcheck disable=SC2016
inside='
    mount -t tmpfs none /etc/systemd && mkdir -p /etc/systemd/system || exit 99
    mount -t tmpfs none /usr/local/libexec 2>/dev/null || { mkdir -p "$TMP/local"; mount --bind "$TMP/local" /usr/local; }
    mkdir -p /usr/local/libexec "$TMP/fake"
    mount -t tmpfs none /run || exit 99
    $SYSTEMD && mkdir -p /run/systemd/system
    printf "#!/bin/sh\necho \"\$*\" >>$TMP/calls\nexit \${STATUS:-0}\n" >"$TMP/fake/systemctl"
    chmod +x "$TMP/fake/systemctl"
    export PATH=$TMP/fake:$PATH
    : >"$TMP/calls"
    eval "$COMMANDS"'
in_namespace() {
    SYSTEMD=$1 COMMANDS=$2 TMP=$TMP unshare --mount --propagation private bash -c "$inside"
}
if in_namespace true true 2>/dev/null; then
    check_status "systemd is told" 0 'enable --now staxd.socket' -- in_namespace true 'stax setup'
    check "... to read the units, then to start" test "$(xargs <"$TMP/calls")" = \
        "daemon-reload stop staxd.socket staxd.service enable --now staxd.socket is-active --quiet staxd.socket"
    check_status "again: only that it runs" 0 'nothing changed' -- in_namespace true 'stax setup >/dev/null; : >$TMP/calls; stax setup'
    check "... nothing is restarted" test "$(xargs <"$TMP/calls")" = "enable --now staxd.socket is-active --quiet staxd.socket"
    check_status "systemctl fails: said" 1 'failed \(status 4\)' -- in_namespace true 'STATUS=4 stax setup'
    check_status "uninstall stops it first" 0 'disable --now staxd.socket' -- in_namespace true 'stax setup >/dev/null; stax setup --uninstall'
    check_status "without systemd: how to start it by hand" 0 '\-\-socket /run/staxd.sock' -- in_namespace false 'stax setup'
else
    skip "the system itself" "no mount namespace can be made here"
fi
finish
