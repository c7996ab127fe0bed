"""Many tags, runs that are killed, and the limit of the bandwidth."""

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
