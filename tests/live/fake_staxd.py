"""fake_staxd.py SOCKET MODE [ARGS]: something that listens where staxd should.

MODE: silent, garbage, version, hangup, mute (greets and never answers), refuse (STATUS), pipes (grants what are
no perf events), short (grants with too few descriptors), drip (SECONDS before each answer, then refuses), proxy
(UPSTREAM N: passes N requests on to a real staxd and is gone), relay (UPSTREAM SECONDS: passes all on, slowly).
Each connection and each request is a line on stdout.
"""
import array, os, socket, struct, sys, time

path, mode, args = sys.argv[1], sys.argv[2], sys.argv[3:]
MAGIC, VERSION, ANSWER = 0x44585453, 2, "=IHHIIiIII4Q"
GRANTED, OTHER_USER, FDS_MAX = 0, 9, 253
n_left = int(args[1]) if mode == "proxy" else 0


def answer(serial=0, status=GRANTED, version=VERSION, n_fds=0, n_groups=0, opened=0):
    return struct.pack(ANSWER, MAGIC, version, struct.calcsize(ANSWER), serial, status, 0, n_fds, n_groups, 0, opened, 0, 0, 0)


def receive(s, size):
    data, anc, _, _ = s.recvmsg(size, socket.CMSG_SPACE(FDS_MAX * 4))
    fds = array.array("i")
    for _, _, raw in anc:
        fds.frombytes(raw[: len(raw) // 4 * 4])
    return data, list(fds)


def send(s, data, fds=()):
    anc = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    s.sendmsg([data], anc)


def upstream():
    u = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    u.settimeout(10)
    u.connect(args[0])
    receive(u, 64)
    return u


def pass_on(u, s, data, fds):
    send(u, data, fds)
    reply, granted = receive(u, 64)
    send(s, reply, granted)
    for fd in granted:
        os.close(fd)


def serve(s, data, fds):
    """One request; False: the connection ends."""
    global n_left
    serial, = struct.unpack_from("=I", data, 8)
    n_cpus, = struct.unpack_from("=I", data, 36)
    if mode == "mute":
        time.sleep(3600)
    elif mode == "refuse":
        send(s, answer(serial, int(args[0])))
    elif mode == "drip":
        time.sleep(float(args[0]))
        send(s, answer(serial, OTHER_USER))
    elif mode == "pipes":
        ends = [fd for _ in range((n_cpus + 1) // 2) for fd in os.pipe()]
        send(s, answer(serial, n_fds=n_cpus, n_groups=n_cpus, opened=(1 << n_cpus) - 1), ends[:n_cpus])
        for fd in ends:
            os.close(fd)
    elif mode == "short":
        send(s, answer(serial, n_fds=n_cpus, n_groups=n_cpus, opened=(1 << n_cpus) - 1))
    elif mode in ("proxy", "relay"):
        if mode == "proxy":
            if n_left == 0:
                os.unlink(path)
                sys.exit(0)
            n_left -= 1
        else:
            time.sleep(float(args[1]))
        # connections of a real one are few and short: each request has its own
        u = upstream()
        pass_on(u, s, data, fds)
        u.close()
    return mode != "hangup"


if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind(path)
listener.listen(16)
while True:
    c, _ = listener.accept()
    print("connection", flush=True)
    try:
        if mode == "silent":
            time.sleep(3600)
        elif mode == "garbage":
            send(c, os.urandom(64))
        elif mode == "version":
            send(c, answer(version=VERSION + 7))
        else:
            send(c, answer())
            while True:
                message, passed = receive(c, 4096)
                if not message:
                    break
                print("request", flush=True)
                go_on = serve(c, message, passed)
                for fd in passed:
                    os.close(fd)
                if not go_on:
                    break
    except OSError as e:
        print("error", e, flush=True)
    c.close()
