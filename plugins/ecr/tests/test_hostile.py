"""Registries that send something else than they promised: ends with an error that names image, digest, host and cause."""

import json
import re

import pytest

import proxy as p

BLOB = r"/blobs/sha256"
UPLOAD = r"/blobs/uploads/."


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


@pytest.mark.parametrize("size", [3000, 900_000])
def test_wrong_bytes_in_a_layout(act, registries, layout, repo, size):
    layout.tag("v1", layout.image([size], 5))
    (layer,) = (path for path in layout.blobs.iterdir() if path.stat().st_size == size)
    layer.write_bytes(b"\0" + layer.read_bytes()[1:])
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert done.code == "io", done.last
    assert layer.name in done.error and "the source holds bytes that hash to" in done.error
    assert not registries[0].exists(repo, "v1")


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


@pytest.mark.parametrize("path", [UPLOAD, "/manifests/"])
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
