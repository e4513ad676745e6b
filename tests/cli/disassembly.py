"""disassembly.py BENCH_DISASM objdump|llvm-objdump FILE ARCH

Compares section .text of FILE as BENCH_DISASM prints it with what the other tool prints. Fails if
any instruction begins elsewhere or has another size, or if too many mnemonics differ: what both call by
different names is listed here.
"""
import collections
import re
import subprocess
import sys

bench, tool, path, arch = sys.argv[1:]
# The same instruction by another name, or a prefix that objdump prints in front.
SAME = {
    ("mov", "movz"), ("mov", "movn"), ("mov", "orr"), ("mov", "ins"), ("mov", "umov"), ("hint", "bti"),
    ("xchg", "nop"), ("fwait", "wait"), ("shl", "sal"), ("iret", "iretd"), ("movabs", "movabs"),
    ("notrack", "jmp"), ("repz", "ret"), ("bnd", "jmp"), ("movs", "movsb"), ("movs", "movsd"),
    ("movs", "movsq"), ("movs", "movsw"), ("stos", "stosb"), ("stos", "stosd"), ("stos", "stosq"),
    ("xlat", "xlatb"), ("pushf", "pushfq"), ("popf", "popfq"),
}
PREFIXES = {"data16", "cs", "ds", "es", "ss", "fs", "gs", "addr32", "rex.W", "repz", "repnz", "lock", "rep"}


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout


def reference():
    if tool == "objdump":
        text = run("objdump", "-d", "-w", "--section=.text", "-M", "intel", path)
        for m in re.finditer(r"^ +([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(\S*)(?: +(\S*))?", text, re.M):
            yield int(m[1], 16), len(m[2].split()), m[3], m[4] or ""
    else:
        text = run("llvm-objdump", "-d", "--section=.text", "--no-show-raw-insn", path)
        for m in re.finditer(r"^ *([0-9a-f]+):\s+(\S+)", text, re.M):
            yield int(m[1], 16), 4, m[2], ""


wanted = list(reference())
start, end = wanted[0][0], wanted[-1][0] + wanted[-1][1]
arguments = [bench, path, arch, "%x" % start, str(end - start)]
if tool == "llvm-objdump":  # no segments in an object file
    section = re.search(r"\] \.text +\S+ +\S+ +(\S+)", run("readelf", "-SW", path))
    arguments.append(str(int(section[1], 16)))
got = [line.split(" ", 3) for line in run(*arguments).splitlines()]
got = {int(g[0], 16): (int(g[1]), g[2]) for g in got}

misplaced = [(hex(a), n, name) for a, n, name, _ in wanted if got.get(a, (0,))[0] != n]
named = collections.Counter()
n_unnamed = 0
for address, n, name, after in wanted:
    mine = got.get(address, (0, ""))[1]
    if mine in ("(vector)", "(bad)"):
        n_unnamed += 1
    elif mine != name and (name, mine) not in SAME and not (name in PREFIXES):
        named[name, mine] += 1
print("misplaced:", misplaced[:10], "names:", named.most_common(10))
print(f"{len(wanted)} instructions, {len(misplaced)} misplaced, {sum(named.values())} named differently, "
      f"{n_unnamed} without a name")
# A libc for AVX-512 machines has some that capstone 4 cannot name; others must be rare.
bad = len(misplaced) + (len(got) != len(wanted)) + (sum(named.values()) > len(wanted) / 1000) + (n_unnamed > len(wanted) / 100)
sys.exit(bad != 0 or len(wanted) < 100)
