"""Copies between plain registries, layouts and archives; skopeo is the witness of the digests."""

import base64
import io
import json
import random
import re
import subprocess
import tarfile
import urllib.request

import pytest


def test_index_with_fan_out(act, registries, layout, repo):
    a, b, c = registries
    digest = layout.tag("v1", layout.platforms())
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    assert a.digest(repo, "v1") == digest
    start = len(a.requests())
    done = act("copy", from_={"name": "service", "imageUri": f"{a.host}/{repo}:v1"},
               to=[f"{b.host}/{repo}", f"{c.host}/x/{repo}:other"])
    assert done.result == "changed", done.error
    assert b.digest(repo, "v1") == c.digest("x/" + repo, "other") == digest
    image = done.outputs["images"][0]
    assert image["name"] == "service" and image["digest"] == digest
    assert [copy["digest"] for copy in image["copies"]] == [digest, digest]
    # The source was read once: four different blobs (two layers are shared, two configurations).
    assert a.count("GET", "/blobs/", start) == 4


def test_warm_copy_is_two_heads(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{b.host}/{repo}"])
    before = len(a.requests()), len(b.requests())
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "unchanged" and not done.changes
    assert [r[0] for r in a.requests()[before[0]:]] == ["HEAD"]
    assert [r[0] for r in b.requests()[before[1]:]] == ["HEAD"]


def test_two_requests_per_blob(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([20_000 + i for i in range(20)], 7))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="no")
    assert done.result == "changed"
    assert b.count("POST", "uploads", start) == b.count("PUT", "uploads", start) == 21
    assert b.count("GET", "/v2/$", start) == b.count("HEAD", "/blobs/", start) == 0
    copy = done.copies()[0]
    assert copy["bytes"] > 20 * 20_000 and copy["skipped-bytes"] == 0 and copy["retries"] == 0


def test_blobs_that_are_there_are_not_sent(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([300_000, 5000], 11))
    layout.tag("v2", layout.image([300_000, 5000], 11, arch="arm64"))
    act("copy", from_="oci:layout:v1", to=[f"{b.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", from_="oci:layout:v2", to=[f"{b.host}/{repo}"])
    assert b.count("PUT", "uploads", start) == 1  # the other configuration
    assert done.copies()[0]["skipped-bytes"] == 305_000


def test_platforms(act, registries, layout, repo):
    a = registries[0]
    layout.tag("v1", layout.platforms())
    done = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], platforms=["linux/arm64"])
    entries = json.loads(a.raw(repo, "v1"))["manifests"]
    assert [e["platform"]["architecture"] for e in entries] == ["arm64"]
    again = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], platforms=["linux/arm64"])
    assert (done.result, again.result) == ("changed", "unchanged")
    none = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}:x"], platforms=["linux/s390x"])
    assert none.code == "not-found" and "linux/s390x" in none.error


def test_nested_index_and_docker_types(act, registries, layout, repo):
    a, b, _ = registries
    inner = layout.index([layout.image([1000], 1, docker=True), layout.image([2000], 2)])
    digest = layout.tag("v1", layout.index([inner, layout.image([900], 3)]))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.error
    assert b.digest(repo, "v1") == digest
    assert b.digest(repo, inner["digest"]) == inner["digest"]
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]


def test_too_deep_index(act, registries, layout, repo):
    entry = layout.image([10], 1)
    for _ in range(6):
        entry = layout.index([entry])
    layout.tag("v1", entry)
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert "deep" in done.error and repo in done.error


def test_referrers_and_cosign_tags(act, registries, layout, repo):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([4000], 1))
    hex_ = digest.split(":")[1]
    subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
    sbom = layout.image([600], 2, subject=subject, artifactType="application/spdx+json")
    layout.tag(f"sha256-{hex_}", layout.index([{**sbom, "artifactType": "application/spdx+json"}]))
    layout.tag(f"sha256-{hex_}.sig", layout.image([500], 3))
    for tag in ("v1", f"sha256-{hex_}", f"sha256-{hex_}.sig"):
        assert act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no").result == "changed"
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.error
    assert b.digest(repo, sbom["digest"]) == sbom["digest"]
    assert b.digest(repo, f"sha256-{hex_}.sig") == a.digest(repo, f"sha256-{hex_}.sig")
    assert b.digest(repo, f"sha256-{hex_}") == a.digest(repo, f"sha256-{hex_}")
    # Signed later: `always` finds what came after the image.
    layout.tag(f"sha256-{hex_}.att", layout.image([501], 4))
    act("copy", from_=f"oci:layout:sha256-{hex_}.att", to=[f"{a.host}/{repo}"], referrers="no")
    check = act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], fail=False)
    assert [d["problem"] for d in check.outputs["differences"]] == ["cosign tag missing"]
    act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]


def test_inline_data_and_foreign_layers(act, registries, layout, repo):
    a, b, _ = registries
    data = b"{}"
    empty = {**layout.blob(data, "application/vnd.oci.empty.v1+json"), "data": base64.b64encode(data).decode()}
    foreign = {**layout.blob(b"f" * 700, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
               "urls": ["https://example.com/x"]}
    (layout.blobs / empty["digest"].split(":")[1]).unlink()
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": empty,
                "layers": [foreign]}
    digest = layout.tag("v1", layout.blob(json.dumps(manifest).encode(), manifest["mediaType"]))
    done = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], foreign_layers=True)
    assert done.result == "changed", done.error
    assert a.digest(repo, "v1") == digest
    assert a.has_blob(repo, foreign["digest"]) and a.has_blob(repo, empty["digest"])


def test_layouts_and_archives(act, registries, layout, repo, tmp_path):
    a = registries[0]
    digest = layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=["oci:out:v1", "oci-archive:out.tar:v1"])
    assert done.result == "changed", done.error
    for source in ("oci:out:v1", "oci-archive:out.tar:v1"):
        raw = subprocess.run(["skopeo", "inspect", "--raw", source.replace(":out", f":{tmp_path}/out")],
                             check=True, capture_output=True).stdout
        assert json.loads(raw)["mediaType"].endswith("index.v1+json")
    back = act("copy", from_="oci-archive:out.tar:v1", to=[f"{a.host}/{repo}:back"])
    assert back.result == "changed" and a.digest(repo, "back") == digest


def test_docker_archive(act, registries, layout, repo, tmp_path):
    a = registries[0]
    layout.tag("v1", layout.image([9000, 5000], 1))
    subprocess.run(["skopeo", "copy", "-q", f"oci:{tmp_path}/layout:v1", f"docker-archive:{tmp_path}/d.tar:core:v1"],
                   check=True)
    done = act("copy", from_="docker-archive:d.tar", to=[f"{a.host}/{repo}:v1"])
    assert done.result == "changed", done.error
    assert act("copy", from_="docker-archive:d.tar", to=[f"{a.host}/{repo}:v1"]).result == "unchanged"
    manifest = json.loads(a.raw(repo, "v1"))
    assert manifest["mediaType"].endswith("manifest.v2+json") and len(manifest["layers"]) == 2


def skopeo_raw(source):
    return subprocess.run(["skopeo", "inspect", "--raw", source], check=True, capture_output=True).stdout


def test_ends_keep_every_byte(act, registries, layout, repo, tmp_path):
    """Registry, folder, archive and back: the same bytes everywhere, by skopeo's word."""
    a, b, _ = registries
    digest = layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    steps = [f"{a.host}/{repo}:v1", "oci:out:v1", "oci-archive:one.tar:v1", "oci:again:v2", f"{b.host}/{repo}:v3"]
    for source, target in zip(steps, steps[1:]):
        done = act("copy", from_=source, to=[target])
        assert done.result == "changed" and done.copies()[0]["digest"] == digest, done.last
        assert act("copy", from_=source, to=[target]).result == "unchanged"
        assert act("verify", from_=source, to=[target]).outputs["equal"]
    want = (layout.blobs / digest.split(":")[1]).read_bytes()
    assert skopeo_raw(f"oci:{tmp_path}/out:v1") == skopeo_raw(f"oci-archive:{tmp_path}/one.tar:v1") == want
    assert skopeo_raw(f"oci:{tmp_path}/again:v2") == b.raw(repo, "v3") == want
    # A second image goes into the same archive.
    other = layout.tag("v4", layout.image([4000], repo))
    assert act("copy", from_="oci:layout:v4", to=["oci-archive:one.tar:v4"]).result == "changed"
    assert skopeo_raw(f"oci-archive:{tmp_path}/one.tar:v1") == want
    assert act("copy", from_="oci-archive:one.tar:v4", to=[f"{b.host}/{repo}:v4"]).copies()[0]["digest"] == other


def test_archives_that_skopeo_made(act, registries, layout, repo, tmp_path):
    a, b, _ = registries
    layout.tag("v1", layout.image([9000, 5000], repo))
    layout.tag("v2", layout.image([9000, 6000], repo))
    for i, (source, target) in enumerate([(f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/s.tar:v1"),
                                          (f"oci:{tmp_path}/layout:v1", f"docker-archive:{tmp_path}/d.tar:core:v1")]):
        subprocess.run(["skopeo", "copy", "-q", source, target], check=True)
        name = target.replace(f"{tmp_path}/", "").replace(":core:", ":")
        done = act("copy", from_=name, to=[f"{a.host}/{repo}:{i}", f"{b.host}/{repo}:{i}"])
        assert done.result == "changed", done.last
        assert a.raw(repo, str(i)) == b.raw(repo, str(i))
        assert act("copy", from_=name, to=[f"{a.host}/{repo}:{i}"]).result == "unchanged"
    assert a.raw(repo, "0") == skopeo_raw(f"oci-archive:{tmp_path}/s.tar:v1")
    # What we push of a docker archive is an image that others can read.
    made = subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{a.host}/{repo}:1",
                           f"oci:{tmp_path}/check:1"], capture_output=True)
    assert made.returncode == 0, made.stderr
    refused = act("copy", from_=f"{a.host}/{repo}:0", to=["docker-archive:x.tar"])
    assert refused.code == "config" and "oci-archive:" in refused.hint


def test_docker_archive_with_zstd(act, registries, repo, tmp_path):
    """It would be a layer with a wrong type: nobody could unpack it."""
    files = {"config.json": b"{}", "l.tar": b"\x28\xb5\x2f\xfd" + b"x" * 20,
             "manifest.json": json.dumps([{"Config": "config.json", "Layers": ["l.tar"], "RepoTags": ["x:1"]}]).encode()}
    with tarfile.open(tmp_path / "z.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    done = act("copy", from_="docker-archive:z.tar:1", to=[f"{registries[0].host}/{repo}"])
    assert done.code == "remote" and "zstd" in done.error and "z.tar" in done.error and "oci-archive" in done.hint


KINDS = {
    "schema2": ("application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    "zstd": ("application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.config.v1+json",
             "application/vnd.oci.image.layer.v1.tar+zstd"),
    "artifact": ("application/vnd.oci.image.manifest.v1+json", "application/vnd.cncf.helm.config.v1+json",
                 "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_and_types_of(act, registries, layout, repo, kind):
    """Odd white space, unknown members and their order come through, and so does the Content-Type."""
    a, b, _ = registries
    type_, config, layer = KINDS[kind]
    text = json.dumps({"zzz": [1, 2], "schemaVersion": 2, "mediaType": type_, "layers": [layout.blob(b"l" * 900, layer)],
                       "config": layout.blob(b'{"architecture":"amd64","os":"linux"}', config)}, indent=5) + "\n\n"
    digest = layout.tag("v1", layout.blob(text.encode(), type_))
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed" and b.digest(repo, "v1") == digest
    assert b.raw(repo, "v1") == text.encode()
    request = urllib.request.Request(f"http://{b.host}/v2/{repo}/manifests/v1", headers={"Accept": type_})
    assert urllib.request.urlopen(request).headers["Content-Type"] == type_


def test_docker_manifest_list(act, registries, layout, repo):
    a, b, _ = registries
    rows = [{**layout.image([1000 + i], repo, arch, docker=True), "platform": {"os": "linux", "architecture": arch}}
            for i, arch in enumerate(("amd64", "arm64"))]
    type_ = "application/vnd.docker.distribution.manifest.list.v2+json"
    text = json.dumps({"schemaVersion": 2, "mediaType": type_, "manifests": rows}, indent=3).encode()
    digest = layout.tag("v1", layout.blob(text, type_))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    assert act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).result == "changed"
    assert b.raw(repo, "v1") == text and b.digest(repo, "v1") == digest


def test_foreign_layers_stay_where_they_are(act, layout, tmp_path):
    foreign = {**layout.blob(b"f" * 700, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
               "urls": ["https://example.com/x"]}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": layout.blob(b"{}", "application/vnd.oci.image.config.v1+json"), "layers": [foreign]}
    layout.tag("v1", layout.blob(json.dumps(manifest).encode(), manifest["mediaType"]))
    name = foreign["digest"].split(":")[1]
    for out, options in (("without", {}), ("with", {"foreign_layers": True})):
        assert act("copy", from_="oci:layout:v1", to=[f"oci:{out}:v1"], **options).result == "changed"
        assert act("verify", from_="oci:layout:v1", to=[f"oci:{out}:v1"]).outputs["equal"]
        assert (tmp_path / out / "blobs" / "sha256" / name).exists() == bool(options)


def report(done):
    return [copy for image in done.outputs["images"] for copy in image["copies"]]


def test_numbers_are_those_of_the_registries(act, registries, layout, repo, proxy):
    """Requests as in the access logs, bytes as in the manifests, two images that share a layer, one retry."""
    a, b, c = registries
    front = proxy(b)
    for i in (1, 2):
        layout.tag(f"v{i}", layout.image([700_000, 20_000, 100 * i], repo, arch=f"x{i}"))
    act("copy", from_=["oci:layout:v1", "oci:layout:v2"], to=[f"{a.host}/{repo}"])
    sizes = {}
    for tag in ("v1", "v2"):
        manifest = json.loads(a.raw(repo, tag))
        sizes[tag] = {blob["digest"]: blob["size"] for blob in [manifest["config"], *manifest["layers"]]}
    before = len(a.requests()), len(front.seen), len(c.requests())
    busy = front.rule("PUT", "/manifests/v1", lambda handler, answer: (503, [("Retry-After", "0")], b"busy"))
    done = act("copy", from_=[f"{a.host}/{repo}:v1", f"{a.host}/{repo}:v2"],
               to=[f"{front.host}/{repo}", f"{c.host}/{repo}"])
    assert done.result == "changed" and busy.hits == 1
    counted = len(a.requests()) - before[0] + len(front.seen) - before[1] + len(c.requests()) - before[2]
    listed = a.count("GET", f"/{repo}/tags/list", before[0])
    assert sum(copy["requests"] for copy in report(done)) == counted - listed
    assert [copy["retries"] for copy in report(done)] == [1, 0, 0, 0]
    for i in (0, 1):  # of both destinations: each byte is either moved or skipped
        moved = [image["copies"][i]["bytes"] for image in done.outputs["images"]]
        skipped = [image["copies"][i]["skipped-bytes"] for image in done.outputs["images"]]
        assert sum(moved) == sum((sizes["v1"] | sizes["v2"]).values())
        assert [m + s for m, s in zip(moved, skipped)] == [sum(sizes[tag].values()) for tag in ("v1", "v2")]
    again = act("copy", from_=[f"{a.host}/{repo}:v1", f"{a.host}/{repo}:v2"], to=[f"{front.host}/{repo}"])
    assert [(copy["bytes"], copy["requests"], copy["retries"]) for copy in report(again)] == [(0, 2, 0)] * 2


def test_large_inline_data(act, registries, layout, repo):
    """More than a transfer's buffer holds: it goes in pieces, like what is read from elsewhere."""
    a, b, _ = registries
    data = random.Random(repo).randbytes(700_000)
    layer = layout.blob(data, "application/vnd.example.data") | {"data": base64.b64encode(data).decode()}
    config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]}
    digest = layout.tag("v1", layout.blob(json.dumps(manifest).encode(), manifest["mediaType"]))
    for source, target in (("oci:layout:v1", a), (f"{a.host}/{repo}:v1", b)):
        done = act("copy", from_=source, to=[f"{target.host}/{repo}"], referrers="no")
        assert done.result == "changed", done.last
        assert target.digest(repo, "v1") == digest and target.has_blob(repo, layer["digest"])


def test_more_manifests_than_are_kept(act, registries, layout, repo):
    """Manifests are kept for the images that share them, up to 16 MiB: what was forgotten is read again where it is needed."""
    a, b, _ = registries
    padding = "x" * 3_700_000
    row = {"platform": {"os": "linux", "architecture": "amd64"}}
    digests = []
    for i in range(8):
        image = layout.image([300 + i], f"{repo}{i}", annotations={"padding": padding})
        digests.append(layout.tag(f"v{i}", layout.index([{**image, **row}])))
    tags = [f"v{i}" for i in range(8)]
    act("copy", from_=[f"oci:layout:{tag}" for tag in tags], to=[f"{a.host}/{repo}"], referrers="no")
    done = act("copy", from_=[f"{a.host}/{repo}:{tag}" for tag in tags], to=[f"{b.host}/{repo}"], referrers="no", parallel=8)
    assert done.result == "changed", done.last
    assert [b.digest(repo, tag) for tag in tags] == digests
    assert act("verify", from_=[f"{a.host}/{repo}:{tag}" for tag in tags], to=[f"{b.host}/{repo}"]).result == "unchanged"


def test_each_image_is_told(act, registries, layout, repo):
    """While it is copied: bytes, blobs, rate and the time that is left; at its end an event with the same."""
    a, b, _ = registries
    for i in range(3):
        layout.tag(f"v{i}", layout.image([900_000 + i, 3000], f"{repo}{i}"))
    act("copy", from_=[f"oci:layout:v{i}" for i in range(3)], to=[f"{a.host}/{repo}"])
    done = act("copy", from_=[f"{a.host}/{repo}:v{i}" for i in range(3)], to=[f"{b.host}/{repo}"], bandwidth=3_000_000)
    shown = [frame["what"] for frame in done.frames if frame["type"] == "progress" and "what" in frame]
    assert any(re.fullmatch(r".*:v\d: .* of 88\d.\d KiB, \d of 3 blobs, .*/s, .* left", text) for text in shown), shown
    told = {frame["fields"]["image"]: frame["fields"] for frame in done.frames
            if frame["type"] == "event" and frame["name"] == "image-copied"}
    for i, image in enumerate(done.outputs["images"]):
        event = told[f"{a.host}/{repo}:v{i}"]
        assert event["digest"] == image["digest"] and event["blobs"] == 3
        assert event["bytes"] == image["copies"][0]["bytes"] and event["bytes-per-second"] > 0
    # Nothing to move, nothing to tell.
    again = act("copy", from_=f"{a.host}/{repo}:v0", to=[f"{b.host}/{repo}"])
    assert not any(frame["type"] == "event" for frame in again.frames)


def test_wrong_layout_blob(act, registries, layout, repo):
    layout.tag("v1", layout.image([200_000], 1))
    name = max(layout.blobs.iterdir(), key=lambda p: p.stat().st_size)
    name.write_bytes(b"x" * 200_000)
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert done.code and name.name in done.error and registries[0].host in done.error
    into = act("copy", from_="oci:layout:v1", to=["oci:other:v1"])
    assert name.name in into.error
    assert not (layout.folder.parent / "other" / "index.json").exists()


@pytest.mark.parametrize("options, part", [
    ({"from_": "nothing/here:1@sha256:12", "to": ["localhost/x"]}, "digest"),
    ({"from_": [], "to": ["localhost/x"]}, "names no image"),
    ({"from_": [{"name": "x"}], "to": ["localhost/x"]}, "imageUri"),
    ({"from_": "localhost/x:1", "to": ["UPPER/x y"]}, "no image reference"),
    ({"from_": "localhost/x:1", "to_regions": ["nowhere"]}, "no region"),
    ({"from_": "oci:absent:1", "to": ["localhost/x"]}, "absent"),
])
def test_bad_options(act, options, part):
    done = act("copy", **options)
    assert part in done.error, done.last


def test_missing_image(act, registries, repo):
    a, b, _ = registries
    done = act("copy", from_=f"{a.host}/{repo}:gone", to=[f"{b.host}/{repo}"])
    assert done.code == "not-found" and f"{a.host}/{repo}:gone" in done.error and done.hint


def test_plan_writes_nothing(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([1000], 1))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", how="plan", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed" and len(done.changes) == 1
    assert {m for m, _, _ in b.requests()[start:]} == {"HEAD"}
    assert act("copy", how="plan", from_=f"{a.host}/{repo}:v1", to=["oci:planned:v1"]).result == "changed"
    assert not (layout.folder.parent / "planned").exists()


def test_sync_of_repositories(act, registries, layout, repo):
    a, b, _ = registries
    shared = [50_000]
    for i in range(12):
        layout.tag(f"1.{i}.0", layout.image(shared + [100 + i], 5))
    act("copy", from_=[f"oci:layout:1.{i}.0" for i in range(12)], to=[f"{a.host}/{repo}/one"])
    act("copy", from_=["oci:layout:1.0.0"], to=[f"{a.host}/{repo}/two:latest"])
    done = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/m/"])
    assert done.outputs["summary"] == {"repositories": 2, "tags": 13, "unchanged": 0, "copied": 13, "deleted": 0}
    assert b.digest(f"m/{repo}/one", "1.11.0") == a.digest(f"{repo}/one", "1.11.0")
    again = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/m/"])
    assert again.result == "unchanged" and again.outputs["summary"]["unchanged"] == 13
    some = act("sync", from_=f"{a.host}/{repo}/one", to=[f"{b.host}/n/{repo}"], semver=">=1.3", newest=2)
    assert some.outputs["summary"]["copied"] == 2
    refused = act("sync", from_=f"{a.host}/{repo}/two", to=[f"{b.host}/m/{repo}/one"], delete="extra")
    assert refused.code == "conflict" and "12 of 1" in refused.error
    assert act("sync", how="verify", from_=f"{a.host}/{repo}/one", to=[f"{b.host}/m/{repo}/one"]).result == "unchanged"


def test_extra_tags_of_images_that_are_needed(act, registries, layout, repo):
    """docker-registry deletes images, not tags: what a tag that stays needs must not go, nor anything before that."""
    a, b, _ = registries
    child = layout.image([300], repo)
    tags = {"kept": layout.index([layout.index([child])]), "other": layout.image([200], repo),
            "child": child, "same": layout.image([200], repo), "free": layout.image([400], repo)}
    for name, entry in tags.items():
        layout.tag(name, entry)
    keep = [f"oci:layout:{name}" for name in ("kept", "other")]
    act("copy", from_=keep, to=[f"{a.host}/{repo}"])
    act("copy", from_=[f"oci:layout:{name}" for name in tags], to=[f"{b.host}/{repo}"])
    options = {"from_": f"{a.host}/{repo}", "to": [f"{b.host}/{repo}"], "delete": "extra", "force": True}
    for name, blocked in (("child", ["free", "same"]), ("same", ["free", "child"])):
        done = act("sync", **options, exclude=blocked)
        assert done.code == "conflict" and f"{repo}:{name}" in done.error and tags[name]["digest"] in done.error
        assert b.digest(repo, child["digest"]) == child["digest"]
    done = act("sync", **options, exclude=["child", "same"])
    assert done.outputs["summary"]["deleted"] == 1, done.last
    assert not b.exists(repo, "free")
    assert act("verify", from_=keep, to=[f"{b.host}/{repo}"]).outputs["equal"]


def test_nothing_is_removed_before_all_guards_agree(act, registries, layout, repo):
    a, b, _ = registries
    names = [f"t{i}" for i in range(12)]
    for name in names:
        layout.tag(name, layout.image([50], name))
    images = [f"oci:layout:{name}" for name in names]
    for part, kept in (("one", 11), ("two", 1)):
        act("copy", from_=images[:kept], to=[f"{a.host}/{repo}/{part}"])
        act("copy", from_=images, to=[f"{b.host}/{repo}/{part}"])
    options = {"from_": a.host, "repositories": [f"{repo}/*"], "to": [f"{b.host}/"], "delete": "extra"}
    refused = act("sync", **options)
    assert refused.code == "conflict" and f"{repo}/two" in refused.error and "11 of 12" in refused.error
    assert not any(method == "DELETE" and repo in path for method, path, _ in b.requests())
    forced = act("sync", **options, force=True)
    assert forced.outputs["summary"]["deleted"] == 12, forced.last


def test_push_dates_of_a_registry_that_has_none(act, registries, layout, repo):
    done = act("sync", from_=f"{registries[0].host}/{repo}", to=[f"{registries[1].host}/{repo}"], pushed_within="1h")
    assert done.code == "config" and registries[0].host in done.error and done.hint


def test_verify_of_a_copy_goes_deep(act, registries, layout, repo):
    """The tag is equal, but a platform's manifest was removed at the destination, and one came to be signed."""
    a, b, _ = registries
    layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{b.host}/{repo}"])
    options = {"from_": f"{a.host}/{repo}:v1", "to": [f"{b.host}/{repo}"]}
    assert act("copy", how="verify", **options).result == "unchanged"
    child = json.loads(a.raw(repo, "v1"))["manifests"][1]["digest"]
    url = f"http://{b.host}/v2/{repo}/manifests/{child}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"))
    tag = f"sha256-{child.partition(':')[2]}.sig"
    layout.tag(tag, layout.image([10], 1))
    act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no")
    done = act("copy", how="verify", **options)
    assert done.result == "changed" and not done.changes
    said = "\n".join(done.logs)
    assert f"manifest missing ({child})" in said and "cosign tag missing" in said


def test_password_registry(act, registries, layout, repo, tmp_path):
    from conftest import Registry
    file = tmp_path / "htpasswd"
    file.write_text("u:$2y$05$DyiIkRRWQA0wWjsqE6LDd.lTyaafOtaXRgoLGD8y0L7/TMnuo/ctS\n")
    auth = f"auth: {{htpasswd: {{realm: r, path: {file}}}}}"
    layout.tag("v1", layout.image([1000], 1))
    private = Registry(tmp_path / "private", auth)
    try:
        done = act("copy", from_="oci:layout:v1", to=[f"{private.host}/{repo}"])
        assert done.code == "auth" and private.host in done.error and "docker login" in done.hint
        act.docker.mkdir(exist_ok=True)
        wrong = base64.b64encode(b"u:wrong").decode()
        (act.docker / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": wrong}}}))
        refused = act("copy", from_="oci:layout:v1", to=[f"{private.host}/{repo}"])
        assert refused.code == "auth" and f"{private.host} as u was refused" in refused.hint
        secrets = [f["value"] for f in refused.frames if f.get("type") == "secret"]
        assert "wrong" in secrets
    finally:
        private.stop()


HELPER = """#!/bin/sh
read host
case $1 in
get) [ "$host" = "%s" ] || { echo "credentials not found in native keychain"; exit 1; }
     echo '{"ServerURL":"'$host'","Username":"u","Secret":"p"}' ;;
esac
"""


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_credential_helper(act, registries, layout, repo, proxy, tmp_path, key):
    import os
    import proxy as p
    front = proxy(registries[0])
    layout.tag("v1", layout.image([1000], 1))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "docker-credential-mine").write_text(HELPER % front.host)
    (tools / "docker-credential-mine").chmod(0o755)
    act.docker.mkdir()
    (act.docker / "config.json").write_text(json.dumps({key: {front.host: "mine"} if key == "credHelpers" else "mine"}))
    front.rule("HEAD", "/manifests/", p.status(401, b"", [("WWW-Authenticate", 'Basic realm="r"')]))
    done = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"],
               env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.result == "changed", done.last
    assert front.seen[1][2]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    (tools / "docker-credential-mine").write_text("#!/bin/sh\necho boom; exit 3\n")
    broken = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"],
                 env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert broken.code == "auth" and "boom" in broken.error and front.host in broken.error


def test_bearer_token_with_scopes(act, registries, layout, repo, proxy):
    import proxy as p
    front = proxy(registries[0])
    layout.tag("v1", layout.image([1000], 1))
    realm = f'Bearer realm="http://{front.host}/token?x=1",service="reg istry"'

    def guard(handler, answer):
        return answer if handler.headers.get("Authorization") == "Bearer good" else \
            (401, [("WWW-Authenticate", realm)], b"")

    front.rule("GET", "^/token", p.status(200, b'{"access_token":"good"}'), count=9)
    for method in ("HEAD", "POST", "PUT", "GET"):
        front.rule(method, "/v2/", guard, count=99)
    done = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"])
    assert done.result == "changed", done.last
    asked = [path for _, path, _ in front.seen if path.startswith("/token")]
    assert asked[0].startswith("/token?x=1&service=reg%20istry&scope=repository")
    assert any("pull%2Cpush" in path or "pull,push" in path for path in asked) and len(asked) <= 3
