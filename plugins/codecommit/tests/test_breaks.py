"""Sources that break off, in the middle of a pack or of a list: no ref changes."""

import os

import pytest
from conftest import BIG, bare, faults_once, git, import_history, refs


def in_one_packet(body):
    """The same answer whatever the server's timing: how many packets it makes of a pack differs."""
    start, pack, rest = body[:int(body[:4], 16)], b"", body[int(body[:4], 16):]
    while (n := int(rest[:4], 16)) > 0:
        pack += rest[5:n]
        rest = rest[n:]
    return start + b"%04x\x01" % (len(pack) + 5) + pack + b"0000"


@pytest.mark.parametrize("end", ["server", "folder"])
def test_source_that_breaks_at_any_byte_changes_nothing(bench, end):
    import_history(bench.src, {"main": 6}, files=1)
    twin, copy = bare(bench.tmp / "root" / "twin.git"), bench.tmp / "copy.git"
    target, options = (bench.dst, {}) if end == "server" else (copy, {"to": str(copy)})
    sizes = []

    def whole(body):
        sizes.append(len(in_one_packet(body)))
        return in_one_packet(body)

    def change(kind=None, at=None):
        def fault(request):
            if request.service == "git-upload-pack" and request.method == "POST":
                request.filter = whole
                setattr(request, kind or "nothing", at)

        bench.server.faults[:] = [fault]

    change()
    for to in (options, {"to": f"{bench.server.url}/twin.git"}):
        bench.good(**to)
    import_history(bench.src, {"main": 1}, files=1)
    bench.good(to=f"{bench.server.url}/twin.git")
    size = sizes[-1]
    assert size > 300 and refs(twin) != refs(target)
    before = refs(target)
    # The line with an ACK, the packets of the pack with its trailer, a flush.
    pack = 49 + 5
    cuts = range(size) if BIG else [0, 8, 30, pack + 3, pack + 40, size - 24, size - 4, size - 1]
    damages = range(49, size - 4) if BIG else [pack - 1, pack + 6, size - 24, size - 5]
    for kind, places in (("cut_answer", cuts), ("damage_answer", damages)):
        for at in places:
            change(kind, at)
            assert bench.run(**options).status == 1 and sizes[-1] == size, (kind, at, size)
            assert refs(target) == before, (kind, at)
    change()
    git("fsck", "--full", cwd=target)
    bench.good(**options)
    bench.same(target)


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
