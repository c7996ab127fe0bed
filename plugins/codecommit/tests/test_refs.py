"""Refs of every kind: names, tags of anything, empty ends, selection, the guard before deletes."""

import pytest
from conftest import git, import_history, refs


def test_tags_of_everything(bench):
    import_history(bench.src, {"main": 3})
    blob = git("hash-object", "-w", "--stdin", cwd=bench.src, data=b"only a tag keeps this").decode().strip()
    tree = git("mktree", cwd=bench.src, data=f"100644 blob {blob}\tfile\n".encode()).decode().strip()
    git("tag", "-a", "-m", "x", "on-commit", "main", cwd=bench.src)
    git("tag", "-a", "-m", "x", "on-tag", "on-commit", cwd=bench.src)
    git("tag", "-a", "-m", "x", "on-tag-of-tag", "on-tag", cwd=bench.src)
    git("tag", "-a", "-m", "x", "on-blob", blob, cwd=bench.src)
    git("tag", "-a", "-m", "x", "on-tree", tree, cwd=bench.src)
    git("tag", "plain-blob", blob, cwd=bench.src)
    git("tag", "plain-tree", tree, cwd=bench.src)
    bench.good()
    bench.same()
    assert git("cat-file", "-p", "plain-blob", cwd=bench.dst) == b"only a tag keeps this"


def test_notes_and_other_refs_by_pattern(bench):
    import_history(bench.src, {"main": 3})
    git("notes", "add", "-m", "note", "main", cwd=bench.src)
    git("update-ref", "refs/pull/7/head", "main~1", cwd=bench.src)
    bench.good()
    assert b"refs/notes" not in refs(bench.dst) and b"refs/pull" not in refs(bench.dst)
    bench.good(refs=["heads", "tags", "refs/notes/*"])
    assert b"refs/notes/commits" in refs(bench.dst) and b"refs/pull" not in refs(bench.dst)
    bench.good(refs="all")
    bench.same()
    bench.good(refs="all", exclude=["refs/pull/*"])  # what takes no part is not deleted either
    bench.same()


def test_unusual_names(bench):
    import_history(bench.src, {"main": 2})
    names = ["refs/heads/Feature", "refs/heads/feature", "refs/heads/FEATURE", "refs/heads/ünïcode/ブランチ",
             "refs/heads/a@b", "refs/heads/quote'\"$(x)`;&|<>", "refs/tags/100%", "refs/heads/" + "long-" * 40,
             "refs/heads/-dash", "refs/heads/HEAD"]
    lines = [b"create %s %s\n" % (n.encode(), git("rev-parse", "main", cwd=bench.src).strip()) for n in names]
    lines.append(b"create refs/heads/latin-\xe9\xff %s\n" % git("rev-parse", "main~1", cwd=bench.src).strip())
    git("update-ref", "--stdin", cwd=bench.src, data=b"".join(lines))
    out = bench.good()
    bench.same()
    assert b"latin-\xe9\xff" in refs(bench.dst)
    assert any("latin-%E9%FF" in c for c in out.changes())
    git("update-ref", "--stdin", cwd=bench.src, data=b"delete refs/heads/latin-\xe9\xff\n")
    bench.good()
    bench.same()


def test_empty_source_never_empties_the_destination(bench):
    import_history(bench.dst, {"main": 3, "dev": 1})
    before = refs(bench.dst)
    out = bench.run()
    assert out.status == 1 and "no refs" in out.error and "prune-limit" in out.hint
    assert refs(bench.dst) == before and not bench.sent("git-receive-pack")
    git("config", "receive.denyDeleteCurrent", "ignore", cwd=bench.dst)
    bench.good(prune_limit="all")
    assert refs(bench.dst) == b""


def test_empty_to_empty(bench):
    out = bench.good()
    assert out.result == "unchanged" and len(bench.server.requests()) == 2


def test_guard_against_many_deletes(bench):
    import_history(bench.src, {"main": 1, **{f"b{i}": 1 for i in range(9)}})
    bench.good()
    for i in range(6):
        git("branch", "-D", f"b{i}", cwd=bench.src)
    before = refs(bench.dst)
    out = bench.run()
    assert out.status == 1 and "6 of the destination's 10 refs" in out.error
    assert refs(bench.dst) == before
    assert bench.run(prune_limit="5").status == 1
    bench.good(prune=False)
    assert refs(bench.dst) == before
    bench.good(prune_limit="6")
    bench.same()
    git("branch", "-D", "b6", "b7", cwd=bench.src)
    bench.good()  # half is allowed
    bench.same()


@pytest.mark.parametrize("head", ["unborn", "detached"])
def test_heads_of_every_kind(bench, head):
    import_history(bench.src, {"main": 3, "dev": 1})
    if head == "unborn":
        git("symbolic-ref", "HEAD", "refs/heads/nowhere", cwd=bench.src)
    else:
        git("update-ref", "--no-deref", "HEAD", "main~1", cwd=bench.src)
    bench.good()
    bench.same()


def test_patterns_of_short_names(bench):
    import_history(bench.src, {"main": 2, "release/1": 1, "release/2": 1, "topic": 1})
    git("tag", "v1", "main", cwd=bench.src)
    git("tag", "x1", "main", cwd=bench.src)
    bench.good(refs=["main", "release/*", "v*"], exclude="release/2")
    names = git("for-each-ref", "--format=%(refname)", cwd=bench.dst).decode().split()
    assert names == ["refs/heads/main", "refs/heads/release/1", "refs/tags/v1"]


def test_lfs_pointers_are_told(bench):
    import_history(bench.src, {"main": 2})
    assert "LFS" not in bench.good().logs()
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a" * 16 + "\nsize 12345\n"
    git("fast-import", "--quiet", cwd=bench.src, data=(
        "commit refs/heads/lfs\ncommitter t <t@example.org> 1700000000 +0000\ndata 1\nx\n"
        f"M 100644 inline big.bin\ndata {len(text)}\n{text}\n").encode())
    assert "1 Git LFS pointers" in bench.good().logs()


def test_shallow_source_is_refused(bench):
    import_history(bench.src, {"main": 5})
    shallow = bench.tmp / "root" / "shallow.git"
    git("clone", "-q", "--bare", "--depth", "2", f"file://{bench.src}", str(shallow))
    out = bench.run(from_=f"{bench.server.url}/shallow.git")
    assert out.status == 1 and "shallow" in out.error and "unshallow" in out.hint
    out = bench.run(from_=str(shallow))
    assert out.status == 1 and "shallow" in out.error
    assert refs(bench.dst) == b"" and not bench.sent("git-receive-pack")


def test_sha256_source_is_refused(bench):
    other = bench.tmp / "root" / "sha256.git"
    git("init", "-q", "--bare", "--object-format=sha256", "-b", "main", str(other))
    import_history(other, {"main": 1})
    out = bench.run(from_=f"{bench.server.url}/sha256.git")
    assert out.status == 1 and "SHA-256" in out.error
    out = bench.run(from_=str(other))
    assert out.status == 1 and "SHA-256" in out.error
    import_history(bench.src, {"main": 1})
    for to in (f"{bench.server.url}/sha256.git", str(other)):
        out = bench.run(to=to)
        assert out.status == 1 and "SHA-256" in out.error
    assert refs(bench.dst) == b"" and not bench.sent("git-receive-pack")
