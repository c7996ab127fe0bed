"""Many tags, runs that are killed, and the limit of the bandwidth."""

import resource
import threading
import time

import many
from proxy import close

MANY, IMAGES, FRESH = 10_000, 10, 25


def test_sync_of_ten_thousand_tags(act):
    manifests = {many.digest_of(data): data for data in map(many.manifest, range(IMAGES))}
    tags = {f"t{i}": list(manifests)[i % IMAGES] for i in range(MANY)}
    fresh = [f"t{i * 7}" for i in range(FRESH)]
    a = many.ManyTags(tags | {"other": next(iter(manifests))}, manifests)
    b = many.ManyTags({tag: digest for tag, digest in tags.items() if tag not in fresh}, manifests)
    try:
        done = act("sync", from_=f"{a.host}/x", to=[f"{b.host}/x"], tags=["t*"], referrers="no")
        assert done.result == "changed", done.last
        assert done.outputs["summary"] == {"repositories": 1, "tags": MANY, "unchanged": MANY - FRESH,
                                           "copied": FRESH, "deleted": 0}
        assert b.tags == tags
        assert sorted(path.rpartition("/")[2] for method, path in b.seen if method == "PUT") == sorted(fresh)
        # Pages, a HEAD for each tag that both have, a GET for the others; nothing for blobs of images that are there.
        pages = MANY // many.PAGE + 1
        assert sum(method == "HEAD" for method, _ in a.seen) == MANY - FRESH
        assert len(a.seen) <= MANY + pages + IMAGES
        assert len(b.seen) <= MANY + pages + FRESH + IMAGES
        assert not any("/blobs/" in path for _, path in a.seen + b.seen)
    finally:
        a.stop()
        b.stop()


def test_small_pages_and_a_selection(act):
    """3,000 tags in pages of 40, a version range and the newest of it, an empty destination."""
    manifests = {many.digest_of(data): data for data in map(many.manifest, range(IMAGES))}
    tags = {f"{i // 100}.{i % 100}.0": list(manifests)[i % IMAGES] for i in range(3000)}
    a, b = many.ManyTags(tags, manifests, page=40), many.ManyTags({}, {}, page=40)
    try:
        options = {"from_": f"{a.host}/x", "to": [f"{b.host}/x"], "referrers": "no", "parallel": 16}
        done = act("sync", **options, semver=">=10 <25", newest=700, exclude=["*.7.0"])
        assert done.result == "changed", done.last
        meant = [tag for tag in sorted(tags, key=lambda tag: [int(n) for n in tag.split(".")])
                 if 10 <= int(tag.split(".")[0]) < 25 and not tag.endswith(".7.0")][-700:]
        assert done.outputs["summary"]["copied"] == 700 and sorted(b.tags) == sorted(meant)
        assert sum(path.endswith("/tags/list") for _, path in a.seen) == 75
        assert a.most <= 20 and b.most <= 20
        # An image that many tags name is read and put once, then only tagged.
        assert sum(method == "GET" and ":" in path for method, path in a.seen) <= IMAGES
        again = act("sync", **options, regex="^(1[0-9]|2[0-4])[.]")
        assert again.outputs["summary"] == {"repositories": 1, "tags": 1500, "unchanged": 700, "copied": 800, "deleted": 0}
    finally:
        a.stop()
        b.stop()


def test_cold_sync_in_bounded_memory(act):
    """Ten thousand images to an empty repository; each tag costs a PUT and little memory."""
    manifests = {many.digest_of(data): data for data in map(many.manifest, range(MANY))}
    a = many.ManyTags({f"t{i}": digest for i, digest in enumerate(manifests)}, manifests)
    b = many.ManyTags({}, {})
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        done = act("sync", from_=f"{a.host}/x", to=[f"{b.host}/x"], referrers="no")
        assert done.result == "changed" and b.tags == a.tags, done.last
        assert len(done.outputs["images"]) == MANY
        assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) < 400_000
    finally:
        a.stop()
        b.stop()


def test_killed_run_is_taken_up(act, registries, layout, repo, proxy):
    a, b, _ = registries
    sizes = [900_000, 600_000, 300_000, 4000]
    digest = layout.tag("v1", layout.image(sizes, repo))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    front = proxy(b)
    reached, ended = threading.Event(), threading.Event()

    def stop(handler, _):
        handler.rfile.read(10_000)
        reached.set()
        ended.wait(30)
        close(handler)

    front.rule("PUT", "/blobs/uploads/.", stop, skip=1, before=True)
    options = {"from_": f"{a.host}/{repo}:v1", "to": [f"{front.host}/{repo}"], "parallel": 1, "referrers": "no"}
    run = act.start("copy", **options)
    try:
        assert reached.wait(30)
    finally:
        run.kill()
        run.wait()
        ended.set()
    assert not front.count("PUT", "/manifests/")
    before = len(front.seen)
    done = act("copy", **options)
    assert done.result == "changed", done.last
    assert b.digest(repo, "v1") == digest
    puts = [path for method, path, _ in front.seen[before:] if method == "PUT" and "/blobs/" in path]
    assert len(puts) == len(sizes)  # all but the largest, and the configuration
    assert done.copies()[0]["skipped-bytes"] == sizes[0]


def test_bandwidth_is_never_more_than_allowed(act, registries, layout, repo):
    """A slow machine only leaves more of it unused."""
    a, b, _ = registries
    rate, sizes = 4_000_000, [1_500_000, *[90_000] * 5]
    layout.tag("v1", layout.image([size + i for i, size in enumerate(sizes)], repo))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    began = time.monotonic()
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="no", bandwidth=rate)
    spent = time.monotonic() - began
    assert done.result == "changed", done.last
    both = 2 * done.copies()[0]["bytes"]
    burst = rate // 10 + 600_000  # and the piece that was under way
    assert both > 3_000_000 and both <= rate * spent + burst
