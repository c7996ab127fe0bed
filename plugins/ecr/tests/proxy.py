"""A reverse proxy in front of a registry that breaks what a rule tells it to break."""

import array
import fcntl
import http.client
import re
import socket
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Rule:
    """`effect(handler, answer)` is called for the first `count` requests that match, after `skip` of them.

    It returns the answer to send (status, headers, body), or None when it has dealt with the connection.
    """

    def __init__(self, method, path, effect, count=1, skip=0, before=False):
        self.method, self.path, self.effect = method, re.compile(path), effect
        self.count, self.skip, self.before = count, skip, before
        self.hits = 0

    def take(self, method, path):
        if method != self.method or not self.path.search(path):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if not self.count:
            return False
        self.count -= 1
        self.hits += 1
        return True


def status(code, body=b"", headers=()):
    return lambda handler, answer: (code, [*headers], body)


def body(data):
    return lambda handler, answer: (answer[0], answer[1], data)


def close(handler):
    handler.close_connection = True
    try:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        handler.connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def delivered(connection):
    """Until the peer's system has all that was sent: a reset throws away what is still on the way."""
    deadline = time.monotonic() + 10
    left = array.array("i", [1])
    while time.monotonic() < deadline:
        fcntl.ioctl(connection, termios.TIOCOUTQ, left)
        if not left[0]:
            return
        time.sleep(0.001)


def cut_answer(count, length=None):
    """The whole head, `count` bytes of the body, then the connection is gone."""

    def effect(handler, answer):
        code, headers, data = answer
        handler.send_head(code, headers, len(data) if length is None else length)
        handler.wfile.write(data[:count])
        handler.wfile.flush()
        delivered(handler.connection)
        close(handler)

    return effect


def cut_request(count):
    """Before the registry hears of it: `count` bytes of the body are read, then the connection is gone."""

    def effect(handler, answer):
        handler.rfile.read(min(count, int(handler.headers.get("Content-Length") or 0)))
        close(handler)

    return effect


def lost_answer(handler, answer):
    close(handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_head(self, code, headers, length):
        self.send_response_only(code)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def forward(self, data):
        made = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        made.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            made.putheader(name, value)
        made.endheaders(data or None)
        answer = made.getresponse()
        result = answer.status, answer.getheaders(), answer.read()
        self.length = answer.getheader("Content-Length")
        made.close()
        return result

    def handle_any(self):
        proxy = self.server.proxy
        with proxy.lock:
            proxy.seen.append((self.command, self.path, dict(self.headers)))
            rule = next((r for r in proxy.rules if r.take(self.command, self.path)), None)
        if rule and rule.before:
            rule.effect(self, None)
            return
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.forward(data)
        if rule:
            answer = rule.effect(self, answer)
            if answer is None:
                return
        code, headers, out = answer
        head = self.command == "HEAD" and not rule
        self.send_head(code, headers, self.length or 0 if head else len(out))
        if self.command != "HEAD":
            self.wfile.write(out)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass  # clients that go away in the middle are what these tests are about


class Proxy:
    def __init__(self, upstream):
        self.rules, self.seen, self.lock = [], [], threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy, self.server.upstream = self, upstream
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def rule(self, *args, **keys):
        made = Rule(*args, **keys)
        self.rules.append(made)
        return made

    def count(self, method, pattern):
        return sum(1 for m, path, _ in self.seen if m == method and re.search(pattern, path))

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Cutter:
    """Passes bytes on to a registry, and resets one connection after `at` bytes of one direction in all."""

    def __init__(self, upstream):
        self.upstream, self.lock = upstream, threading.Lock()
        self.at = self.side = None
        self.passed = {"request": 0, "answer": 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def arm(self, side, at):
        with self.lock:
            self.side, self.at, self.passed = side, at, {"request": 0, "answer": 0}

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.upstream))
            for side, pair in (("request", (client, server)), ("answer", (server, client))):
                threading.Thread(target=self.passing, args=(side, *pair), daemon=True).start()

    def passing(self, side, source, target):
        try:
            while data := source.recv(1 << 16):
                with self.lock:
                    left = self.at - self.passed[side] if self.side == side else None
                    cut = left is not None and left < len(data)
                    if cut:
                        self.side = None
                    self.passed[side] += len(data)
                target.sendall(data[:left] if cut else data)
                if cut:
                    delivered(target)
                    for end in (source, target):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        end.shutdown(socket.SHUT_RDWR)
                    break
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
