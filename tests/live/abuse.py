"""abuse.py SOCKET: connections that misbehave; prints one check a line, as lib.sh does."""
import json, os, socket, struct, sys, time

path = sys.argv[1]
failed = 0


def report(name, good, seen=""):
    global failed
    print(f"ok - {name}" if good else f"not ok - {name}\n    {seen}")
    failed += not good


def connect():
    s = socket.socket(socket.AF_UNIX)
    # Connecting blocks while the backlog is full; a socket with a timeout would get EAGAIN.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 20, 0))
    s.connect(path)
    s.settimeout(20)
    return s


def request(method, params=None):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode()
    return b"POST /rpc HTTP/1.1\r\nHost: stax\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def answer(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    length = [int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")]
    while length and len(rest) < length[0]:
        piece = s.recv(65536)
        if not piece:
            break
        rest += piece
    return head + b"\r\n\r\n" + rest


def alive():
    s = connect()
    s.sendall(request("status"))
    good = b'"stax.status/1"' in answer(s)
    s.close()
    return good


s = connect()
s.sendall(request("status"))
first = answer(s)
s.sendall(request("top"))
report("keep-alive: two requests on one connection", b'"stax.top/1"' in answer(s), first[:300])
s.close()

slow = connect()
for byte in request("status")[:40]:
    slow.sendall(bytes([byte]))
    time.sleep(0.01)
report("a slow client does not hold up others", alive())
for byte in request("status")[40:]:
    slow.sendall(bytes([byte]))
report("a slow client gets its answer", b'"stax.status/1"' in answer(slow))

wide = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 5000) SELECT printf('%200d', x) FROM r"
complete = 0
for i in range(40):
    s = connect()
    s.settimeout(5)
    s.sendall(request("sql", {"query": wide}))
    if i % 4 == 0:
        time.sleep(0.05)  # a reader that starts late finds the socket full
    try:
        complete += answer(s).endswith(b"}") and 1
    except OSError:
        pass
    s.close()
report("40 answers of a megabyte arrive whole", complete == 40, f"{complete} did")

for _ in range(50):
    s = connect()
    s.sendall(request("flamegraph", {"threshold_pct": 0, "max_depth": 100}))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
report("50 clients that vanish before the answer", alive())

many = []
try:
    for _ in range(1000):
        many.append(connect())
    report("1,000 connections", True)
except OSError as e:
    report("1,000 connections", False, f"after {len(many)}: {e}")
answered = 0
for s in many[-20:]:
    try:
        s.sendall(request("status"))
        answered += b'"stax.status/1"' in answer(s)
    except OSError:
        pass
report("... of which the last 20 are answered", answered == 20, answered)
for s in many:
    s.close()

for name, bytes_ in {
    "garbage": os.urandom(4096),
    "a header without end": b"POST /rpc HTTP/1.1\r\n" + b"X: " + b"y" * 200000,
    "a negative length": b"POST /rpc HTTP/1.1\r\nHost: stax\r\nContent-Length: -5\r\n\r\n",
    "an unknown upgrade": b"GET /ws HTTP/1.1\r\nHost: stax\r\nConnection: Upgrade\r\nUpgrade: nonsense\r\n\r\n",
}.items():
    s = connect()
    try:
        s.sendall(bytes_)
        s.settimeout(1)
        s.recv(4096)
    except OSError:
        pass
    s.close()
    report(f"the server survives {name}", alive())

# A subscription pushes at most 4 times a second, and only new data.
s = connect()
s.sendall(b"GET /ws HTTP/1.1\r\nHost: stax\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
data = b""
while b"\r\n\r\n" not in data:
    piece = s.recv(4096)
    if not piece:
        break
    data += piece
report("/ws upgrades", b" 101 " in data.split(b"\r\n")[0], data[:300])
data = data.partition(b"\r\n\r\n")[2]


def frame(text):
    mask = b"\1\2\3\4"
    body = bytes(b ^ mask[i % 4] for i, b in enumerate(text))
    head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else bytes([0x81, 0xFE]) + struct.pack(">H", len(text))
    return head + mask + body


def frames(deadline):
    """Text messages until the deadline, fragments joined."""
    global data
    messages, message = [], b""
    while True:
        while len(data) >= 2:
            n, at = data[1] & 127, 2
            if n == 126 and len(data) >= 4:
                n, at = struct.unpack(">H", data[2:4])[0], 4
            elif n == 127 and len(data) >= 10:
                n, at = struct.unpack(">Q", data[2:10])[0], 10
            elif n > 125:
                break
            if len(data) < at + n:
                break
            opcode, fin = data[0] & 15, data[0] & 128
            if opcode < 3:
                message += data[at:at + n]
                if fin:
                    messages.append(message)
                    message = b""
            data = data[at + n:]
        left = deadline - time.monotonic()
        if left <= 0:
            return messages
        s.settimeout(left)
        try:
            piece = s.recv(65536)
        except socket.timeout:
            return messages
        if not piece:
            return messages
        data += piece


s.sendall(frame(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "subscribe",
                            "params": {"view": "top", "parameters": {"limit": 5}}}).encode()))
messages = [json.loads(m) for m in frames(time.monotonic() + 3)]
updates = [m for m in messages if m.get("method") == "update"]
report("subscribe is answered", any(m.get("id") == 7 and "result" in m for m in messages), str(messages)[:300])
report("updates come, at most 4 a second", 3 <= len(updates) <= 13, f"{len(updates)} in 3 s")
report("an update is a whole document", bool(updates) and updates[-1]["params"]["result"]["schema"] == "stax.top/1")
s.close()
report("the server is well at the end", alive())
sys.exit(failed > 0)
