"""Answers that no S3 gives: an error with words, never a crash, never a success."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

JUNK = [
    b"", b"<", b"<a/>", b"<Error/>", b"<Error><Code>X</Code></Error>", b"not xml", b"\xff\xfe\0", b"<a>" * 5000,
    b"<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>",
    b"<InitiateMultipartUploadResult><UploadId>" + b"u" * 5000 + b"</UploadId></InitiateMultipartUploadResult>",
    b"<InitiateMultipartUploadResult><UploadId>a</UploadId><UploadId>b</UploadId></InitiateMultipartUploadResult>",
    b"<CompleteMultipartUploadResult>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
]  # fmt: skip
STARTED = b"<InitiateMultipartUploadResult><UploadId>a&amp;b/c</UploadId></InitiateMultipartUploadResult>"


@pytest.fixture
def answers(monkeypatch):
    found = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.command
            if kind == "POST":
                kind = "create" if self.path.endswith("?uploads") or "uploads=" in self.path else "complete"
            status, body, headers = found.get(kind, (404, b"", {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield found
    server.shutdown()
    server.server_close()


def upload(host, **more):
    host.write("f", b"x" * 1000)
    return host("upload", {"file": "f", "bucket": "bucket", "key": "k", **more})


@pytest.mark.parametrize("body", JUNK)
def test_create(host, answers, body):
    answers["create"] = (200, body, {})
    done = upload(host, **{"multipart-from": "1"})
    assert done.code != "ok" and done.message


@pytest.mark.parametrize("body", JUNK[1:5] + JUNK[-2:])
def test_complete(host, answers, body):
    answers["create"] = (200, STARTED, {})
    answers["PUT"] = (200, b"", {"ETag": '"<&>"'})
    answers["complete"] = (200, body, {})
    done = upload(host, **{"multipart-from": "1"})
    assert done.code != "ok" and done.message


@pytest.mark.parametrize("headers", [{}, {"ETag": ""}, {"ETag": "e" * 5000}])
def test_part(host, answers, headers):
    answers["create"] = (200, STARTED, {})
    answers["PUT"] = (200, b"", headers)
    done = upload(host, **{"multipart-from": "1"})
    assert done.code != "ok" and done.message


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Length": "99999999999999999999"}, {"Content-Length": "-1"}, {"x-amz-meta-sha256": "z" * 9000},
     {"x-amz-checksum-sha256": "!!!", "Content-Length": "1000"}],
)  # fmt: skip
def test_head_is_never_taken_for_the_same(host, answers, headers):
    answers["HEAD"] = (200, b"", headers)
    answers["PUT"] = (200, b"", {"ETag": '"e"'})
    assert upload(host).result != "unchanged" or upload(host).code != "ok"
