"""seeds.py FOLDER: a small valid input of each kind for each fuzzer, in FOLDER/fuzz_NAME/, so that a run of a
few seconds begins where parsers have already let it in. Needs cc and the sources around it."""
import os, re, sqlite3, struct, subprocess, sys, tempfile

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
folder = sys.argv[1]


def seed(fuzzer, name, data):
    os.makedirs(f"{folder}/fuzz_{fuzzer}", exist_ok=True)
    with open(f"{folder}/fuzz_{fuzzer}/{name}", "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def sections_of(image):
    """The contents of the sections of a 64-bit ELF file, by name."""
    at, size, n, names = *struct.unpack_from("<Q", image, 0x28), *struct.unpack_from("<HHH", image, 0x3A)
    heads = [struct.unpack_from("<IIQQQQ", image, at + i * size) for i in range(n)]
    text = image[heads[names][4]:]
    return {text[h[0]:text.index(b"\0", h[0])].decode(): image[h[4]:h[4] + h[5]] for h in heads if h[1] not in (0, 8)}


# ---- ELF, its unwind information and its code ----

source = """
struct point { int x, y; };
static inline int square(int x) { return x * x; }
__attribute__((noinline)) int leaf(struct point *p) { return square(p->x) + square(p->y); }
__attribute__((noinline)) int deep(struct point *p, int n)
{ char room[64]; for (int i = 0; i < 64; i++) room[i] = (char)n; return n ? deep(p, n - 1) + room[n & 63] : leaf(p); }
void _start(void) { struct point p = {3, 4}; deep(&p, 5); for (;;) { } }
"""
with tempfile.TemporaryDirectory() as tmp:
    open(f"{tmp}/a.c", "w").write(source)
    cc = ["cc", f"{tmp}/a.c", "-fno-stack-protector", "-Wl,--build-id=sha1", "-Wl,-z,noseparate-code", "-nostdlib"]
    for name, options in {
            "static": ["-O1", "-static"],
            "shared": ["-O2", "-fPIC", "-shared", "-fomit-frame-pointer"],
            "object": ["-O2", "-c"],
            "debug": ["-Og", "-g1", "-static", "-fno-asynchronous-unwind-tables"],
            "stripped": ["-O2", "-fPIC", "-shared", "-s"],
            "compressed": ["-Og", "-g", "-gz", "-static"]}.items():
        out = f"{tmp}/{name}"
        subprocess.run([*cc, *options, "-o", out], check=True)
        image = read(out)
        for fuzzer in "elf_code", "names":
            seed(fuzzer, name, image)
        seed("cfi", f"image-{name}", b"\3\0" + image)
        sections = sections_of(image)
        for section, mode in {".eh_frame": b"\0", ".debug_frame": b"\1"}.items():
            if section in sections:
                seed("cfi", name + section, mode + b"\0" + sections[section])
                seed("cfi", name + section + "-open", mode + b"\1" + sections[section])
        seed("disasm", name, b"\3" + sections[".text"][:512])
        seed("disasm", name + "-att", b"\7" + sections[".text"][:512])
seed("disasm", "aarch64", b"\2" + struct.pack("<6I", 0xA9BF7BFD, 0x910003FD, 0x94000000, 0xA8C17BFD, 0xD65F03C0, 0xD503201F))
seed("cfi", "program", b"\2\0" + bytes([0x0C, 7, 8, 0x90, 1, 0x41, 0x0E, 16, 0x86, 2, 0x43, 0x0D, 6, 0x0A, 0xC6, 0x0C, 7, 8, 0x0B, 0x2E, 16]))
# Unwinding info of a jitdump: .eh_frame behind 0x1000 bytes of code at 0x1000, as V8 and as perf's tools write it, then .eh_frame_hdr.
for name, program in ("frame", bytes([0x41, 0x0E, 16, 0x86, 2, 0x43, 0x0D, 6, 0x0C, 7, 8])), ("frameless", bytes([0x44, 0x0E, 32, 0x48, 0x0E, 8])):
    cie = struct.pack("<I", 0) + bytes([1]) + b"zR\0" + bytes([1, 0x78, 16, 1, 0x1B, 0x0C, 7, 8, 0x90, 1])
    cie += b"\0" * (-len(cie) % 4)
    fde = struct.pack("<IiI", len(cie) + 8, 0x1000 - (0x2000 + len(cie) + 12), 0x1000) + b"\0" + program
    fde += b"\0" * (-len(fde) % 4)
    frame = struct.pack("<I", len(cie)) + cie + struct.pack("<I", len(fde)) + fde + b"\0" * 4
    header = bytes([1, 0x1B, 3, 0x3B]) + struct.pack("<iIii", -4 - len(frame), 1, -0x1000 - len(frame), 4 + len(cie) - len(frame))
    seed("cfi", f"jit-{name}", bytes([255, len(header)]) + frame + header)
seed("names", "kallsyms", "ffffffff81000000 T _stext\nffffffff81001000 t do_one\nffffffff81002000 T sys_read\n"
     "ffffffffc0000000 t init_module\t[ext4]\nffffffffc0001000 d data\t[ext4]\n")

# ---- records, as tests/unit/capture/records.h lays them out ----


def record(kind, misc, body):
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def other(kind, misc, ident, ts, body):
    body += b"\0" * (-len(body) % 8)
    return record(kind, misc, body + struct.pack("<IIQIIQ", 1, 1, ts, 0, 0, ident))


def sample(ident, ts, chain, tail=b"", counters=b""):
    fixed = struct.pack("<QQIIQIIQ", ident, chain[0], 1, 1, ts, 0, 0, 1000) + counters
    return record(9, 2, fixed + struct.pack("<Q", len(chain)) + struct.pack(f"<{len(chain)}Q", *chain) + tail)


user = (1 << 64) - 512  # PERF_CONTEXT_USER
registers = struct.pack("<Q17Q", 2, *([0x1000] * 6 + [0x7F0000001000, 0x7F0000001000, 0x401010] + [0x1000] * 8))
stack = struct.pack("<Q", 64) + struct.pack("<8Q", 0x7F0000001020, 0x401020, 1, 2, 0, 0x401030, 5, 6) + struct.pack("<Q", 64)
raw = struct.pack("<I", 36) + struct.pack("<HBBi16siii", 1, 0, 0, 1, b"target", 1, 120, 0)
begin = (other(3, 1 << 13, 1, 10, struct.pack("<II", 1, 1) + b"target\0\0") +
         other(10, 2, 1, 20, struct.pack("<IIQQQIIQQII", 1, 1, 0x400000, 0x10000, 0, 8, 1, 42, 0, 5, 2) + b"/usr/bin/target\0"))
seeds = {
    "samples": begin + b"".join(sample(1, 100 + i * 10, [0x401010 + i, user, 0x401020, 0x401030]) for i in range(4)),
    "tasks": begin + other(7, 0, 1, 30, struct.pack("<IIIIQ", 1, 1, 2, 1, 30)) + other(3, 0, 1, 35, struct.pack("<II", 1, 2) + b"worker\0\0") +
             sample(2, 50, [0x401040, user, 0x401050]) + other(4, 0, 1, 60, struct.pack("<IIIIQ", 1, 1, 2, 1, 60)),
    "switches": begin + other(14, 1 << 13, 1, 100, b"") + other(14, 0, 1, 300, b"") + other(14, 1 << 13 | 1 << 14, 1, 400, b"") +
                other(14, 0, 1, 500, b""),
    "loss": begin + other(2, 0, 1, 70, struct.pack("<QQ", 1, 9)) + other(13, 0, 1, 80, struct.pack("<Q", 5)) +
            other(5, 0, 1, 90, struct.pack("<QQQ", 90, 1, 1)) + other(6, 0, 1, 95, struct.pack("<QQQ", 95, 1, 1)),
    "stack": begin + sample(4, 200, [0x401010, user, 0x401020], registers + stack),
    "full": begin + sample(3, 210, [0x401010, user, 0x401020], raw + registers + stack, struct.pack("<QQQQQ", 2, 5, 3, 6, 7)) +
            sample(3, 230, [0x401010, user, 0x401020], raw + registers + stack, struct.pack("<QQQQQ", 2, 9, 3, 8, 7)),
    "waking": begin + sample(6, 220, [0x401010, user], raw) + other(14, 0, 1, 300, b""),
}
for name, data in seeds.items():
    seed("record", name, data)
    seed("record", name + "-twice", data + data[8:])

# ---- texts ----

for name in "maps", "stat", "status":
    seed("proc", name, read("/proc/self", name)[:3000])
seed("proc", "cpus", "0-3,7,9-11\n")
seed("staxd", "status", read("/proc/self/status")[:2000])
seed("staxd", "fdinfo", "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1\nPid:\t4711\nNSpid:\t4711\n")
seed("staxd", "map", "         0          0 4294967295\n")
for kind in range(8):
    for op in range(3):
        seed("staxd", f"request-{kind}-{op}", struct.pack("<IHHIIIIiiIIQII4H2Q", 0x44585453, 2, 80, 1, op, kind, 3, 1, 1, 0, 2,
                                                          1_000_000, 4096, 1, 1, 0, 0, 0, 0, 0))
for i, text in enumerate(["cycles,instructions", "page-faults:u", "r1a8,rC0FFEE", "L1-dcache-load-misses:k", "sched:sched_switch", "none"]):
    seed("counter_event", str(i), text)
for i, text in enumerate(["on_cpu > +10%", "self(parse) > +5ms or total(std::map<int, int>::at) >= 3 %", "elapsed > +1s", "share(f) > +2"]):
    seed("fail_if", str(i), text)
for i, name in enumerate(["_ZNSt6vectorIiSaIiEE9push_backERKi", "_ZN3foo3barIJidEEEvDpT_", "_ZZ4mainENKUlvE_clEv", "_ZTV1A", "_RNvC6_123foo3bar",
                          "_RINvNtC3std3mem8align_ofjEC3foo", "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "_ZGVN1a1bE.part.0"]):
    seed("names_demangle", str(i), b"\0" + name.encode())

# ---- RPC, from its own documentation, and archives ----

for i, body in enumerate(re.findall(r"'(\{\"jsonrpc\".*)'|^    (\{\"jsonrpc\".*\})$", read(root, "docs/rpc.md").decode(), re.M)):
    body = body[0] or body[1]
    seed("rpc", f"body-{i}", body)
    seed("rpc", f"request-{i}", f"POST /rpc HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer {'a' * 64}\r\n"
         f"Content-Length: {len(body)}\r\n\r\n{body}")
seed("rpc", "upgrade", "GET /ws?token=abc HTTP/1.1\r\nHost: [::1]:8080\r\nOrigin: http://[::1]:8080\r\nConnection: keep-alive, Upgrade\r\n"
     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
version, application = re.findall(r"#define SCHEMA_(?:VERSION|APPLICATION_ID) +(\w+)", read(root, "schema/db.h").decode())
with tempfile.TemporaryDirectory() as tmp:
    db = sqlite3.connect(f"{tmp}/a.stax")
    db.executescript(f"PRAGMA page_size = 512; PRAGMA user_version = {version}; "
                     f"PRAGMA application_id = {int(application, 0)}; CREATE TABLE run (id INTEGER PRIMARY KEY) STRICT;")
    db.commit()
    db.close()
    seed("archive", "small", b"\0" + read(tmp, "a.stax"))
# Changes of a good archive: none, a byte of its header, one of each of its first pages, and cut off.
seed("archive", "whole", b"\1")
for offset in (18, 24, 28, 56, 60, 68, 92):
    seed("archive", f"header-{offset}", b"\1" + offset.to_bytes(3, "big") + b"\1")
for page in range(1, 12):
    seed("archive", f"page-{page}", b"\1" + (page * 4096 + 5).to_bytes(3, "big") + b"\xff")
seed("archive", "cut", b"\1" + (0xFFFFF0).to_bytes(3, "big") + b"\0")
# stax symbolize: changes of a good archive that the fuzzer makes: none, then bytes of its pages.
seed("symbolize", "whole", b"\0\0\0\0")
for page in range(1, 12):
    seed("symbolize", f"page-{page}", (page * 4096 + 5).to_bytes(3, "big") + b"\xff")

# ---- jitdumps of both byte orders (lines, a load, a move, the end), and a perf map ----

for order, name in ("<", "little"), (">", "big"):
    def jit_record(kind, ts, body):
        return struct.pack(order + "IIQ", kind, 16 + len(body), ts) + body

    dump = struct.pack(order + "IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, 1, 1, 0)
    dump += jit_record(2, 10, struct.pack(order + "QQ", 0x1000, 2) + struct.pack(order + "QII", 0x1000, 3, 0) + b"/a/b.js\0" +
                       struct.pack(order + "QII", 0x1008, 4, 0) + b"\xff\0")
    dump += jit_record(0, 20, struct.pack(order + "IIQQQQ", 1, 1, 0x1000, 0x1000, 16, 1) + b"JS:*fib /a/b.js:3:4\0" + b"\x90" * 16)
    dump += jit_record(1, 30, struct.pack(order + "IIQQQQQ", 1, 1, 0x1000, 0x1000, 0x2000, 16, 1))
    dump += jit_record(3, 40, b"")
    seed("jit", f"dump-{name}", b"\0\xff" + dump)
    seed("jit", f"dump-{name}-pieces", b"\0\x07" + dump)
perf_map = "1000 10 JS:*fib /a/b.js:3:4\n0x2000 0x20 two words\r\n1008 8 over\nbad line\n3000 10000000 large\n"
seed("jit", "map", b"\1\xff" + perf_map.encode())
seed("jit", "map-pieces", b"\1\x07" + perf_map.encode())

# ---- a kernel's core: one segment of code and a note with a build id; its list of symbols ----

note = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))
core = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
core += struct.pack("<IIQQQQQQ", 4, 0, 64 + 2 * 56, 0, 0, len(note), len(note), 4)
core += struct.pack("<IIQQQQQQ", 1, 5, 64 + 2 * 56 + len(note), 0xffffffff81000000, 0, 64, 64, 4096) + note + b"\x90" * 64
seed("kernel_code", "core", core)
seed("kernel_code", "notes", note)
seed("kernel_code", "symbols", "ffffffff81000000 T _stext\nffffffff81000010 t work\nffffffffc0000000 t run\t[mod]\n")
print(sum(len(files) for _, _, files in os.walk(folder)), "seeds in", folder)
