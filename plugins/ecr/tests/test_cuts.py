"""Connections that are reset, stall or answer too late: each copy goes on, by Range or with a new session."""

import json
import os
import re
import threading

import pytest

import proxy as p

BLOB = r"/blobs/sha256"
UPLOAD = r"/blobs/uploads/."


@pytest.mark.parametrize("count, times", [(0, 3), (1, 3), (100_000, 3), (2_999_999, 1)])
def test_download_cut_resumes_by_range(pair, count, times):
    # Only the largest layer is long enough for the last case: the others would arrive whole.
    rule = pair.source.rule("GET", BLOB if times > 1 else f"/blobs/{pair.largest}", p.cut_answer(count), count=times)
    pair.check(pair.copy())
    assert rule.hits == times
    ranges = [headers.get("Range") for method, path, headers in pair.source.seen if method == "GET" and BLOB in path]
    if count > 1:
        assert any(r and re.fullmatch(r"bytes=\d+-", r) for r in ranges)


def test_resume_where_ranges_are_ignored(pair):
    pair.source.rule("GET", BLOB, p.cut_answer(500_000), count=1)
    whole = {}

    def ignore(handler, answer):
        return (200, [h for h in answer[1] if h[0].lower() != "content-range"], whole["body"])

    def keep(handler, answer):
        if len(answer[2]) == 3_000_000:
            whole["body"] = answer[2]
            pair.source.rule("GET", BLOB + ".*", lambda h, a: ignore(h, a) if h.headers.get("Range") else a, count=99)
            return p.cut_answer(500_000)(handler, answer)
        return answer

    pair.source.rules.clear()
    for _ in range(4):
        pair.source.rule("GET", BLOB, keep)
    pair.check(pair.copy())


@pytest.mark.parametrize("count", [0, 1, 70_000, 2_900_000])
def test_upload_cut_begins_anew(pair, count):
    rule = pair.target.rule("PUT", UPLOAD, p.cut_request(count), count=2, before=True)
    pair.check(pair.copy())
    assert rule.hits == 2


@pytest.mark.parametrize("method, path", [("POST", "/uploads/"), ("PUT", UPLOAD), ("PUT", "/manifests/"),
                                          ("HEAD", "/manifests/")])
def test_lost_answer(pair, method, path):
    rule = pair.target.rule(method, path, p.lost_answer)
    pair.check(pair.copy())
    assert rule.hits == 1


def test_session_that_is_gone(pair):
    gone = json.dumps({"errors": [{"code": "BLOB_UPLOAD_UNKNOWN", "message": "upload unknown"}]}).encode()
    pair.target.rule("PUT", UPLOAD, p.status(404, gone))
    pair.check(pair.copy())


@pytest.mark.parametrize("method, path", [("PUT", UPLOAD), ("POST", "/uploads/"), ("PUT", "/manifests/"),
                                          ("HEAD", "/manifests/")])
def test_stalled_destination(pair, method, path):
    """It takes the request and says nothing: given up after `stall`, tried again."""
    ended = threading.Event()

    def effect(handler, answer):
        ended.wait(30)
        p.close(handler)

    rule = pair.target.rule(method, path, effect)
    try:
        pair.check(pair.copy(stall="1s"))
        assert rule.hits == 1
    finally:
        ended.set()


def test_stalled_source(pair):
    """Half an answer, then silence: given up after `stall`, gone on by Range."""
    ended = threading.Event()

    def effect(handler, answer):
        code, headers, data = answer
        handler.send_head(code, headers, len(data))
        handler.wfile.write(data[:len(data) // 2])
        handler.wfile.flush()
        ended.wait(30)
        p.close(handler)

    rule = pair.source.rule("GET", BLOB, effect)
    try:
        pair.check(pair.copy(stall="1s"))
        assert rule.hits == 1
    finally:
        ended.set()


def test_slow_destination_goes_on_alone(act, registries, layout, repo, proxy):
    """One destination stops reading until the other has the whole blob: it gets the rest by a read of its own."""
    a, b, c = registries
    digest = layout.tag("v1", layout.image([24 << 20], repo))
    big = max(layout.blobs.iterdir(), key=lambda path: path.stat().st_size).name
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    source, slow = proxy(a), proxy(c)
    seen = []

    def effect(handler, _):
        handler.rfile.read(100_000)
        done = threading.Event()
        for _ in range(300):
            if b.has_blob(repo, "sha256:" + big):
                seen.append(True)
                break
            done.wait(0.05)
        p.close(handler) if not seen else None
        data = handler.rfile.read(int(handler.headers["Content-Length"]) - 100_000)
        whole = (layout.blobs / big).read_bytes()
        assert data == whole[100_000:]
        code, headers, out = handler.forward(whole)
        handler.send_head(code, headers, len(out))
        handler.wfile.write(out)

    slow.rule("PUT", UPLOAD + ".*" + big, effect, before=True)
    done = act("copy", from_=f"{source.host}/{repo}:v1", to=[f"{b.host}/{repo}", f"{slow.host}/{repo}"], referrers="no")
    assert done.result == "changed", done.last
    assert seen and c.digest(repo, "v1") == digest
    reads = [headers.get("Range") for method, path, headers in source.seen if method == "GET" and big in path]
    assert len(reads) == 2 and reads[0] is None and reads[1].startswith("bytes=")


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("side", ["request", "answer"])
def test_reset_at_any_byte(act, registries, layout, repo, end, side):
    """One connection of all is reset, at places over the whole conversation; ECR_CUTS=400 looks closer."""
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([150_000, 900], repo))
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    cutter = p.Cutter((a if end == "source" else b).port)
    hosts = {"source": a.host, "target": b.host} | {end: cutter.host}

    def copy(n):
        return act("copy", from_=f"{hosts['source']}/{repo}:v1", to=[f"{hosts['target']}/{repo}{n}"])

    try:
        cutter.arm(None, 0)
        assert copy("").result == "changed"
        whole = cutter.passed[side]
        cuts = int(os.environ.get("ECR_CUTS", "6"))
        for n in range(cuts):
            cutter.arm(side, whole * n // cuts)
            done = copy(n)
            assert done.result == "changed", (n, whole * n // cuts, done.last)
            assert cutter.side is None, "nothing was cut"
            assert b.digest(f"{repo}{n}", "v1") == digest
    finally:
        cutter.stop()
