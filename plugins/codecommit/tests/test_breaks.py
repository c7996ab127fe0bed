"""Sources that break off, in the middle of a pack or of a list: no ref changes."""

import os

import pytest
from conftest import faults_once, git, import_history, refs


def test_source_that_breaks_at_any_byte_changes_nothing(bench):
    import_history(bench.src, {"main": 6}, files=1)
    bench.good()
    import_history(bench.src, {"main": 1})
    before = refs(bench.dst)
    for kind, places in (("cut_answer", [0, 3, 4, 9, 12, 13, 20, 33, 100, 250]), ("damage_answer", [60, 150, 250])):
        for at in places:
            bench.server.faults[:] = [lambda r, kind=kind, at=at: setattr(r, kind, at) if
                                      r.service == "git-upload-pack" and r.method == "POST" else None]
            assert bench.run().status == 1, (kind, at)
            assert refs(bench.dst) == before, (kind, at)
    bench.server.faults.clear()
    bench.good()
    bench.same()


def test_large_break_after_a_megabyte(bench):
    git("fast-import", "--quiet", cwd=bench.src, data=(
        b"commit refs/heads/main\ncommitter t <t@example.org> 1700000000 +0000\ndata 1\nx\n"
        b"M 100644 inline big\ndata %d\n" % (4 << 20) + os.urandom(4 << 20) + b"\n"))
    faults_once(bench, "git-upload-pack", lambda r: setattr(r, "cut_answer", 1 << 20))
    bench.good()  # the second try
    bench.same()
    git("update-ref", "-d", "refs/heads/main", cwd=bench.dst)
    bench.server.faults[:] = [lambda r: setattr(r, "cut_answer", 1 << 20) if r.service == "git-upload-pack" and
                              r.method == "POST" else None]
    out = bench.run()
    assert out.status == 1 and refs(bench.dst) == b""
    assert len(bench.sent("git-receive-pack")) == 3


@pytest.mark.parametrize("method, service", [("GET", "git-upload-pack"), ("GET", "git-receive-pack")])
def test_list_that_is_cut_deletes_nothing(bench, method, service):
    import_history(bench.src, {"main": 2, "a": 1, "b": 1, "c": 1})
    bench.good()
    before = refs(bench.dst)
    bench.server.faults.append(lambda r: setattr(r, "filter", lambda body: body[:-60]) if
                               r.method == method and r.service == service else None)
    out = bench.run()
    assert out.status == 1 and refs(bench.dst) == before
    assert not bench.sent("git-receive-pack")
