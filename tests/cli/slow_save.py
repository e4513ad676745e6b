"""slow_save.py SOCKET VERSION: answers as a stax-server whose saves take three seconds; halfway from the start."""
import http.server, json, os, socketserver, sys, threading, time

saving = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def version_string(self):
        return "stax-server/" + sys.argv[2]

    def log_message(self, *_):
        pass

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = {"saves": [{"path": path, "n_done_pages": 500, "n_total_pages": 1000} for path in saving]}
        if call["method"] == "save_current":
            saving[call["params"]["path"]] = True
            time.sleep(3)
            data = {"path": call["params"]["path"], "size_bytes": 4096, "n_samples": 1, "n_functions": 1, "elapsed_ms": 3000}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"data": data, "warnings": []}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("", 0)


Server(sys.argv[1], Handler).serve_forever()
