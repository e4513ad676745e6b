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
        for m in re.finditer(r"^ +([0-9a-f]+):\t((?:[0-9a-f]{2} )+)[ \t]*(\S*) *(.*)", text, re.M):
            yield int(m[1], 16), len(m[2].split()), m[3], m[4]
    else:
        text = run("llvm-objdump", "-d", "--section=.text", "--no-show-raw-insn", path)
        for m in re.finditer(r"^ *([0-9a-f]+):[ \t]+(\S+)[ \t]*(.*)", text, re.M):
            yield int(m[1], 16), 4, m[2], m[3]


def number(m):
    """Numbers are written in decimal or hexadecimal, with a sign or as 2's complement of 8 to 64 bits."""
    value = int(m[0], 16) if "x" in m[0] else int(m[0])
    for bits, low in ((8, 128), (16, 65408), (32, 1 << 31), (64, 1 << 63)):
        if low <= value < 1 << bits:
            value -= 1 << bits
            break
    return str(abs(value))


def plain(operands, is_target=False):
    text = re.sub(r"\s*(?:#|//|<).*", "", operands) if arch == "x86_64" else re.sub(r"<.*?>|//.*", "", operands)
    text = re.sub(r"[\s#]", "", text.lower())
    if is_target and re.fullmatch(r"[0-9a-f]+", text):
        text = "0x" + text
    text = re.sub(r"\b(?:xmmword|ymmword|zmmword|xword|tbyte|oword|qword|dword|word|byte|fword|mmword)(?:ptr|bcst)?", "", text)
    text = re.sub(r"\b[cdefgs]s:", "", text)
    text = re.sub(r"(?<![a-z0-9])(?:0x[0-9a-f]+|\d+)\b", number, text).replace("-", "+")
    text = re.sub(r"\*1(?=[]+])|\+0(?=])", "", text)
    text = re.sub(r"\[(\d+)\]", r"\1", text)
    return re.sub(r"(^|[,\[])\+", r"\1", text)


wanted = list(reference())
start, end = wanted[0][0], wanted[-1][0] + wanted[-1][1]
arguments = [bench, path, arch, "%x" % start, str(end - start)]
if tool == "llvm-objdump":  # no segments in an object file
    section = re.search(r"\] \.text +\S+ +\S+ +(\S+)", run("readelf", "-SW", path))
    arguments.append(str(int(section[1], 16)))
got = [line.split(" ", 3) for line in run(*arguments).splitlines()]
got = {int(g[0], 16): (int(g[1]), g[2], g[3]) for g in got}

misplaced = [(hex(a), n, name) for a, n, name, _ in wanted if got.get(a, (0,))[0] != n]
named = collections.Counter()
n_unnamed = n_operands = 0
examples = []
for address, n, name, operands in wanted:
    _, mine, mine_operands = got.get(address, (0, "", ""))
    if mine in ("(vector)", "(bad)"):
        n_unnamed += 1
    elif mine != name and (name, mine) not in SAME and not (name in PREFIXES):
        named[name, mine] += 1
    elif mine == name and name not in PREFIXES | {"hint"} and plain(operands, True) != plain(mine_operands):
        n_operands += 1
        if n_operands % 97 == 1:
            examples.append((name, operands, mine_operands))
print("misplaced:", misplaced[:10], "names:", named.most_common(10), "operands:", examples[:20])
print(f"{len(wanted)} instructions, {len(misplaced)} misplaced, {sum(named.values())} named differently, {n_operands} with other operands, "
      f"{n_unnamed} without a name")
# A libc for AVX-512 machines has some that capstone 4 cannot name; others must be rare.
rare = len(wanted) / 500
bad = len(misplaced) + (len(got) != len(wanted)) + (sum(named.values()) > rare) + (n_operands > rare) + (n_unnamed > len(wanted) / 100)
sys.exit(bad != 0 or len(wanted) < 100)
