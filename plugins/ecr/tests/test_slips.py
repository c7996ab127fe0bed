"""Slips of users: what is refused before anything is sent, and what the messages say."""

import json
import os

import pytest

from images import DOCKER, OCI
from proxy import status


@pytest.mark.parametrize("action, options, part, hint", [
    ("sync", {"from_": "127.0.0.1:1", "to": ["127.0.0.1:2/x"]}, "names no repository", "repositories"),
    ("sync", {"from_": "localhost:1", "to": ["127.0.0.1:2/x"]}, "names no repository", "repositories"),
    ("sync", {"from_": "127.0.0.1:1/team/", "to": ["127.0.0.1:2/x"]}, "names no repository", "repositories"),
    ("sync", {"from_": "127.0.0.1:1/core:1.4", "to": ["127.0.0.1:2/x"]}, "not one image", "tags"),
    ("sync", {"from_": "oci:folder:1.4", "to": ["127.0.0.1:2/x"]}, "not one image", "tags"),
    ("sync", {"from_": "127.0.0.1:1/core", "to": ["127.0.0.1:2/x:1.4"]}, "tags keep their names", ""),
    ("copy", {"from_": "127.0.0.1:1/", "to": ["127.0.0.1:2/x"]}, "repository is missing", "ecr/sync"),
    ("copy", {"from_": "127.0.0.1:1/x:1", "to": ["docker-archive:a.tar"]}, "only be a source", "oci-archive:a.tar"),
    ("copy", {"from_": "127.0.0.1:1/x:1", "to": ["127.0.0.1:2/x@sha256:" + "0" * 64]}, "not a digest", "leave"),
    ("copy", {"from_": "127.0.0.1:1/x:1", "to": ["127.0.0.1:2/x"], "platforms": "linux/amd64,linux/arm64"},
     "`linux/amd64,linux/arm64` is no platform", "list"),
    ("copy", {"from_": "127.0.0.1:1/x:1", "to_regions": "us-east-1,eu-west-1"}, "no region", "list"),
    ("copy", {"from_": "127.0.0.1:1/x:1", "to": "127.0.0.1:2/x,127.0.0.1:3/x"}, "several names", ":="),
    ("sync", {"from_": "127.0.0.1:1/x", "to": ["127.0.0.1:2/x"], "platforms": ["arm64"]}, "no platform", "linux/arm64"),
    ("verify", {"from_": "127.0.0.1:1/x:1", "to": ["127.0.0.1:2/UP"]}, "no image reference", "HOST"),
    ("verify", {"from_": "127.0.0.1:1/x:1"}, "nothing says where", "to-regions"),
])
def test_refused_at_once(act, action, options, part, hint):
    done = act(action, env={"ACT_ALONE": "1"}, **options)
    assert done.code == "config" and part in done.error and hint in done.hint, done.last


def test_an_image_of_a_layout_must_be_named(act, registries, layout, repo):
    a = registries[0]
    image = layout.image([10], 1)
    layout.tag("one", image)
    layout.tag("two", image)
    # Two tags of one image leave no doubt.
    assert act("copy", from_="oci:layout", to=[f"{a.host}/{repo}:x"]).result == "changed"
    layout.tag("three", layout.image([11], 2))
    several = act("copy", from_="oci:layout", to=[f"{a.host}/{repo}"])
    assert several.code == "not-found" and "holds 3 images" in several.error and "one, two, three" in several.hint
    absent = act("copy", from_="oci:layout:four", to=[f"{a.host}/{repo}"])
    assert "has no image `four`" in absent.error and "one, two, three" in absent.hint
    (layout.folder / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    assert "holds no image" in act("copy", from_="oci:layout", to=[f"{a.host}/{repo}"]).error


def test_an_unknown_platform_tells_the_known_ones(act, registries, layout, repo):
    layout.tag("v1", layout.platforms())
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"], platforms=["linux/s390x"])
    assert done.code == "not-found" and done.hint == "it has linux/amd64, linux/arm64/v8"
    layout.tag("v2", layout.index([layout.platforms()]))
    done = act("copy", from_="oci:layout:v2", to=[f"{registries[0].host}/{repo}"], platforms=["linux/amd64"])
    assert done.code == "not-found" and "no platform" in done.hint


def test_a_sync_that_means_nothing_says_so(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([10], 1))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}/deep/one"])
    done = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/m/"])
    assert done.result == "unchanged" and any("no repository" in text and "**" in text for text in done.logs)
    done = act("sync", from_=f"{a.host}/{repo}/deep/one", tags=["x*"], to=[f"{b.host}/m"])
    assert done.result == "unchanged" and any("no tag" in text for text in done.logs)


def test_a_sync_serves_the_other_destinations(act, registries, layout, repo, proxy):
    """One that is down is told; what is extra elsewhere stays until all is well."""
    a, b, c = registries
    layout.tag("v1", layout.image([10], 1))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{c.host}/{repo}:old"])
    down = proxy(b)
    down.rule("GET", "/tags/list", status(403), count=99)
    options = {"from_": f"{a.host}/{repo}", "to": [f"{down.host}/{repo}", f"{c.host}/{repo}"], "delete": "extra",
               "force": True}
    done = act("sync", **options)
    assert done.code == "auth" and f"list {down.host}/{repo}" in done.error, done.last
    assert c.digest(repo, "v1") == c.digest(repo, "old") == a.digest(repo, "v1")
    assert not down.count("PUT", "")


def test_archives_that_cannot_be_written(act, registries, layout, repo, tmp_path):
    a = registries[0]
    layout.tag("v1", layout.image([10], 1))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    start = len(a.requests())
    (tmp_path / "folder").mkdir()
    folder = act("copy", from_=f"{a.host}/{repo}:v1", to=["oci-archive:folder"])
    nowhere = act("copy", from_=f"{a.host}/{repo}:v1", to=["oci-archive:no/such/a.tar"])
    assert "is a folder" in folder.error and "No such file or directory" in nowhere.error
    assert not [path for _, path, _ in a.requests()[start:] if "/blobs/" in path]
    assert os.strerror(21) in act("copy", from_="oci-archive:folder", to=[f"{a.host}/{repo}:x"]).error


def test_all_causes_of_a_refusal(act, registries, layout, repo):
    """docker-registry's first word about a foreign layer is `unknown error`."""
    small = layout.image([10], 1)
    image = json.loads((layout.blobs / small["digest"][7:]).read_text())
    gone = "sha256:" + "ab" * 32
    image["layers"].append({"mediaType": OCI + "layer.v1.tar", "digest": gone, "size": 9})
    layout.tag("v1", layout.blob(json.dumps(image).encode(), OCI + "manifest.v1+json"))
    layer = layout.blobs / gone[7:]
    layer.write_bytes(b"x" * 9)
    assert gone in act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"]).error
    foreign = {"mediaType": DOCKER + "image.rootfs.foreign.diff.tar.gzip", "digest": gone, "size": 9,
               "urls": ["https://elsewhere.example/layer"]}
    docker = json.loads((layout.blobs / layout.image([20], 2, docker=True)["digest"][7:]).read_text())
    docker["layers"].insert(0, foreign)
    layout.tag("v2", layout.blob(json.dumps(docker).encode(), docker["mediaType"]))
    done = act("copy", from_="oci:layout:v2", to=[f"{registries[0].host}/{repo}"])
    assert f"MANIFEST_BLOB_UNKNOWN: blob unknown to registry ({gone})" in done.error
    assert "foreign-layers" in done.hint


def test_two_images_for_one_tag(act, registries, layout, repo):
    a, b, _ = registries
    for i, tag in enumerate(("v1", "v2")):
        layout.tag(tag, layout.image([10 + i], repo))
        act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}/one", f"{a.host}/{repo}/two"])
    start = len(b.requests())
    clash = act("copy", from_=[f"{a.host}/{repo}/one:v1", f"{a.host}/{repo}/one:v2"], to=[f"{b.host}/{repo}:x"])
    assert clash.code == "config" and f"would both become {b.host}/{repo}:x" in clash.error and clash.hint
    clash = act("copy", from_=[f"{a.host}/{repo}/one:v1", f"{a.host}/{repo}/two:v1"], to=[f"{b.host}/{repo}"])
    assert clash.code == "config" and f"would both become {b.host}/{repo}:v1" in clash.error
    merge = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/{repo}"])
    assert merge.code == "config" and "2 repositories match" in merge.error and "`/`" in merge.hint
    assert len(b.requests()) == start
    # Two containers may well have the same image, and one repository may have any name.
    same = [{"name": name, "imageUri": f"{a.host}/{repo}/one:v1"} for name in ("app", "side")]
    done = act("copy", from_=same, to=[f"{b.host}/{repo}"])
    assert done.result == "changed" and [one["name"] for one in done.outputs["images"]] == ["app", "side"]
    assert act("sync", from_=a.host, repositories=[f"{repo}/on*"], to=[f"{b.host}/{repo}/n"]).result == "changed"


def test_an_archive_beside_a_destination_that_fails(act, registries, layout, repo, proxy):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([10], repo))
    down = proxy(b)
    down.rule("POST", "/blobs/uploads/", status(403), count=99)
    done = act("copy", from_="oci:layout:v1", to=["oci-archive:a.tar", f"{down.host}/{repo}"])
    assert done.code == "auth" and down.host in done.error, done.last
    again = act("copy", from_="oci-archive:a.tar:v1", to=[f"{a.host}/{repo}"])
    assert again.result == "changed" and a.digest(repo, "v1") == digest
