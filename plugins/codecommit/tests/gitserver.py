"""A small threaded HTTP server before `git http-backend`, with faults that a test can ask for.

Repositories lie under ROOT as NAME.git. Every request is kept in `log`. Faults are functions in
`faults`: they get the request and may answer it themselves (True) or change how it is served.
"""

import base64
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time

CHUNK = 64 * 1024
DELAY_MS = int(os.environ.get("GITSERVER_DELAY_MS", "0"))  # for the bench


class Request:
    """What a fault sees."""

    def __init__(self, handler, path, query):
        self.handler, self.path, self.query = handler, path, query
        self.method = handler.command
        self.headers = handler.headers
        self.service = query[8:] if query.startswith("service=") else path.rsplit("/", 1)[1]
        self.repository = path.strip("/").split(".git", 1)[0]
        self.cut_answer = None  # close the connection after so many bytes of the body
        self.damage_answer = None  # flip the byte at this place of the body
        self.filter = None  # a function over the whole answer body
        self.env = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                left = size
                while left:
                    piece = self.rfile.read(min(left, CHUNK))
                    if not piece:
                        raise ConnectionError("the request was cut")
                    left -= len(piece)
                    yield piece
                self.rfile.readline()
                if size == 0:
                    return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, CHUNK))
            if not piece:
                raise ConnectionError("the request was cut")
            left -= len(piece)
            yield piece

    def answer(self, status, text=b"", headers=()):
        for _ in self.body():
            pass
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def serve(self):
        time.sleep(DELAY_MS / 1000)
        server = self.server.owner
        path, _, query = self.path.partition("?")
        request = Request(self, path, query)
        entry = {"method": self.command, "path": path, "service": request.service,
                 "chunked": "chunked" in self.headers.get("Transfer-Encoding", ""),
                 "encoding": self.headers.get("Content-Encoding"),
                 "authorization": self.headers.get("Authorization"), "status": None, "bytes": 0, "sent": 0}
        with server.lock:
            server.log.append(entry)
        self.entry = entry
        try:
            if server.login and self.headers.get("Authorization") != server.login:
                self.answer(401, b"who are you?", [("WWW-Authenticate", 'Basic realm="git"')])
                entry["status"] = 401
                return
            for fault in list(server.faults):
                if fault(request):
                    return
            self.backend(request)
        except (ConnectionError, BrokenPipeError, ValueError, ssl.SSLError):
            self.close_connection = True

    do_GET = do_POST = serve

    def backend(self, request):
        server = self.server.owner
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": server.root, "GIT_HTTP_EXPORT_ALL": "1",
               "REQUEST_METHOD": self.command, "PATH_INFO": request.path, "QUERY_STRING": request.query,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": "tester",
               "REMOTE_ADDR": "127.0.0.1", "HOME": server.root, "GIT_CONFIG_NOSYSTEM": "1",
               "GIT_CONFIG_GLOBAL": os.path.join(server.root, "config")}
        if self.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        env.update(request.env)
        child = subprocess.Popen(["git", "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env=env)
        failed = []

        def feed():
            try:
                for piece in self.body():
                    self.entry["bytes"] += len(piece)
                    child.stdin.write(piece)
            except (OSError, ValueError):
                # The client broke off: git must see an end, not a whole request.
                failed.append(True)
            try:
                child.stdin.close()
            except OSError:
                pass

        reader = threading.Thread(target=feed, daemon=True)
        reader.start()
        try:
            self.forward(request, child)
        finally:
            child.stdout.close()
            if child.poll() is None and (failed or self.close_connection):
                child.kill()
            child.wait()
            reader.join(timeout=5)

    def forward(self, request, child):
        status, headers = 200, []
        while True:
            line = child.stdout.readline().strip()
            if not line:
                break
            name, _, value = line.decode().partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.entry["status"] = status
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        if request.filter:
            pieces = iter([request.filter(child.stdout.read())])
        else:
            pieces = iter(lambda: child.stdout.read1(CHUNK), b"")
        for piece in pieces:
            if request.damage_answer is not None and sent <= request.damage_answer < sent + len(piece):
                piece = bytearray(piece)
                piece[request.damage_answer - sent] ^= 0x55
            if request.cut_answer is not None and sent + len(piece) >= request.cut_answer:
                keep = piece[: request.cut_answer - sent]
                if keep:
                    self.wfile.write(b"%x\r\n" % len(keep) + bytes(keep) + b"\r\n")
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if piece:
                self.entry["sent"] += len(piece)
                self.wfile.write(b"%x\r\n" % len(piece) + bytes(piece) + b"\r\n")
            sent += len(piece)
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


class GitServer:
    """Use as a context manager; `url` is http://127.0.0.1:PORT."""

    def __init__(self, root, login=None, tls=None):
        self.root, self.faults, self.log = str(root), [], []
        self.lock = threading.Lock()
        self.login = None
        if login:
            self.login = "Basic " + base64.b64encode(login.encode()).decode()
        os.makedirs(self.root, exist_ok=True)
        with open(os.path.join(self.root, "config"), "w", encoding="ascii") as f:
            f.write("[http]\n\treceivepack = true\n[safe]\n\tdirectory = *\n")
        self.http = Server(("127.0.0.1", 0), Handler)
        self.http.owner = self
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def forget(self):
        with self.lock:
            self.log.clear()

    def requests(self, name=None):
        with self.lock:
            return [e for e in self.log if name is None or e["path"].startswith(f"/{name}.git")]


def main():
    """gitserver.py ROOT [PEM]: prints its URL, then for each line of input what was served since; ends with its input."""
    with GitServer(sys.argv[1], tls=sys.argv[2] if len(sys.argv) > 2 else None) as server:
        print(server.url, flush=True)
        for _ in sys.stdin:
            log = server.requests()
            server.forget()
            print(json.dumps({"requests": len(log), "up": sum(e["bytes"] for e in log),
                              "down": sum(e["sent"] for e in log)}), flush=True)


if __name__ == "__main__":
    main()
