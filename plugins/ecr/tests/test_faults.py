"""Every fault recovers or ends with an error that names image, digest, host and cause."""

import json
import os
import re
import threading

import pytest

import proxy as p

BLOB = r"/blobs/sha256"
UPLOAD = r"/blobs/uploads/."


@pytest.fixture
def pair(act, registries, layout, repo, proxy):
    """An image in the first registry; both registries behind proxies."""
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([3_000_000, 900_000, 3000], repo))
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    source, target = proxy(a), proxy(b)

    class Pair:
        def copy(self, **options):
            return act("copy", from_=f"{source.host}/{repo}:v1", to=[f"{target.host}/{repo}"], referrers="no",
                       **options)

        def check(self, done):
            assert done.result == "changed", done.last
            assert b.digest(repo, "v1") == digest
            assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers=False).outputs["equal"]

        def absent(self):
            assert not any(m == "PUT" and "/manifests/v1" in path for m, path, _ in target.seen)

    made = Pair()
    made.source, made.target, made.digest, made.repo, made.act = source, target, digest, repo, act
    made.largest = max(json.loads(a.raw(repo, "v1"))["layers"], key=lambda layer: layer["size"])["digest"]
    return made


@pytest.mark.parametrize("code", [429, 500, 503])
@pytest.mark.parametrize("side, method, path", [
    ("source", "GET", "/manifests/"), ("source", "GET", BLOB), ("target", "POST", "/uploads/"),
    ("target", "PUT", UPLOAD), ("target", "PUT", "/manifests/"), ("source", "HEAD", "/manifests/")])
def test_passing_status(pair, side, method, path, code):
    rule = getattr(pair, side).rule(method, path, p.status(code, b"busy", [("Retry-After", "0")]))
    pair.check(pair.copy())
    assert rule.hits == 1


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


def test_manifest_before_its_blobs_are_seen(pair):
    lag = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}).encode()
    pair.target.rule("PUT", "/manifests/", p.status(404, lag), count=2)
    pair.check(pair.copy())


def test_wrong_bytes_from_the_source(pair):
    def flip(handler, answer):
        return (answer[0], answer[1], b"\0" + answer[2][1:])

    pair.source.rule("GET", BLOB, flip, count=99)
    done = pair.copy()
    assert done.code, done.last
    assert re.search("sha256:[0-9a-f]{64}", done.error) and pair.source.host in done.error
    pair.absent()


def test_wrong_bytes_once(pair):
    def flip(handler, answer):
        return (answer[0], answer[1], b"\0" + answer[2][1:]) if len(answer[2]) > 2_000_000 else answer

    for _ in range(2):
        pair.source.rule("GET", BLOB, flip)
    done = pair.copy()
    if done.result != "changed":  # the second read was wrong too: then the source is named
        assert "the source sends bytes" in done.error


def test_wrong_manifest_from_the_source(pair):
    pair.source.rule("GET", "/manifests/", p.body(b'{"schemaVersion":2,"layers":[]}'), count=9)
    done = pair.copy()
    assert pair.digest in done.error and pair.source.host in done.error
    pair.absent()


def test_short_body(pair):
    pair.source.rule("GET", BLOB, lambda h, a: (a[0], a[1], a[2][:-7]), count=99)
    done = pair.copy()
    assert done.code and pair.source.host in done.error and "sha256:" in done.error
    pair.absent()


@pytest.mark.parametrize("length", [2**63 - 1, 99_999_999_999])
def test_absurd_content_length(pair, length):
    def effect(handler, answer):
        return p.cut_answer(len(answer[2]), length)(handler, answer)

    pair.source.rule("GET", BLOB, effect, count=999)
    done = pair.copy()
    assert done.code and pair.source.host in done.error, done.last
    pair.absent()


def test_large_manifest(pair):
    pair.source.rule("GET", "/manifests/", p.body(b" " * (4 * 1024 * 1024 + 10)), count=9)
    done = pair.copy()
    assert done.code == "remote" and pair.source.host in done.error
    pair.absent()


def test_too_many_descriptors(act, registries, layout, repo):
    one = layout.blob(b"x", "application/octet-stream")
    manifest = {"schemaVersion": 2, "config": one, "layers": [one] * 10_001}
    layout.tag("v1", layout.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json"))
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert "descriptors" in done.error


@pytest.mark.parametrize("told", [True, False])  # its digest is not over all of the bytes
def test_schema1(pair, told):
    pair.source.rule("GET", "/manifests/", lambda h, a: (
        200, [("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")],
        b'{"schemaVersion":1,"fsLayers":[]}'), count=9)
    header = [("Docker-Content-Digest", pair.digest)] if told else []
    pair.source.rule("HEAD", "/manifests/", lambda h, a: (200, header, b""), count=9)
    done = pair.copy()
    assert "schema 1" in done.error and pair.source.host in done.error and done.hint
    pair.absent()


def test_index_that_names_itself(pair):
    """With checked digests a cycle cannot be made: what comes back does not match."""
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": pair.digest, "size": 9}
    cycle = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    pair.source.rule("GET", "/manifests/", p.body(cycle), count=99)
    done = pair.copy()
    assert pair.digest in done.error


def test_redirect_drops_the_authorization(act, pair, registries):
    other = p.Proxy(registries[0].port)
    act.docker.mkdir(exist_ok=True)
    config = {"auths": {pair.source.host: {"auth": "dTpw"}}}
    (act.docker / "config.json").write_text(json.dumps(config))
    try:
        pair.source.rule("HEAD", "/manifests/", p.status(401, b"", [("WWW-Authenticate", 'Basic realm="r"')]))
        pair.source.rule("GET", BLOB, lambda h, a: (307, [("Location", f"http://{other.host}{h.path}")], b""), count=99)
        pair.check(pair.copy())
        assert other.seen and not any("Authorization" in headers for _, _, headers in other.seen)
        sent = [headers.get("Authorization") for _, _, headers in pair.source.seen]
        assert "Basic dTpw" in sent
    finally:
        other.stop()


def test_redirect_loop(pair):
    pair.source.rule("GET", BLOB, lambda h, a: (307, [("Location", h.path)], b""), count=999)
    done = pair.copy()
    assert done.code and "redirect" in done.error.lower() and pair.source.host in done.error
    pair.absent()


def test_redirect_to_another_scheme(pair):
    pair.source.rule("GET", BLOB, lambda h, a: (307, [("Location", "file:///etc/passwd")], b""), count=999)
    done = pair.copy()
    assert done.code and pair.source.host in done.error
    pair.absent()


def test_upload_to_another_host_gets_no_authorization(act, pair, registries):
    other = p.Proxy(registries[1].port)
    act.docker.mkdir(exist_ok=True)
    (act.docker / "config.json").write_text(json.dumps({"auths": {pair.target.host: {"auth": "dTpw"}}}))

    def away(handler, answer):
        moved = [(n, v.replace(pair.target.host, other.host) if n == "Location" else v) for n, v in answer[1]]
        return (answer[0], moved, answer[2])

    try:
        pair.target.rule("HEAD", "/manifests/", p.status(401, b"", [("WWW-Authenticate", 'Basic realm="r"')]))
        pair.target.rule("POST", "/uploads/", away, count=99)
        pair.check(pair.copy())
        assert other.count("PUT", "/uploads/") == 4
        assert not any("Authorization" in headers for _, _, headers in other.seen)
    finally:
        other.stop()


def test_immutable_tag(pair, registries, layout):
    other = layout.tag("other", layout.image([20], 1))
    put = f"{registries[1].host}/{pair.repo}:v1"
    assert pair.act("copy", from_="oci:layout:other", to=[put], referrers="no").result == "changed"
    said = json.dumps({"errors": [{"code": "TAG_INVALID", "message": "The image tag 'v1' already exists in the "
                                   "repository and cannot be overwritten because the repository is immutable."}]})

    def refuse(handler, _):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.send_head(400, [], len(said))
        handler.wfile.write(said.encode())

    pair.target.rule("PUT", "/manifests/v1", refuse, count=9, before=True)
    done = pair.copy()
    assert done.code == "conflict" and "immutable" in done.error and pair.digest in done.error
    assert other in done.error and registries[1].digest(pair.repo, "v1") == other


def test_lost_answer_of_an_immutable_tag(pair):
    """The tag is there, and it is ours: what the registry then says of it is no conflict."""
    said = json.dumps({"errors": [{"code": "TAG_INVALID", "message": "The image tag 'v1' already exists in the "
                                   "repository and cannot be overwritten because the repository is immutable."}]})
    rule = pair.target.rule("PUT", "/manifests/v1", p.status(400, said.encode()), count=9)
    pair.check(pair.copy())
    assert rule.hits == 1


def test_405_for_referrers_is_a_note(act, registries, layout, repo, proxy):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([100], 1))
    hex_ = digest.split(":")[1]
    layout.tag(f"sha256-{hex_}.sig", layout.image([101], 2))
    for tag in ("v1", f"sha256-{hex_}.sig"):
        act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no")
    target = proxy(b)
    target.rule("PUT", r"/manifests/sha256-", p.status(405, b'{"errors":[{"code":"UNSUPPORTED","message":"no"}]}'), count=9)
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{target.host}/{repo}"])
    assert done.result == "changed", done.last
    assert any("405" in text for text in done.logs)
    assert b.digest(repo, "v1") == digest


def test_bearer_token_expires_in_the_middle(act, pair):
    """Tokens of one use: each 401 is answered by a new token."""
    lock, issued, used = threading.Lock(), set(), set()

    def challenge(handler):
        return (401, [("WWW-Authenticate", f'Bearer realm="http://{pair.target.host}/token",service="s",scope="x"')], b"")

    def guard(handler, answer):
        token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        with lock:
            if token not in issued or (handler.command == "POST" and len(used) == 1 and token in used):
                return challenge(handler)
            if handler.command == "POST" and not used:
                used.add(token)
        return answer

    def token(handler, answer):
        with lock:
            name = f"token{len(issued)}"
            issued.add(name)
        return (200, [], json.dumps({"token": name, "expires_in": 3600}).encode())

    pair.target.rule("GET", "^/token", token, count=99)
    for method in ("HEAD", "POST"):
        pair.target.rule(method, "/v2/", guard, count=999)
    pair.check(pair.copy())
    assert 1 < len(issued) < 10


def test_unreachable_destination_names_the_host(act, pair):
    done = act("copy", from_=f"{pair.source.host}/{pair.repo}:v1", to=["127.0.0.1:1/x"])
    assert done.code == "net" and "127.0.0.1:1" in done.error


def test_one_bad_destination_does_not_stop_the_other(act, pair, registries):
    pair.target.rule("PUT", UPLOAD, p.status(400, b'{"errors":[{"code":"DENIED","message":"full"}]}'), count=99)
    c = registries[2]
    done = act("copy", from_=f"{pair.source.host}/{pair.repo}:v1",
               to=[f"{pair.target.host}/{pair.repo}", f"{c.host}/{pair.repo}"], referrers="no")
    assert "full" in done.error and pair.target.host in done.error
    assert c.digest(pair.repo, "v1") == pair.digest


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


@pytest.mark.parametrize("path", ["/manifests/"])
def test_wrong_digest_at_the_destination(pair, path):
    """The registry says that it has stored something else."""
    other = "sha256:" + "1" * 64

    def effect(handler, answer):
        kept = [(k, v) for k, v in answer[1] if k.lower() != "docker-content-digest"]
        return (answer[0], [*kept, ("Docker-Content-Digest", other)], answer[2])

    pair.target.rule("PUT", path, effect, count=99)
    done = pair.copy()
    assert done.code == "remote" and other in done.error and pair.target.host in done.error, done.last
    assert f"{pair.repo}:v1" in done.error and len(set(re.findall("sha256:[0-9a-f]{64}", done.error))) == 2
    if path == UPLOAD:
        pair.absent()


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
