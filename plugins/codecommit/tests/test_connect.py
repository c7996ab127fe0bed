"""A folder has no server that checks what comes: no ref moves unless all that it reaches is there."""

import hashlib
import subprocess
import zlib

import pytest
from conftest import bare, git, import_history, refs

EMPTY_PACK = bytes.fromhex("5041434b0000000200000000") + hashlib.sha1(bytes.fromhex("5041434b0000000200000000")).digest()


def ids(path, *revisions):
    return [line.split()[0] for line in git("rev-list", "--objects", *revisions, cwd=path).decode().splitlines()]


def pack_of(path, names):
    return git("pack-objects", "--stdout", "-q", cwd=path, data="".join(f"{n}\n" for n in names).encode())


def answer_with(bench, pack):
    """The source answers every fetch with this pack."""
    body = b"0008NAK\n"
    for at in range(0, len(pack), 60000):
        piece = pack[at:at + 60000]
        body += b"%04x\x01" % (len(piece) + 5) + piece
    bench.server.faults[:] = [lambda r: setattr(r, "filter", lambda _: body + b"0000") if r.method == "POST" and
                              r.service == "git-upload-pack" else None]


def clean(copy):
    return not list((copy / "objects").glob("tmp_objdir*"))


def write_raw(path, kind, data):
    """An object that git itself would not write."""
    body = b"%s %d\0" % (kind, len(data)) + data
    name = hashlib.sha1(body).hexdigest()
    file = path / "objects" / name[:2] / name[2:]
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(zlib.compress(body))
    return name


@pytest.mark.parametrize("victim", ["main^{tree}", "main:dir1", "main:dir2/main-4", "main~2", "main~3^{tree}", "v1"])
@pytest.mark.parametrize("first", [True, False], ids=["full", "update"])
def test_incomplete_pack(bench, victim, first):
    copy = bench.tmp / "copy.git"
    import_history(bench.src, {"main": 8})
    if not first:
        bench.good(to=str(copy))
        import_history(bench.src, {"main": 4})
        victim = victim.replace("main-4", "main-3")
    git("tag", "-a", "-m", "x", "v1", "main~1", cwd=bench.src)
    git("tag", "-a", "-m", "x", "nested", "v1", cwd=bench.src)
    git("tag", "-d", "v1", cwd=bench.src) if victim != "v1" else None
    gone = git("rev-parse", victim, cwd=bench.src).decode().strip()
    before = refs(copy) if not first else b""
    names = ids(bench.src, "--all", *([] if first else ["--not", "main~4"]))
    assert gone in names
    good = pack_of(bench.src, names)
    answer_with(bench, pack_of(bench.src, [n for n in names if n != gone]))
    out = bench.run(to=str(copy))
    assert out.status == 1 and (gone in out.error or "did not come along" in str(out.events())), out.error + out.stderr
    assert refs(copy) == before and clean(copy)
    assert first or not list((copy / "objects" / "pack").glob("*.idx")) or git("fsck", "--full", cwd=copy) is not None
    answer_with(bench, good)
    bench.good(to=str(copy))
    bench.same(copy)
    assert clean(copy)


def test_more_than_the_refs_need(bench):
    """A loose end that no ref reaches does not matter."""
    copy = bench.tmp / "copy.git"
    import_history(bench.src, {"main": 4})
    names = ids(bench.src, "--all")
    blob = git("hash-object", "-w", "--stdin", cwd=bench.src, data=b"nobody needs this").decode().strip()
    tree = git("mktree", cwd=bench.src, data=f"100644 blob {blob}\tx\n".encode()).decode().strip()
    loose = git("commit-tree", "-m", "x", tree, cwd=bench.src).decode().strip()
    answer_with(bench, pack_of(bench.src, [*names, loose]))
    bench.good(to=str(copy))
    assert refs(copy) == refs(bench.src)
    assert b"missing" not in subprocess.run(["git", "rev-list", "--objects", "--all"], cwd=copy, check=True,
                                            capture_output=True).stderr


@pytest.mark.parametrize("whole", [True, False])
def test_objects_that_were_there_before(bench, whole):
    """What an earlier, broken fetch left behind is looked through too."""
    copy = bare(bench.tmp / "copy.git")
    import_history(bench.src, {"main": 6})
    names = ids(bench.src, "--all")
    left = names if whole else [n for n in names if n != git("rev-parse", "main~3:dir0", cwd=bench.src).decode().strip()]
    git("unpack-objects", "-q", cwd=copy, data=pack_of(bench.src, left))
    answer_with(bench, EMPTY_PACK)
    out = bench.run(to=str(copy))
    assert (out.status == 0) is whole, out.error
    assert refs(copy) == (refs(bench.src) if whole else b"")
    if whole:
        bench.same(copy)


def test_objects_of_the_wrong_kind(bench):
    copy = bench.tmp / "copy.git"
    import_history(bench.src, {"main": 3})
    names = ids(bench.src, "--all")
    tree = git("rev-parse", "main:dir0", cwd=bench.src).decode().strip()
    blob = git("rev-parse", "main:dir0/main-2", cwd=bench.src).decode().strip()
    for entry in (b"100644 x\0" + bytes.fromhex(tree), b"40000 x\0" + bytes.fromhex(blob), b"100644 cut\0abc"):
        bad = write_raw(bench.src, b"tree", entry)
        who = b"t <t@example.org> 1700000000 +0000"
        commit = write_raw(bench.src, b"commit", b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (bad.encode(), who, who))
        git("update-ref", "refs/heads/bad", commit, cwd=bench.src)
        answer_with(bench, pack_of(bench.src, [*names, bad, commit]))
        out = bench.run(to=str(copy))
        assert out.status == 1 and refs(copy) == b"" and clean(copy), out.error


def test_new_branches_on_old_commits(bench):
    """No pack is needed, or one that begins in the middle of what is there."""
    copy = bench.tmp / "copy.git"
    import_history(bench.src, {"main": 20, "dev": 3})
    bench.good(to=str(copy))
    git("branch", "twin", "main", cwd=bench.src)
    git("branch", "old", "main~15", cwd=bench.src)
    tree = git("rev-parse", "dev~1^{tree}", cwd=bench.src).decode().strip()
    merge = git("commit-tree", "-p", "main~9", "-p", "dev~1", "-m", "merge", tree, cwd=bench.src).decode().strip()
    git("branch", "merge", merge, cwd=bench.src)
    bench.good(to=str(copy))
    bench.same(copy)
    import_history(bench.src, {"main": 4, "merge": 3})
    git("tag", "-a", "-m", "x", "whole", "main~12^{tree}", cwd=bench.src)
    bench.good(to=str(copy), batch=1)
    bench.same(copy)


def test_submodules_are_not_looked_for(bench):
    copy = bench.tmp / "copy.git"
    import_history(bench.src, {"main": 2})
    blob = git("hash-object", "-w", "--stdin", cwd=bench.src, data=b"x").decode().strip()
    tree = git("mktree", "--missing", cwd=bench.src,
               data=f"160000 commit {'ab' * 20}\tother\n100644 blob {blob}\tx\n".encode()).decode().strip()
    commit = git("commit-tree", "-p", "main", "-m", "m", tree, cwd=bench.src).decode().strip()
    git("update-ref", "refs/heads/main", commit, cwd=bench.src)
    bench.good(to=str(copy))
    bench.same(copy)
