"""staxd.py SOCKET PART [ARGS]: a caller of the broker, well behaved or not.

Prints one check a line, as lib.sh does. It speaks the protocol by itself (capture/staxd/protocol.h), so
that it can say what the real client never would.
"""
import array, mmap, os, signal, socket, struct, subprocess, sys, time

path, part, args = sys.argv[1], sys.argv[2], sys.argv[3:]
failed = 0
MAGIC, VERSION, REQUEST, ANSWER = 0x44585453, 2, "=IHHIIIIiiIIQII4H2Q", "=IHHIIiIII4Q"
EVENTS, KALLSYMS = 1, 2
CPU_CLOCK, DUMMY, SWITCH_OUT, SCHED_WAKING, SCHED_SWITCH = range(1, 6)
KERNEL, CALLCHAIN, INHERIT, INHERIT_THREAD, DISABLED, ON_EXEC, SIDEBAND, SWITCH_RECORDS, COUNT_LOST, NO_KERNEL_STACKS = (
    1 << i for i in range(10))
STATUSES = """GRANTED BAD_VERSION BAD_MESSAGE BAD_FIELD BAD_BOUNDS BAD_DESCRIPTOR GONE OTHER_NAMESPACE NOT_A_THREAD
OTHER_USER NOT_DUMPABLE OTHER_USERNS HAS_CAPABILITIES NO_TRACEFS CANNOT_OPEN BUSY""".split()
PERF_CONTEXT_MAX, PERF_CONTEXT_USER = (1 << 64) - 4095, (1 << 64) - 512
CPUS = os.cpu_count()


def report(name, good, seen=""):
    global failed
    print(f"ok - {name}" if good else f"not ok - {name}\n    {seen}", flush=True)
    failed += not good


def skip(name, why):
    print(f"skip - {name}: {why}", flush=True)


class Broker:
    """One connection; .status is what the broker greeted with."""

    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # a full backlog makes connect() wait; a socket with a timeout would get EAGAIN
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10, 0))
        self.s.connect(path)
        self.s.settimeout(10)
        self.status = self.answer()[0]

    def answer(self):
        """(status, answer, fds); status "END" when the broker hung up."""
        try:
            data, anc, _, _ = self.s.recvmsg(64, socket.CMSG_SPACE(253 * 4))
        except ConnectionResetError:
            return "END", None, []
        fds = array.array("i")
        for _, _, raw in anc:
            fds.frombytes(raw[: len(raw) // 4 * 4])
        if not data:
            return "END", None, []
        fields = struct.unpack(ANSWER, data)
        return STATUSES[fields[4]], fields, list(fds)

    def send(self, message, fds=()):
        anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        return self.s.sendmsg([message], anc)

    def ask(self, message, fds=()):
        self.send(message, fds)
        return self.answer()

    def events(self, pid, pidfd=None, **fields):
        own = pidfd is None
        pidfd = os.pidfd_open(pid) if own else pidfd
        try:
            return self.ask(request(pid=pid, **fields), [pidfd])
        finally:
            if own:
                os.close(pidfd)

    def close(self):
        self.s.close()


def request(op=EVENTS, kind=CPU_CLOCK, flags=KERNEL | CALLCHAIN | INHERIT, pid=0, tid=None, cpu=0, n_cpus=CPUS,
            period=1000000, stack=0, counters=(), serial=7):
    padded = list(counters) + [0] * (4 - len(counters))
    return struct.pack(REQUEST, MAGIC, VERSION, struct.calcsize(REQUEST), serial, op, kind, flags, pid,
                       pid if tid is None else tid, cpu, n_cpus, period, stack, len(counters), *padded, 0, 0)


class Ring:
    """The ring of one event, and the samples in it as (pid, tid, chain, raw)."""

    def __init__(self, fd):
        self.fd, self.size, page = fd, 64 * mmap.PAGESIZE, mmap.PAGESIZE
        self.map = mmap.mmap(fd, page + self.size)

    def samples(self, has_raw=False):
        page = mmap.PAGESIZE
        head, = struct.unpack_from("Q", self.map, 1024)
        data, at, out = self.map[page:page + self.size], 0, []
        if head > self.size:
            head = self.size  # these tests are short: what overran is of no interest
        while at + 8 <= head:
            kind, _, size = struct.unpack_from("IHH", data, at)
            if size < 8 or at + size > head:
                break
            if kind == 9:
                body = data[at + 8:at + size]
                _, _, pid, tid = struct.unpack_from("QQii", body)
                n, = struct.unpack_from("Q", body, 48)  # after identifier ip pid,tid time cpu,res period
                chain = struct.unpack_from(f"{n}Q", body, 56)
                raw = b""
                if has_raw:
                    length, = struct.unpack_from("I", body, 56 + 8 * n)
                    raw = body[60 + 8 * n:60 + 8 * n + length]
                out.append((pid, tid, chain, raw))
            at += size
        return out


def rings_of(fds):
    return [Ring(fd) for fd in fds]


def collect(rings, has_raw=False):
    return [s for r in rings for s in r.samples(has_raw)]


def is_kernel(chain):
    return any((1 << 63) <= a < PERF_CONTEXT_MAX for a in chain)


def is_user(chain):
    return any(a < (1 << 63) for a in chain)


def child(code, *argv, **kw):
    p = subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stdin=subprocess.PIPE, **kw)
    p.stdout.readline()
    return p


def end(p):
    p.kill()
    p.wait()
    p.stdout.close()
    if p.stdin:
        p.stdin.close()


BUSY = "import os; print(flush=True); f = os.open('/dev/zero', 0)\nwhile True: os.read(f, 1 << 20)"
NAPS = "import time; print(flush=True)\nwhile True: time.sleep(0.002)"
READS = "import os, sys; print(flush=True); f = os.open(sys.argv[1], 0)\nwhile True: os.read(f, 1)"
WRITES = "import os, sys, time; print(flush=True); f = os.open(sys.argv[1], os.O_RDWR)\nwhile True: time.sleep(0.005); os.write(f, b'x')"
HIDES = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print(flush=True); time.sleep(60)"


def abilities():
    b, p = Broker(), child(BUSY)
    status, answer, fds = b.events(p.pid)
    report("kernel stacks: granted", status == "GRANTED" and len(fds) == CPUS, (status, answer))
    rings = rings_of(fds)
    time.sleep(0.3)
    seen = collect(rings)
    report("kernel stacks: there", any(is_kernel(s[2]) for s in seen), seen[:3])
    report("only the own process is seen", {s[0] for s in seen} == {p.pid}, {s[0] for s in seen})
    status, answer, fds = b.events(p.pid, stack=8192, counters=(26, 29))
    report("stack copies and a group of counters", status == "GRANTED" and len(fds) == 3 * CPUS, (status, answer))
    status, _, fds = b.events(p.pid, kind=DUMMY, flags=SIDEBAND | SWITCH_RECORDS, period=0)
    report("switch records", status == "GRANTED" and len(fds) == CPUS, status)
    end(p)

    p = child(NAPS)
    status, answer, fds = b.events(p.pid, kind=SWITCH_OUT, period=1)
    rings = rings_of(fds)
    time.sleep(0.2)
    seen = collect(rings)
    report("stacks at the switch", status == "GRANTED" and len(seen) > 10 and all(is_kernel(s[2]) for s in seen),
           (status, answer, len(seen)))
    report("... user side too", any(is_user(s[2]) for s in seen), seen[:2])
    end(p)

    status, _, fds = b.ask(request(op=KALLSYMS, kind=0, flags=0, tid=0, n_cpus=0, period=0))
    with open("/proc/sys/kernel/kptr_restrict", encoding="ascii") as f:
        restrict = int(f.read())
    # the whole file is over 10 MB: the first symbols are enough
    first = os.read(fds[0], 65536).decode("latin1").splitlines()[:-1]
    has_addresses = any(int(line.split()[0], 16) for line in first)
    if restrict < 2:
        report("kallsyms with addresses", status == "GRANTED" and has_addresses, first[:3])
    else:
        skip("kallsyms with addresses", "kptr_restrict is 2")
    b.close()


def no_tracefs():
    status = Broker().events(os.getpid(), kind=SCHED_WAKING, period=1)[0]
    report("without tracefs: no tracepoints", status == "NO_TRACEFS", status)


def woken(sample):
    """The task that a record of sched_waking names: common fields (8 bytes), comm[16], pid."""
    return struct.unpack_from("i", sample[3], 24)[0]


def wakeups():
    """ARGS: a fifo that another user's process writes to, and that process."""
    fifo, waker = args[0], int(args[1])
    b, p = Broker(), child(READS, fifo)
    status, answer, fds = b.events(p.pid, kind=SCHED_WAKING, period=1)
    rings = rings_of(fds)
    time.sleep(0.4)
    seen = collect(rings, has_raw=True)
    report("woken by another user's process: counted", sum(struct.unpack("Q", os.read(fd, 8))[0] for fd in fds) > 10)
    # Kernels differ in whether such a waking is sampled; the user side of the waker must never be there.
    foreign = [s for s in seen if s[0] != p.pid]
    report("... without the user side of its stack", not any(is_user(s[2]) for s in foreign), foreign[:2])
    report("... and without wakings of others by it", {woken(s) for s in foreign} <= {p.pid}, {woken(s) for s in foreign})
    end(p)

    own = os.path.join(os.environ["TMPDIR"], f"fifo-{os.getpid()}")
    os.mkfifo(own)
    p, writer = child(READS, own), child(WRITES, own)
    status, answer, fds = b.events(writer.pid, kind=SCHED_WAKING, period=1)
    report("sched_waking of the own process", status == "GRANTED" and len(fds) == CPUS, (status, answer))
    rings = rings_of(fds)
    time.sleep(0.4)
    seen = [s for s in collect(rings, has_raw=True) if woken(s) == p.pid]
    report("whom it wakes, with its whole stack", len(seen) > 10 and all(is_kernel(s[2]) and is_user(s[2]) for s in seen),
           (len(seen), seen[:2]))
    for kind in (SCHED_WAKING, SCHED_SWITCH):
        status, _, _ = b.events(p.pid, kind=kind, period=1, stack=8192)
        report(f"no stack copies with tracepoints ({kind})", status == "BAD_BOUNDS", status)
    status, _, _ = b.events(p.pid, kind=SCHED_SWITCH, period=1)
    report("sched_switch of the own process", status == "GRANTED", status)
    end(p)
    end(writer)
    os.unlink(own)
    b.close()


def refusals():
    """ARGS: a setuid, a setgid and an ordinary copy of sleep; a process with capabilities (0: none)."""
    setuid, setgid, ordinary, capable = args[0], args[1], args[2], int(args[3])
    b, me = Broker(), os.getpid()

    def refused(name, want, got):
        report(name, got[0] == want and not got[2], got)

    refused("another user's process", "OTHER_USER", b.events(1))
    p = child(HIDES)
    refused("a process that hides itself", "NOT_DUMPABLE", b.events(p.pid))
    end(p)
    for name, file, want in (("setuid", setuid, "OTHER_USER"), ("setgid", setgid, "OTHER_USER"),
                             ("ordinary", ordinary, "GRANTED")):
        with subprocess.Popen([file, "60"]) as sleeper:
            time.sleep(0.05)
            got = b.events(sleeper.pid)
            report(f"{name} program: {want}", got[0] == want, got)
            subprocess.run(["/bin/kill", "-KILL", str(sleeper.pid)], check=False, stderr=subprocess.DEVNULL)
            sleeper.kill()
    if capable:
        refused("a process with capabilities", "HAS_CAPABILITIES", b.events(capable))
    p = subprocess.Popen(["unshare", "-U", "sleep", "60"], stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    if p.poll() is None:
        refused("a process in a user namespace", "OTHER_USERNS", b.events(p.pid))
    else:
        skip("a process in a user namespace", "unshare -U is forbidden")
    p.kill()
    p.wait()

    refused("a thread of another process", "NOT_A_THREAD", b.events(me, tid=1))
    refused("every task (tid -1)", "BAD_BOUNDS", b.events(me, tid=-1))
    refused("tid 0", "BAD_BOUNDS", b.events(me, tid=0))
    refused("a pid that is not the pidfd's", "OTHER_NAMESPACE", b.ask(request(pid=1), [os.pidfd_open(me)]))
    refused("no descriptor", "BAD_DESCRIPTOR", b.ask(request(pid=me)))
    pidfd = os.pidfd_open(me)
    refused("two descriptors", "BAD_DESCRIPTOR", b.ask(request(pid=me), [pidfd, pidfd]))
    refused("a hundred descriptors", "BAD_DESCRIPTOR", b.ask(request(pid=me), [pidfd] * 100))
    for name, fd in (("a pipe", os.pipe()[0]), ("a folder of /proc", os.open("/proc/self", os.O_RDONLY)),
                     ("a socket", socket.socket().detach())):
        refused(f"{name} for a pidfd", "BAD_DESCRIPTOR", b.events(me, pidfd=fd))
        os.close(fd)
    refused("a kind that there is not", "BAD_FIELD", b.events(me, kind=6))
    refused("an unknown flag", "BAD_FIELD", b.events(me, flags=1 << 10))
    refused("254 CPUs", "BAD_BOUNDS", b.events(me, n_cpus=254))
    refused("a period of 1 ns", "BAD_BOUNDS", b.events(me, period=1))
    refused("a thousandth counter", "BAD_FIELD", b.events(me, counters=(1000,)))
    got = b.events(me, n_cpus=253)
    report("CPUs that cannot be", got[0] in ("CANNOT_OPEN", "GRANTED") and len(got[2]) <= CPUS, got)
    report("the connection outlives all of that", b.events(me)[0] == "GRANTED")
    b.close()


def becomes_privileged():
    """ARGS: an ordinary and a setuid copy of dd: what is opened before an exec must not see what comes after."""
    for name, file, is_seen in (("ordinary", args[0], True), ("setuid", args[1], False)):
        code = "import os, sys; print(flush=True); sys.stdin.readline(); os.execv(sys.argv[1], ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=1M', 'count=200000', 'status=none'])"
        b, p = Broker(), child(code, file)
        status, _, fds = b.events(p.pid, flags=KERNEL | INHERIT)
        p.stdin.write(b"\n")
        p.stdin.flush()
        time.sleep(0.3)
        before = sum(struct.unpack("Q", os.read(fd, 8))[0] for fd in fds)
        time.sleep(0.3)
        grown = sum(struct.unpack("Q", os.read(fd, 8))[0] for fd in fds) - before
        report(f"{name} exec after the grant: counting {'goes on' if is_seen else 'ends'}",
               status == "GRANTED" and (grown > 50e6) == is_seen, (status, grown))
        status, _, _ = b.events(p.pid)
        report(f"... and asking again is {'granted' if is_seen else 'refused'}", (status == "GRANTED") == is_seen, status)
        os.system(f"kill -KILL {p.pid} 2>/dev/null")
        end(p) if is_seen else None
        b.close()


def reuse():
    """Tells the pid of a dead child on stdout and waits until that pid lives again."""
    p = child(NAPS)
    pidfd = os.pidfd_open(p.pid)
    end(p)
    print(p.pid, file=sys.stderr, flush=True)
    pid = int(sys.stdin.readline())
    b = Broker()
    if pid != p.pid:
        skip("a pid that is reused", "this host does not give out a pid of choice")
        return
    got = b.events(pid, pidfd=pidfd)
    report("a pid that is reused: the old pidfd", got[0] == "GONE", got)
    report("a pid that is reused: the new one", b.events(pid)[0] == "GRANTED")


def namespace():
    b = Broker()
    got = b.events(os.getpid())
    report("a caller in another pid namespace", got[0] == "OTHER_NAMESPACE", got)


def messages():
    pid, pidfd = os.getpid(), os.pidfd_open(os.getpid())
    good, bad = request(pid=pid), []
    for n in list(range(1, 200)) + [65536]:
        b = Broker()
        message = (good + bytes(70000))[:n]
        got = b.ask(message, [pidfd])
        ended = b.answer()[0] if got[0] != "GRANTED" else ""
        if n != len(good) and (got[0] != "BAD_MESSAGE" or got[2] or ended != "END"):
            bad.append((n, got, ended))
        for fd in got[2]:
            os.close(fd)
        b.close()
    report("truncated and oversized requests", not bad, bad[:3])
    b = Broker()
    got = b.ask(struct.pack("=IHH", MAGIC, 3, 96) + bytes(88), [pidfd])
    report("another version is told ours", got[0] == "BAD_VERSION" and got[1][1] == VERSION, got)
    b = Broker()
    first = b.ask(good, [pidfd])
    again = [b.ask(good, [pidfd]) for _ in range(50)]
    report("a repeated request is one more request", all(a[0] == "GRANTED" and len(a[2]) == CPUS for a in [first] + again))
    for _, _, fds in again:
        for fd in fds:
            os.close(fd)
    b.send(b"")
    report("an empty message ends it", b.answer()[0] == "END")


def crowd():
    """Ten thousand connections, most of them at the same time as many others; prints how the admitted fare."""
    admitted, busy, other, keep = [], 0, 0, []
    for i in range(10000):
        b = Broker()
        if b.status == "GRANTED":
            admitted.append(b)
        elif b.status == "BUSY":
            busy += 1
            keep.append(b)
        else:
            other += 1
        if len(keep) >= 500:
            for k in keep:
                k.close()
            keep = []
    report("ten thousand connections: a few are admitted", len(admitted) <= 8 and other == 0, (len(admitted), busy, other))
    report("... and those are served", admitted[-1].events(os.getpid())[0] == "GRANTED")


def hold():
    """Takes all connections of this user and reads no answer, until the input ends. One line when it begins."""
    pid, pidfd, held = os.getpid(), os.pidfd_open(os.getpid()), []
    while True:
        b = Broker()
        if b.status == "BUSY":
            break
        b.send(request(pid=pid, kind=DUMMY, flags=0, period=0), [pidfd])
        b.s.setblocking(False)
        try:
            for _ in range(10000):  # more requests than answers that were read
                b.send(request(pid=pid, kind=DUMMY, flags=0, period=0), [pidfd])
        except OSError:
            pass
        b.s.shutdown(socket.SHUT_WR)
        held.append(b)
    print("holding", len(held), file=sys.stderr, flush=True)
    sys.stdin.readline()


def slow():
    """A socket that takes 5 s to close, and what keeps it so."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    s = socket.socket()
    s.connect(listener.getsockname())
    s.setblocking(False)
    try:
        while True:
            s.send(bytes(1 << 20))
    except BlockingIOError:
        pass
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    return s, listener, listener.accept()[0]


def linger():
    """Connections with descriptors that are slow to close: sockets with unsent data and SO_LINGER."""
    pid, pidfd, keep, n_stuck = os.getpid(), os.pidfd_open(os.getpid()), [], 0
    while True:
        b = Broker()
        if b.status == "BUSY":
            break
        s, *rest = slow()
        keep += rest
        # While an answer with descriptors is unread the broker reads no further: what is sent now is closed by it,
        # and by then it holds the last reference.
        b.send(request(pid=pid, kind=DUMMY, flags=0, period=0), [pidfd])
        time.sleep(0.05)
        b.send(bytes(80), [s.fileno()])
        s.close()
        b.close()
        time.sleep(0.1)
        n_stuck += 1
        if n_stuck > 20:
            break
    print("stuck", n_stuck, file=sys.stderr, flush=True)
    sys.stdin.readline()


def ambush():
    """The same by connections that wait to be accepted, many more than are admitted."""
    keep, n_sent = [], 0
    for _ in range(60):
        c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        c.connect(path)
        s, *rest = slow()
        keep += [c, *rest]
        try:
            c.sendmsg([bytes(80)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
            n_sent += 1
        except PermissionError:  # Linux 6.16: descriptors are for those who are admitted
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    print("sent", n_sent, file=sys.stderr, flush=True)
    sys.stdin.readline()


def served():
    """ARGS: seconds. As another user: answered within that time."""
    begin = time.monotonic()
    try:
        status = Broker().events(os.getpid(), kind=DUMMY, flags=0, period=0)[0]
    except OSError as e:
        status = e
    took = time.monotonic() - begin
    report(f"{args[1]}: another user is served", status == "GRANTED" and took < float(args[0]), f"{status} after {took:.2f} s")


signal.signal(signal.SIGPIPE, signal.SIG_IGN)
globals()[part]()
sys.exit(failed > 0)
