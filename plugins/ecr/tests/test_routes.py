"""Names at the destination, what belongs to the platforms of an index, and blobs that several routes share."""

import hashlib
import json
import threading

import proxy as p

SIZE = 2_000_000


def digest_of(entry):
    return entry["digest"].split(":")[1]


def test_map_gives_other_names(act, registries, layout, repo):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([5000], repo))
    for name in ("one", "two"):
        act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}/{name}:v1"])
    images = [{"name": name, "imageUri": f"{a.host}/{repo}/{name}:v1"} for name in ("one", "two")]
    names = {f"{repo}/one": f"{repo}/eins"}
    done = act("copy", from_=images, to=[f"{b.host}/m/"], map=names)
    assert done.result == "changed", done.last
    assert b.digest(f"m/{repo}/eins", "v1") == b.digest(f"m/{repo}/two", "v1") == digest
    assert act("verify", from_=images, to=[f"{b.host}/m/"], map=names).outputs["equal"]
    # A full name in `to` stands as it is.
    act("copy", from_=images[0], to=[f"{b.host}/{repo}/full"], map=names)
    assert b.digest(f"{repo}/full", "v1") == digest


def test_map_is_checked(act, registries, repo):
    for bad in ({"a": "B!"}, {"a": "b:v1"}, {"a": ""}, {"a": 3}):
        done = act("copy", from_=f"{registries[0].host}/{repo}:v1", to_regions="us-east-1", map=bad)
        assert done.code == "config" and "map" in done.error, done.last


def test_referrers_of_each_platform(act, registries, layout, repo):
    a, b, _ = registries
    children = [layout.image([3000 + i], repo, arch) for i, arch in enumerate(("amd64", "arm64"))]
    nested = layout.image([900], repo, "s390x")
    digest = layout.tag("v1", layout.index([*children, layout.index([nested])]))
    signed = [f"sha256-{digest_of(child)}.sig" for child in children] + [f"sha256-{digest_of(nested)}.att"]
    for i, tag in enumerate(signed):
        layout.tag(tag, layout.image([100 + i], repo))
    note = layout.image([70], repo, subject={k: children[1][k] for k in ("mediaType", "digest", "size")},
                        artifactType="application/x")
    fallback = f"sha256-{digest_of(children[1])}"
    layout.tag(fallback, layout.index([{**note, "artifactType": "application/x"}]))
    for tag in ("v1", *signed, fallback):
        assert act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}:{tag}"], referrers="no").result == "changed"
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.last
    assert b.digest(repo, "v1") == digest
    for tag in (*signed, fallback):
        assert b.digest(repo, tag) == a.digest(repo, tag)
    assert hashlib.sha256(b.raw(repo, note["digest"])).hexdigest() == digest_of(note)
    # The index was read once although two tasks need it.
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]
    later = f"sha256-{digest_of(children[0])}.sbom"
    layout.tag(later, layout.image([222], repo))
    act("copy", from_=f"oci:layout:{later}", to=[f"{a.host}/{repo}"])
    check = act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], fail=False)
    assert [d["problem"] for d in check.outputs["differences"]] == ["cosign tag missing"]
    again = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert again.result == "changed", again.last
    assert b.digest(repo, later) == a.digest(repo, later)


def two_sources(act, registry, layout, repo, seed):
    """Two repositories with one large layer in common."""
    for name, arch in (("one", "amd64"), ("two", "arm64")):
        layout.tag(name, layout.image([SIZE], seed, arch))
        assert act("copy", from_=f"oci:layout:{name}", to=[f"{registry.host}/{repo}/{name}:v1"]).result == "changed"
    return max(layout.blobs.iterdir(), key=lambda path: path.stat().st_size).name


def test_a_blob_is_sent_to_a_host_once(act, registries, layout, repo, proxy):
    """The second route waits for the first and then mounts, also when the first takes its time."""
    a, b, _ = registries
    big = two_sources(act, a, layout, repo, repo)
    front = proxy(b)
    asked = threading.Event()

    def second(handler, answer):
        asked.set()
        return answer

    def slow(handler, answer):
        asked.wait(20)  # the other route has put its own configuration: it has come to its layers
        return answer

    front.rule("PUT", "/blobs/uploads/.*" + big, slow)
    small = {n for n in (path.name for path in layout.blobs.iterdir()) if n != big}
    front.rule("PUT", "/two/blobs/uploads/.*(" + "|".join(small) + ")", second)
    front.rule("PUT", "/one/blobs/uploads/.*(" + "|".join(small) + ")", second)
    done = act("copy", from_=[f"{a.host}/{repo}/{n}:v1" for n in ("one", "two")], to=[f"{front.host}/"], referrers="no")
    assert done.result == "changed", done.last
    assert front.count("PUT", "/blobs/uploads/.*" + big) == 1
    mounts = [path for method, path, _ in front.seen if method == "POST" and big in path and f"from={repo}" in path]
    assert len(mounts) == 2 and len({path.partition("from=")[2] for path in mounts}) == 1
    assert b.has_blob(f"{repo}/one", "sha256:" + big) and b.has_blob(f"{repo}/two", "sha256:" + big)
    assert sorted(image["copies"][0]["skipped-bytes"] for image in done.outputs["images"]) == [0, SIZE]


def test_two_repositories_of_one_host_in_a_fan_out(act, registries, layout, repo, proxy):
    a, b, _ = registries
    big = two_sources(act, a, layout, repo, repo)
    front = proxy(b)
    done = act("copy", from_=f"{a.host}/{repo}/one:v1", to=[f"{front.host}/{repo}/x", f"{front.host}/{repo}/y"],
               referrers="no")
    assert done.result == "changed", done.last
    assert front.count("PUT", "/blobs/uploads/.*" + big) == 1
    assert b.digest(f"{repo}/x", "v1") == b.digest(f"{repo}/y", "v1")


def test_the_second_route_sends_what_the_first_could_not(act, registries, layout, repo, proxy):
    a, b, _ = registries
    big = two_sources(act, a, layout, repo, repo)
    front = proxy(b)
    full = json.dumps({"errors": [{"code": "DENIED", "message": "full"}]}).encode()
    refused = front.rule("PUT", "/blobs/uploads/.*" + big, p.status(400, full))  # whichever comes first
    done = act("copy", from_=[f"{a.host}/{repo}/{n}:v1" for n in ("one", "two")], to=[f"{front.host}/"], referrers="no")
    assert refused.hits == 1 and f"{front.host}/{repo}/" in done.error, done.last
    tags = [path for method, path, _ in front.seen if method == "PUT" and path.endswith("/manifests/v1")]
    assert len(tags) == 1 and tags[0].split("/")[-3] not in done.error.partition(" to ")[2].partition(":v1")[0].split("/")
