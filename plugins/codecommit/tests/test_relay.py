"""The relay between two git servers: what is transferred, in how many requests, with what memory."""

import itertools
import os
import pathlib

import pytest
from conftest import BIG, RSS_LIMIT_KIB, SANITIZED, bare, git, import_history, refs


def count(bench, method, service, name):
    return len([e for e in bench.server.requests(name) if e["method"] == method and e["service"] == service])


def test_full_then_nothing_then_update(bench):
    import_history(bench.src, {"main": 30, "dev": 5})
    for i in range(20):
        git("tag", "-a", "-m", "t", f"v{i}", f"main~{i}", cwd=bench.src)
    out = bench.good()
    assert out.result == "changed"
    bench.same()
    event = out.events()[0]
    assert (event["created"], event["updated"], event["deleted"], event["unchanged"]) == (22, 0, 0, 0)
    assert event["bytes"] > 1000 and event["seconds"] >= 0 and event["refused"] == []
    # a small pack has a known length; a bare "chunked" is left to large ones
    assert not bench.sent("git-receive-pack")[0]["chunked"]

    out = bench.good()
    assert out.result == "unchanged" and out.events()[0]["unchanged"] == 22
    assert len(bench.server.requests()) == 2

    import_history(bench.src, {"main": 10})
    git("branch", "-D", "dev", cwd=bench.src)
    git("tag", "-f", "v3", "main", cwd=bench.src)
    out = bench.good()
    bench.same()
    event = out.events()[0]
    assert (event["created"], event["updated"], event["deleted"], event["unchanged"]) == (0, 2, 1, 19)
    for name, service in (("src", "git-upload-pack"), ("dst", "git-receive-pack")):
        assert count(bench, "GET", service, name) <= 2
        assert count(bench, "POST", service, name) == 1
    assert bench.sent("git-receive-pack")[0]["bytes"] < 20000


def test_verify_and_plan_write_nothing(bench):
    import_history(bench.src, {"main": 3, "dev": 2})
    before = refs(bench.dst)
    plan = bench.run(mode="plan")
    assert plan.result == "changed" and any("create refs/heads/main" in c for c in plan.changes())
    assert refs(bench.dst) == before and not bench.sent("git-receive-pack")
    bad = bench.run(action="verify")
    assert bad.status == 1 and bad.code == "conflict"
    bench.good()
    assert bench.run(action="verify").status == 0
    git("branch", "extra", "main", cwd=bench.dst)
    out = bench.run(mode="verify")
    assert out.result == "changed" and out.events("parity")[0]["extra"] == 1
    assert bench.run(mode="plan").result == "changed"


def test_known_tip_needs_no_source(bench):
    import_history(bench.src, {"main": 5})
    bench.good()
    git("branch", "twin", "main", cwd=bench.src)
    bench.good()
    bench.same()
    assert not bench.sent("git-upload-pack")
    assert bench.sent("git-receive-pack")[0]["bytes"] < 400  # the commands and the empty pack


def test_deletes_carry_no_pack(bench):
    import_history(bench.src, {"main": 3, "a": 1, "b": 1})
    bench.good()
    git("branch", "-D", "a", cwd=bench.src)
    out = bench.good()
    bench.same()
    assert out.events()[0]["deleted"] == 1 and not bench.sent("git-upload-pack")
    assert bench.sent("git-receive-pack")[0]["bytes"] < 300


@pytest.mark.parametrize("atomic", [False, True])
def test_file_becomes_folder_and_back(bench, atomic):
    import_history(bench.src, {"main": 3, "zz": 2})
    bench.good()
    git("update-ref", "-d", "refs/heads/zz", cwd=bench.src)
    git("update-ref", "refs/heads/zz/a", "main~1", cwd=bench.src)
    bench.good(atomic=atomic)
    bench.same()
    assert len(bench.sent("git-receive-pack")) == (2 if atomic else 1)
    git("update-ref", "-d", "refs/heads/zz/a", cwd=bench.src)
    git("update-ref", "refs/heads/zz", "main~2", cwd=bench.src)
    bench.good(atomic=atomic)
    bench.same()


def many_tags(path, n):
    tip = git("rev-parse", "main", cwd=path).decode().strip()
    lines = [f"create refs/tags/t{i:05} {tip}\n" for i in range(n)]
    git("update-ref", "--stdin", cwd=path, data="".join(lines).encode())
    git("pack-refs", "--all", cwd=path)


def test_batches(bench):
    import_history(bench.src, {"main": 10})
    for i in range(9):
        import_history(bench.src, {f"b{i}": 2})
    many_tags(bench.src, 340)
    out = bench.good(batch=100)
    bench.same()
    assert len(bench.sent("git-receive-pack")) == 4 and out.events()[0]["pushes"] == 4
    git("update-ref", "--stdin", cwd=bench.src,
        data=b"".join(b"delete refs/tags/t%05d\n" % i for i in range(150)))
    import_history(bench.src, {"main": 2})
    bench.good(batch=100)
    bench.same()
    assert len(bench.sent("git-receive-pack")) == 3  # 150 deletes, 1 update


def test_long_requests_are_compressed(bench):
    import_history(bench.src, {"main": 60})
    for i in range(60):
        git("tag", f"t{i}", f"main~{i}", cwd=bench.src)
    bench.good()
    bench.same()
    import_history(bench.src, {"main": 1})
    bench.good()
    bench.same()
    entry = bench.sent("git-upload-pack")[0]
    assert entry["encoding"] == "gzip" and entry["bytes"] < 61 * 50 * 0.6


@pytest.mark.parametrize("status", [400, 415])
def test_server_that_takes_no_compressed_requests(bench, status):
    import_history(bench.src, {"main": 60})
    for i in range(60):
        git("branch", f"b{i}", f"main~{i}", cwd=bench.src)

    def plain_only(request):
        if request.headers.get("Content-Encoding"):
            request.handler.answer(status, b"what is gzip?")
            return True
        return False

    bench.server.faults.append(plain_only)
    bench.good(batch=30)
    bench.same()
    sent = bench.sent("git-upload-pack")
    # Only the first try is compressed: the server is remembered for the batches that follow.
    assert [e["encoding"] for e in sent] == ["gzip"] + [None] * (len(sent) - 1) and len(sent) > 2


def test_batch_that_fails(bench):
    """What went through before stays and is told; the failed batch leaves its refs as they were."""
    import_history(bench.src, {"main": 10})
    for i in range(9):
        import_history(bench.src, {f"b{i}": 2})
    number = itertools.count()

    def fault(request):
        if request.method == "POST" and request.service == "git-receive-pack" and next(number) >= 1:
            request.handler.answer(500, b"out of luck")
            return True
        return False

    bench.server.faults.append(fault)
    out = bench.run(batch=4)
    assert out.status == 1 and "out of luck" in out.error
    names = git("for-each-ref", "--format=%(refname)", cwd=bench.dst).decode().split()
    assert names == ["refs/heads/b0", "refs/heads/b1", "refs/heads/b2", "refs/heads/main"]
    git("fsck", "--full", "--no-dangling", cwd=bench.dst)
    event = out.events()[0]
    assert event["created"] == 4 and {f"create {n}" for n in names} <= set(event["changes"] if "changes" in event else event["refs"])
    bench.server.faults.clear()
    bench.good(batch=4)
    bench.same()


def test_destination_ahead_follows_the_source(bench):
    import_history(bench.src, {"main": 4})
    bench.good()
    import_history(bench.dst, {"main": 3})
    bench.good()
    bench.same()


def rewrite(bench):
    """The source's main gets a sibling of its tip; dev moves on."""
    tree = git("rev-parse", "main^{tree}", cwd=bench.src).decode().strip()
    new = git("commit-tree", "-p", "main~1", "-m", "amended", tree, cwd=bench.src).decode().strip()
    git("update-ref", "refs/heads/main", new, cwd=bench.src)
    import_history(bench.src, {"dev": 3})


def test_fast_forward_only(bench):
    import_history(bench.src, {"main": 20, "dev": 3})
    git("tag", "v1", "main", cwd=bench.src)
    bench.good(force="no")
    old = refs(bench.dst)
    rewrite(bench)
    git("tag", "-f", "v1", "main", cwd=bench.src)
    out = bench.run(force="no")
    assert out.status == 1 and "not a fast-forward" in out.error
    now = refs(bench.dst)
    assert now != old  # dev went on
    assert git("rev-parse", "dev", cwd=bench.dst) == git("rev-parse", "dev", cwd=bench.src)
    assert git("rev-parse", "main", cwd=bench.dst) != git("rev-parse", "main", cwd=bench.src)
    assert {r["ref"] for r in out.events()[0]["refused"]} == {"refs/heads/main", "refs/tags/v1"}
    bench.good(force=["main", "tags"])
    bench.same()


def test_fast_forward_over_a_known_path(bench):
    # The commits between old and new are at the destination already, under another name.
    import_history(bench.src, {"main": 30})
    bench.good()
    git("branch", "old", "main~25", cwd=bench.src)
    bench.good()
    git("branch", "-f", "old", "main~2", cwd=bench.src)
    bench.good(force="no")
    bench.same()


def test_one_read_feeds_all(bench):
    others = [bare(pathlib.Path(bench.server.root, f"dst{i}.git")) for i in range(3)]
    import_history(bench.src, {"main": 20, "dev": 5})
    to = [f"{bench.server.url}/dst{i}.git" for i in range(3)]
    bench.good(to=to)
    for path in others:
        bench.same(path)
    assert len(bench.sent("git-upload-pack")) == 1 and len(bench.sent("git-receive-pack")) == 3
    import_history(bench.src, {"main": 5})
    bench.good(to=to + [f"{bench.server.url}/dst.git"])
    for path in [*others, bench.dst]:
        bench.same(path)
    assert len(bench.sent("git-upload-pack")) == 2  # the empty one needs another pack


def test_many_repositories_at_once(bench):
    names = [f"app-{i}" for i in range(12)]
    for n in names:
        path = bare(pathlib.Path(bench.server.root, f"{n}.git"))
        import_history(path, {"main": 4, n: 2})
    local = bench.tmp / "backup"
    out = bench.good(from_=f"{bench.server.url}/*.git", to=f"{local}/*.git", repositories=names)
    for n in names:
        assert refs(local / f"{n}.git") == refs(pathlib.Path(bench.server.root, f"{n}.git"))
    assert len(out.events()) == 12
    out = bench.good(from_=f"{bench.server.url}/*.git", to=f"{local}/*.git", repositories=names)
    assert out.result == "unchanged" and len(bench.server.requests()) == 12


def big_blob(path, mib):
    git("fast-import", "--quiet", cwd=path, data=(
        b"commit refs/heads/big\ncommitter t <t@example.org> 1700000000 +0000\ndata 1\nx\n"
        b"M 100644 inline big\ndata %d\n" % (mib << 20) + os.urandom(1 << 20) * mib + b"\n"))


def test_memory_is_constant(bench):
    import_history(bench.src, {"main": 5})
    big_blob(bench.src, 48)
    # It may write no byte to any file: the pack never touches the disk.
    out = bench.good(through=["prlimit", "--fsize=0"])
    bench.same()
    assert bench.sent("git-receive-pack")[0]["chunked"]
    assert SANITIZED or out.rss < RSS_LIMIT_KIB


@pytest.mark.skipif(not BIG, reason="a blob of 1 GiB: MRPIPE_TEST_BIG=1")
def test_one_gibibyte(bench):
    import_history(bench.src, {"main": 3})
    big_blob(bench.src, 1024)
    out = bench.good(through=["prlimit", "--fsize=0"])
    bench.same()
    assert SANITIZED or out.rss < RSS_LIMIT_KIB
    copy = bench.tmp / "copy.git"
    bench.good(to=str(copy))
    bench.same(copy)


def packed(path, ids, n):
    lines = [f"{ids[i % len(ids)]} refs/heads/team-{i % 97}/branch-number-{i:05}\n" for i in range(n)]
    header = "# pack-refs with: sorted \n"
    lines.sort(key=lambda line: line.split()[1])
    pathlib.Path(path, "packed-refs").write_text(header + "".join(lines), encoding="ascii")


@pytest.mark.parametrize("count", [pytest.param(9001, id="9001"), pytest.param(
    50000, id="50000", marks=pytest.mark.skipif(not BIG, reason="takes minutes: MRPIPE_TEST_BIG=1"))])
def test_many_new_refs(bench, count):
    """In batches of 4,000 into an empty repository, and away again but for one."""
    import_history(bench.src, {"main": 40})
    ids = git("rev-list", "main", cwd=bench.src).decode().split()
    packed(bench.src, ids, count)
    git("symbolic-ref", "HEAD", "refs/heads/team-0/branch-number-00000", cwd=bench.src)
    out = bench.good()
    bench.same()
    assert out.events()[0]["created"] == count + 1
    assert len(bench.sent("git-receive-pack")) == out.events()[0]["pushes"] == (count + 4000) // 4000
    assert SANITIZED or out.rss < RSS_LIMIT_KIB
    copy = bench.tmp / "copy.git"
    bench.good(to=str(copy))
    bench.same(copy)


def test_fifty_thousand_refs(bench):
    import_history(bench.src, {"main": 40})
    ids = git("rev-list", "main", cwd=bench.src).decode().split()
    bench.good()
    git("update-ref", "-d", "refs/heads/main", cwd=bench.src)
    git("update-ref", "-d", "refs/heads/main", cwd=bench.dst)
    packed(bench.src, ids, 50000)
    packed(bench.dst, ids, 50000)
    out = bench.good()
    assert out.result == "unchanged" and out.events()[0]["unchanged"] == 50000
    assert SANITIZED or out.rss < RSS_LIMIT_KIB
    import_history(bench.src, {"main": 3})
    git("update-ref", "refs/heads/team-0/branch-number-00000", "main", cwd=bench.src)
    out = bench.good()
    bench.same()
    assert SANITIZED or out.rss < RSS_LIMIT_KIB
