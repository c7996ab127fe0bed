"""Answers that say no, for a while or for good: recovers, or names image, digest, host and cause."""

import json
import re
import threading

import pytest

import proxy as p

BLOB = r"/blobs/sha256"
UPLOAD = r"/blobs/uploads/."


@pytest.mark.parametrize("code", [429, 500, 503])
@pytest.mark.parametrize("side, method, path", [
    ("source", "GET", "/manifests/"), ("source", "GET", BLOB), ("target", "POST", "/uploads/"),
    ("target", "PUT", UPLOAD), ("target", "PUT", "/manifests/"), ("source", "HEAD", "/manifests/")])
def test_passing_status(pair, side, method, path, code):
    rule = getattr(pair, side).rule(method, path, p.status(code, b"busy", [("Retry-After", "0")]))
    pair.check(pair.copy())
    assert rule.hits == 1


def test_manifest_before_its_blobs_are_seen(pair):
    lag = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry"}]}).encode()
    pair.target.rule("PUT", "/manifests/", p.status(404, lag), count=2)
    pair.check(pair.copy())


def test_400_without_tls(pair):
    """A plain registry on this machine that refuses a HEAD is not taken for one that speaks TLS."""
    words = b'{"errors":[{"code":"NAME_INVALID","message":"this name will not do"}]}'
    for method in ("HEAD", "GET"):
        pair.source.rule(method, "/manifests/", p.status(400, words, [("Content-Type", "application/json")]), count=9)
    done = pair.copy()
    assert done.code and "this name will not do" in done.error and pair.source.host in done.error


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


REQUESTS = [("source", "HEAD", "/manifests/v1"), ("source", "GET", "/manifests/"), ("source", "GET", BLOB),
            ("target", "HEAD", "/manifests/v1"), ("target", "POST", "/uploads/"), ("target", "PUT", UPLOAD),
            ("target", "PUT", "/manifests/v1")]


@pytest.mark.parametrize("n", range(len(REQUESTS)))
def test_words(pair, n):
    """Image, digest (once it is known), host and cause of each request that is refused."""
    end, method, path = REQUESTS[n]
    front = getattr(pair, end)
    said = json.dumps({"errors": [{"code": "DENIED", "message": "the quota of team-x is used up"}]}).encode()
    for verb in {method, "GET"} if method == "HEAD" else {method}:
        front.rule(verb, path, p.status(403, said), count=99)
    done = pair.copy()
    assert f"copy {pair.source.host}/{pair.repo}:v1 to {pair.target.host}/{pair.repo}:v1: " in done.error
    assert f"{front.host}/{pair.repo}" in done.error.partition(":v1: ")[2], done.error
    assert done.error.endswith("HTTP 403: DENIED: the quota of team-x is used up"), done.error
    assert method == "HEAD" or re.search("sha256:[0-9a-f]{64}", done.error), done.error
