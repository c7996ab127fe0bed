"""Names at the destination, what belongs to the platforms of an index, and blobs that several routes share."""

import hashlib
import json
import threading

import proxy as p
from images import OCI

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


def api_of(front, lists, page=100):
    """Gives the registry behind a proxy the referrers API: `lists` is {digest: entries}."""
    def answer(handler, _):
        digest, _, start = handler.path.rpartition("/")[2].partition("?from=")
        start, entries = int(start or 0), lists.get(digest, [])
        index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries[start:start + page]}
        more = [("Link", f'<{handler.path.partition("?")[0]}?from={start + page}>; rel="next"')]
        return (200, more if start + page < len(entries) else [], json.dumps(index).encode())

    front.rule("GET", "/referrers/", answer, count=9999)


def artifacts(layout, repo, subject, count):
    """Artifacts about an image, and their entries in a list."""
    about = {k: subject[k] for k in ("mediaType", "digest", "size")}
    return [{**layout.image([50 + i], f"{repo}{i}", subject=about, artifactType="application/x"),
             "artifactType": "application/x"} for i in range(count)]


def push(act, layout, registry, repo, entries, prefix="n"):
    """Manifests that no tag names at the registry, by way of tags of the layout."""
    for i, entry in enumerate(entries):
        layout.tag(f"{prefix}{i}", entry)
    images = [f"oci:layout@{entry['digest']}" for entry in entries]
    done = act("copy", from_=images, to=[f"{registry.host}/{repo}"], referrers="no")
    assert done.result == "changed", done.last


def test_referrers_of_an_api_in_pages(act, registries, layout, repo, proxy):
    """A destination without the API gets the list as a tag, a folder too; one with it does not."""
    a, b, c = registries
    image = layout.image([3000], repo)
    digest = layout.tag("v1", image)
    notes = artifacts(layout, repo, image, 5)
    push(act, layout, a, repo, [image, *notes])
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], referrers="no")
    source, able = proxy(a), proxy(c)
    api_of(source, {digest: notes}, page=2)
    api_of(able, {})
    done = act("copy", from_=f"{source.host}/{repo}:v1",
               to=[f"{b.host}/{repo}", f"{able.host}/{repo}", "oci:out:v1"])
    assert done.result == "changed", done.last
    assert source.count("GET", f"/referrers/{digest}") == 3
    tag = "sha256-" + digest_of(image)
    assert [e["digest"] for e in json.loads(b.raw(repo, tag))["manifests"]] == [n["digest"] for n in notes]
    for note in notes:
        assert b.digest(repo, note["digest"]) == c.digest(repo, note["digest"]) == note["digest"]
    assert not able.count("PUT", "/manifests/sha256-") and not able.count("GET", "/manifests/sha256-")
    assert act("verify", from_=f"{source.host}/{repo}:v1", to=[f"{b.host}/{repo}", "oci:out:v1"]).outputs["equal"]
    # The list is no tag too many.
    extra = act("sync", from_=f"{source.host}/{repo}", to=[f"{b.host}/{repo}"], tags=["v1", "sha256-*"], delete="extra",
                force=True)
    assert extra.result == "unchanged", extra.changes


def test_a_list_of_referrers_is_added_to(act, registries, layout, repo, proxy):
    a, b, _ = registries
    image = layout.image([3000], repo)
    digest = layout.tag("v1", image)
    ours, theirs = artifacts(layout, repo, image, 1), artifacts(layout, repo + "x", image, 1)
    tag = "sha256-" + digest_of(image)
    for registry, entries in ((a, ours), (b, theirs)):
        push(act, layout, registry, repo, [image, *entries], registry.host.replace(":", ""))
        layout.tag(tag, layout.index(entries))
        act("copy", from_=f"oci:layout:{tag}", to=[f"{registry.host}/{repo}"], referrers="no")
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{b.host}/{repo}"], referrers="no")
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert done.result == "changed", done.last
    both = [e["digest"] for e in json.loads(b.raw(repo, tag))["manifests"]]
    assert both == [theirs[0]["digest"], ours[0]["digest"]]
    again = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert again.result == "unchanged" and not again.changes


def test_an_artifact_that_is_refused_is_left_out(act, registries, layout, repo, proxy):
    """405 for one of three artifacts: the image and the others are there, the list names only them."""
    a, b, _ = registries
    image = layout.image([3000], repo)
    digest = layout.tag("v1", image)
    notes = artifacts(layout, repo, image, 3)
    push(act, layout, a, repo, [image, *notes])
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], referrers="no")
    source, target = proxy(a), proxy(b)
    api_of(source, {digest: notes})
    refused = json.dumps({"errors": [{"code": "UNSUPPORTED", "message": "no artifacts"}]}).encode()
    target.rule("PUT", "/manifests/" + notes[1]["digest"], p.status(405, refused), count=9)
    done = act("copy", from_=f"{source.host}/{repo}:v1", to=[f"{target.host}/{repo}"])
    assert done.result == "changed", done.last
    assert b.digest(repo, "v1") == digest
    said = [text for text in done.logs if "405" in text]
    assert len(said) == 1 and target.host in said[0] and notes[1]["digest"] in said[0]
    listed = [e["digest"] for e in json.loads(b.raw(repo, "sha256-" + digest_of(image)))["manifests"]]
    assert listed == [notes[0]["digest"], notes[2]["digest"]]


def test_a_platform_that_is_refused_is_not_forgiven(act, registries, layout, repo, proxy):
    """405 for a part of the image itself ends the copy, also while its signatures are copied."""
    a, b, _ = registries
    children = [layout.image([3000 + i], repo, arch) for i, arch in enumerate(("amd64", "arm64"))]
    digest = layout.tag("v1", layout.index(children))
    hex_ = digest.split(":")[1]
    tags = ["v1"] + [f"sha256-{hex_}.{kind}" for kind in ("sig", "att", "sbom")]
    for i, tag in enumerate(tags[1:]):
        layout.tag(tag, layout.image([100 + i], repo))
    for tag in tags:
        act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no")
    target = proxy(b)
    target.rule("PUT", "/manifests/" + children[1]["digest"], p.status(405, b"{}"), count=9)
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{target.host}/{repo}"])
    assert done.code == "remote" and children[1]["digest"] in done.error and "405" in done.error, done.last
    assert not target.count("PUT", "/manifests/v1")


def test_attestations_go_with_their_platform(act, registries, layout, repo):
    """What a builder adds to an index for a platform, as `docker buildx` does it."""
    a, b, _ = registries
    rows = []
    for arch in ("amd64", "arm64"):
        image = layout.image([2000], repo, arch)
        rows.append({**image, "platform": {"os": "linux", "architecture": arch}})
        rows.append({**layout.image([60], repo + arch), "platform": {"os": "unknown", "architecture": "unknown"},
                     "annotations": {"vnd.docker.reference.type": "attestation-manifest",
                                     "vnd.docker.reference.digest": image["digest"]}})
    layout.tag("v1", layout.index(rows))
    done = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], platforms=["linux/arm64"])
    assert done.result == "changed", done.last
    assert [e["digest"] for e in json.loads(a.raw(repo, "v1"))["manifests"]] == [row["digest"] for row in rows[2:]]
    for row in rows[2:]:
        assert a.digest(repo, row["digest"]) == row["digest"]
    options = {"from_": "oci:layout:v1", "to": [f"{a.host}/{repo}"], "platforms": ["linux/arm64"]}
    assert act("verify", **options).outputs["equal"]


def test_referrers_of_referrers(act, registries, layout, repo):
    """A chain longer than is followed, a list that leads back, and the signature of a bill of materials."""
    a, b, c = registries
    chain = [layout.image([4000], repo)]
    tags = ["v1", f"sha256-{digest_of(chain[0])}.sbom"]
    for i in range(10):
        subject = {key: chain[-1][key] for key in ("mediaType", "digest", "size")}
        chain.append(layout.image([100 + i], repo, subject=subject, artifactType=f"application/{i}"))
        again = chain[:2] if i == 3 else []
        layout.tag(f"sha256-{digest_of(chain[-2])}", layout.index([chain[-1], *again]))
        tags.append(f"sha256-{digest_of(chain[-2])}")
    layout.tag("v1", chain[0])
    sbom = layout.image([300], repo)
    layout.tag(tags[1], sbom)
    tags += [f"sha256-{digest_of(sbom)}.sig", f"sha256-{digest_of(chain[2])}.sig"]
    layout.tag(tags[-2], layout.image([301], repo))
    layout.tag(tags[-1], layout.image([302], repo))
    act("copy", from_=[f"oci:layout:{tag}" for tag in tags], to=[f"{a.host}/{repo}"], referrers="no")
    start = len(a.requests())
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.last
    for one in chain[:9]:
        assert b.digest(repo, one["digest"]) == one["digest"]
    for tag in (tags[1], *tags[-2:]):
        assert b.digest(repo, tag) == a.digest(repo, tag)
    assert any("left out, 8 levels" in text and chain[8]["digest"] in text for text in done.logs), done.logs
    # Each level is looked at once: its list, three tags, the artifact and its two blobs.
    assert len(a.requests()) - start < 12 * 8
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]
    # What came late to one far from the image is found, told and brought.
    late = f"sha256-{digest_of(chain[4])}.sig"
    layout.tag(late, layout.image([303], repo))
    act("copy", from_=f"oci:layout:{late}", to=[f"{a.host}/{repo}"], referrers="no")
    check = act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert "cosign tag missing" in check.error and "referrers: always" in check.hint
    brought = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert len(brought.changes) == 1 and brought.changes[0].startswith("copy referrer"), brought.changes
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]
    start = len(b.requests())
    assert act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always").result == "unchanged"
    assert {method for method, _, _ in b.requests()[start:]} <= {"GET", "HEAD"}
