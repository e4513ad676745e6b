"""ws.py COMMAND SOCKET...: WebSockets and clients that do not read; one check a line, as lib.sh does.

    rules SOCKET HOST:PORT TOKEN   who may open /ws on TCP
    docs SOCKET RPC.MD             the examples of the document that need /ws, and unsubscribe
    greedy SOCKET                  clients that ask for much and read little
    patience SOCKET SECONDS        clients that do not read at all, of a server with that patience
"""
import base64, json, os, re, socket, struct, sys, time

command, path = sys.argv[1:3]
failed = 0


def report(name, good, seen=""):
    global failed
    print(f"ok - {name}" if good else f"not ok - {name}\n    {str(seen)[:600]}")
    failed += not good


def connect(address=path):
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    s = socket.socket(family)
    s.settimeout(20)
    s.connect(address)
    return s


def upgrade(s, target="/ws", headers=()):
    """The status of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET {target} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
             f"Sec-WebSocket-Key: {key}", *headers]
    s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(1)  # what follows belongs to the WebSocket
        if not piece:
            break
        head += piece
    return int(head.split()[1]) if head else 0


class Ws:
    def __init__(self, answers_pings=True):
        self.s = connect()
        self.answers_pings = answers_pings
        self.data, self.message = b"", b""
        self.is_open = upgrade(self.s, headers=["Host: stax"]) == 101

    def send(self, text, opcode=1):
        body = text.encode() if isinstance(text, str) else text
        size = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + struct.pack(">H", len(body))
        self.s.sendall(bytes([0x80 | opcode]) + size + b"\0\0\0\0" + body)

    def call(self, text):
        """Sends a request, returns its answer; what else arrives is dropped."""
        self.send(text)
        wanted = json.loads(text)["id"]
        end = time.monotonic() + 20
        while time.monotonic() < end:
            for m in self.messages(0.2):
                if m.get("id") == wanted:
                    return m
        return {}

    def messages(self, seconds):
        end, got = time.monotonic() + seconds, []
        while self.is_open:
            while (frame := self.take()) is not None:
                opcode, body, fin = frame
                if opcode == 9 and self.answers_pings:
                    self.send(body, 10)
                elif opcode == 8:
                    self.is_open = False
                elif opcode < 3:
                    self.message += body
                    if fin:
                        got.append(json.loads(self.message))
                        self.message = b""
            left = end - time.monotonic()
            if left <= 0:
                break
            self.s.settimeout(left)
            try:
                piece = self.s.recv(1 << 20)
            except socket.timeout:
                break
            except OSError:
                piece = b""
            if not piece:
                self.is_open = False
            self.data += piece
        return got

    def take(self):
        d = self.data
        if len(d) < 2:
            return None
        n, at = d[1] & 127, 2
        if n == 126 and len(d) >= 4:
            n, at = struct.unpack(">H", d[2:4])[0], 4
        elif n == 127 and len(d) >= 10:
            n, at = struct.unpack(">Q", d[2:10])[0], 10
        elif n > 125:
            return None
        if len(d) < at + n:
            return None
        self.data = d[at + n:]
        return d[0] & 15, d[at:at + n], bool(d[0] & 128)


def post(method, params=None, s=None):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode()
    s = s or connect()
    s.sendall(b"POST /rpc HTTP/1.1\r\nHost: stax\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return s


def drain(s, seconds=20):
    """Bytes until the other side closes, and whether it did."""
    n, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        s.settimeout(left)
        try:
            piece = s.recv(1 << 20)
        except socket.timeout:
            break
        except OSError:
            return n, True
        if not piece:
            return n, True
        n += len(piece)
    return n, False


def alive():
    return drain(post("status"))[0] > 100


# Some 15 MB of answer.
large = {"query": "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 9000) SELECT printf('%1600d', x) FROM r",
         "timeout_ms": 60000}

if command == "rules":
    address, token = sys.argv[3].rsplit(":", 1), sys.argv[4]
    address = (address[0].split("//")[-1], int(address[1]))
    host, origin = f"Host: {address[0]}:{address[1]}", f"Origin: http://{address[0]}:{address[1]}"
    bearer = f"Authorization: Bearer {token}"
    for name, wanted, target, headers in [
            ("without a token", 401, "/ws", [host]),
            ("with a wrong token", 401, "/ws?token=nope", [host]),
            ("with the token in a header", 101, "/ws", [host, bearer]),
            ("with the token in the address, as browsers must", 101, f"/ws?token={token}", [host]),
            ("with the token, of its own page", 101, f"/ws?token={token}", [host, origin]),
            ("with the token, of another page", 403, f"/ws?token={token}", [host, "Origin: http://evil.example"]),
            ("with the token, of a page that hides its origin", 403, f"/ws?token={token}", [host, "Origin: null"]),
            ("with the token, under another name", 403, f"/ws?token={token}", ["Host: evil.example"]),
            ("with the token, without a name", 403, f"/ws?token={token}", [])]:
        s = connect(address)
        status = upgrade(s, target, headers)
        s.close()
        report(f"/ws on TCP {name}: {wanted}", status == wanted, status)

elif command == "docs":
    examples = re.findall(r"^On `/ws` only:\n\n    (.+)$", open(sys.argv[3]).read(), re.M)
    report("docs/rpc.md has its two examples for /ws", len(examples) == 2, examples)
    ws = Ws()
    number = None
    for example in examples:
        request = json.loads(example)
        if "subscription" in request["params"]:
            # The number is the one that subscribe answered with.
            request["params"]["subscription"] = number
            other = Ws()
            stolen = other.call(json.dumps(request))
            report("a subscription of another connection cannot be ended", "error" in stolen, stolen)
            report("... and goes on", len(ws.messages(2)) > 0)
        answer = ws.call(json.dumps(request))
        number = answer.get("result", {}).get("data", {}).get("subscription")
        report(f"example of {request['method']}", answer.get("result", {}).get("schema") == "stax.subscribe/1", answer)
    ws.messages(0.3)  # what was on its way
    report("after unsubscribe there are no updates", ws.messages(1.5) == [])
    answer = ws.call('{"jsonrpc":"2.0","id":9,"method":"unsubscribe","params":{"subscription":%d}}' % (number or 1))
    report("unsubscribing twice is an error", "error" in answer, answer)
    report("... and the connection goes on", "result" in ws.call('{"jsonrpc":"2.0","id":10,"method":"status"}'))

elif command == "greedy":
    whole = drain(post("sql", large), 60)
    report("a large answer arrives whole", whole[0] > 14_000_000 and whole[1], whole)
    for _ in range(4):
        s = post("sql", large)
        s.recv(1000)
        s.close()
    report("4 clients that read the beginning of it and leave", alive())
    ws = Ws()
    for i in range(6):
        ws.send(json.dumps({"jsonrpc": "2.0", "id": i, "method": "sql", "params": large}))
    time.sleep(1)
    end = time.monotonic() + 60
    # It is cut off once more than 64 MiB wait; until then nothing is read here.
    while time.monotonic() < end:
        try:
            ws.s.send(b"\x89\x80\0\0\0\0")
        except OSError:
            break
        time.sleep(0.2)
    else:
        report("a WebSocket that asks for 90 MB and reads nothing is cut off", False, "after 60 s it was not")
    n, is_closed = drain(ws.s)
    report("a WebSocket that asks for 90 MB and reads nothing is cut off", is_closed and n < 64 << 20, (n, is_closed))
    report("... and the server is well", alive())

elif command == "patience":
    patience = float(sys.argv[3])
    reader, silent = Ws(), Ws(answers_pings=False)
    subscribe = '{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"view":"top"}}'
    reader.call(subscribe)
    silent.send(subscribe)
    stuck = post("sql", large)
    half = connect()
    half.sendall(b"POST /rpc HTTP/1.1\r\nHost: stax\r\nContent-Length: 100\r\n\r\n{")
    updates = reader.messages(3 * patience + 2)
    n, is_closed = drain(stuck, 5)
    report("a client that does not read its answer is cut off", is_closed and n < 14_000_000, (n, is_closed))
    report("a client that does not end its request is cut off", drain(half, 5)[1])
    report("a subscriber that never reads is cut off", drain(silent.s, 5)[1])
    report("a subscriber that reads stays", reader.is_open and len(reader.messages(2)) > 0 and len(updates) > 3, len(updates))
    report("... and so does the server", alive())

sys.exit(failed > 0)
