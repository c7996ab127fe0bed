"""Servers that refuse, break, lie or move: no ref changes unless all is right."""

import itertools
import stat

import pytest
from conftest import Bench, faults_once, git, import_history, refs
from gitserver import GitServer


def hook(path, name, text):
    file = path / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("atomic", [False, True])
def test_hook_refuses_one_ref(bench, atomic):
    import_history(bench.src, {"main": 3, "dev": 1})
    git("tag", "locked", "main", cwd=bench.src)
    hook(bench.dst, "update", 'if [ "$1" = refs/tags/locked ]; then echo "locked by policy 7"; exit 1; fi\n')
    out = bench.run(atomic=atomic)
    assert out.status == 1 and out.code == "conflict"
    names = git("for-each-ref", "--format=%(refname)", cwd=bench.dst).decode().split()
    assert names == ([] if atomic else ["refs/heads/dev", "refs/heads/main"])
    git("fsck", "--full", "--no-dangling", cwd=bench.dst)
    refused = {r["ref"]: r["reason"] for r in out.events()[0]["refused"]}
    assert "hook declined" in refused["refs/tags/locked"]
    assert "refs/tags/locked" in out.error or atomic


def test_ref_that_moves_meanwhile_is_read_again(bench):
    import_history(bench.src, {"main": 5})
    bench.good()
    import_history(bench.src, {"main": 2})

    faults_once(bench, "git-receive-pack", lambda r: import_history(bench.dst, {"main": 1}))
    bench.good()
    bench.same()
    assert len(bench.sent("git-receive-pack")) == 2


def test_ref_that_always_moves_ends_in_words(bench):
    import_history(bench.src, {"main": 5})
    bench.good()
    import_history(bench.src, {"main": 2})
    number = itertools.count()

    def always(request):
        if request.method == "POST" and request.service == "git-receive-pack":
            new = git("commit-tree", "-m", f"{next(number)}", "main^{tree}", cwd=bench.dst).decode().strip()
            git("update-ref", "refs/heads/main", new, cwd=bench.dst)

    bench.server.faults.append(always)
    out = bench.run()
    assert out.status == 1 and out.code == "conflict"
    assert len(bench.sent("git-receive-pack")) == 3


def test_source_that_moves_meanwhile(bench):
    import_history(bench.src, {"main": 5})

    def move(request):
        import_history(bench.src, {"other": 1})
        git("update-ref", "refs/heads/main", "other", cwd=bench.src)

    faults_once(bench, "git-upload-pack", move)
    bench.good()
    bench.same()


@pytest.mark.parametrize("method, service", [("GET", "git-upload-pack"), ("GET", "git-receive-pack"),
                                             ("POST", "git-upload-pack"), ("POST", "git-receive-pack")])
@pytest.mark.parametrize("status", [429, 503])
def test_throttling_is_waited_out(bench, method, service, status):
    import_history(bench.src, {"main": 3})

    def throttle(request):
        request.handler.answer(status, b"Rate Exceeded", [("Retry-After", "0")])
        return True

    faults_once(bench, service, throttle, method)
    bench.good()
    bench.same()


@pytest.mark.parametrize("status, code", [(403, "auth"), (401, "auth"), (404, "not-found"), (500, "remote")])
def test_refusals_name_the_reason(bench, status, code):
    import_history(bench.src, {"main": 3})

    def refuse(request):
        if request.service == "git-receive-pack":
            request.handler.answer(status, b"no such luck")
            return True
        return False

    bench.server.faults.append(refuse)
    out = bench.run(env={"HOME": str(bench.tmp), "GIT_CONFIG_NOSYSTEM": "1"})
    assert out.status == 1 and str(status) in out.error and "no such luck" in out.error
    assert out.code == code
    assert refs(bench.dst) == b"" and not bench.sent("git-upload-pack")


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_refusals_after_the_lists(bench, status, service):
    """The lists were given; fetching or pushing is not allowed."""
    import_history(bench.src, {"main": 3})
    bench.good()
    before = refs(bench.dst)
    import_history(bench.src, {"main": 2})

    def refuse(request):
        if request.service == service and request.method == "POST":
            request.handler.answer(status, b"no such luck")
            return True
        return False

    bench.server.faults.append(refuse)
    out = bench.run(env={"HOME": str(bench.tmp), "GIT_CONFIG_NOSYSTEM": "1"})
    assert out.status == 1 and out.code == "auth" and "no such luck" in out.error
    assert refs(bench.dst) == before
    git("fsck", "--full", "--no-dangling", cwd=bench.dst)


def banded_to_plain(body):
    """What servers answer that ignore side-band: the nested lines alone."""
    out, rest = b"", body
    while rest:
        n = int(rest[:4], 16)
        if n == 0:
            break
        if rest[4:5] == b"\x01":
            out += rest[5:n]
        rest = rest[n:]
    return out


def test_report_without_bands(bench):
    import_history(bench.src, {"main": 3})
    hook(bench.dst, "update", 'case "$1" in refs/tags/*) exit 1;; esac\n')
    git("tag", "no", "main", cwd=bench.src)
    bench.server.faults.append(lambda r: setattr(r, "filter", banded_to_plain) if r.method == "POST" and
                               r.service == "git-receive-pack" else None)
    out = bench.run()
    assert out.status == 1 and "hook declined" in out.error
    assert git("rev-parse", "main", cwd=bench.dst) == git("rev-parse", "main", cwd=bench.src)


def without(*caps):
    def change(body):
        lines, rest = [], body
        while rest:
            n = int(rest[:4], 16)
            line, rest = (rest[4:n], rest[n:]) if n else (None, rest[4:])
            if line and b"\0" in line:
                head, _, tail = line.partition(b"\0")
                words = [w for w in tail.split() if not any(w.startswith(c.encode()) for c in caps)]
                line = head + b"\0" + b" ".join(words) + b"\n"
            lines.append(b"0000" if line is None else b"%04x" % (len(line) + 4) + line)
        return b"".join(lines)

    return change


@pytest.mark.parametrize("caps", [("side-band",), ("side-band", "report-status", "quiet", "agent"),
                                  ("ofs-delta", "thin-pack", "no-progress", "object-format")])
def test_poor_servers(bench, caps):
    import_history(bench.src, {"main": 8, "dev": 2})
    bench.server.faults.append(lambda r: setattr(r, "filter", without(*caps)) if r.method == "GET" else None)
    bench.good()
    bench.same()
    import_history(bench.src, {"main": 3})
    bench.good()
    bench.same()


def pkt(text):
    return b"%04x" % (len(text) + 4) + text


def test_thin_pack_refused(bench):
    import_history(bench.src, {"main": 8})
    bench.good()
    import_history(bench.src, {"main": 1})
    asked = []

    def fault(request):
        if request.method == "POST" and request.service == "git-upload-pack":
            asked.append(request)
        if request.method == "POST" and request.service == "git-receive-pack" and len(asked) == 1:
            inner = pkt(b"unpack index-pack abnormal exit\n") + pkt(b"ng refs/heads/main unpacker error\n") + b"0000"
            request.handler.answer(200, pkt(b"\x02error: unresolved deltas\n") + pkt(b"\x01" + inner) + b"0000",
                                   [("Content-Type", "application/x-git-receive-pack-result")])
            return True
        return False

    bench.server.faults.append(fault)
    bench.good()
    bench.same()
    first, second = bench.sent("git-upload-pack")
    assert second["bytes"] == first["bytes"] - len(" thin-pack")


def test_hostile_names_are_left_out(bench):
    import_history(bench.src, {"main": 2})
    tip = git("rev-parse", "main", cwd=bench.src).strip()

    def evil(body):
        bad = b"".join(pkt(tip + b" " + n + b"\n") for n in (b"refs/heads/../../evil", b"refs/heads/a\tb", b"../x"))
        return body[:-4] + bad + b"0000"

    bench.server.faults.append(lambda r: setattr(r, "filter", evil) if r.method == "GET" and
                               r.service == "git-upload-pack" else None)
    out = bench.good(to=str(bench.tmp / "copy.git"))
    assert "could not be mirrored" in out.logs()
    assert git("for-each-ref", "--format=%(refname)", cwd=bench.tmp / "copy.git").split() == [b"refs/heads/main"]


def test_not_a_git_server(bench):
    bench.server.faults.append(lambda r: (r.handler.answer(200, b"<html>", [("Content-Type", "text/html")]), True)[1])
    out = bench.run()
    assert out.status == 1 and "text/html" in out.error


def test_missing_repository(bench):
    out = bench.run(from_=f"{bench.server.url}/nowhere.git")
    assert out.status == 1 and "nowhere" in out.error and "404" in out.error


def test_redirected_repository(bench):
    import_history(bench.src, {"main": 3})

    def moved(request):
        if request.path.startswith("/old.git"):
            request.handler.answer(301, b"", [("Location", f"{bench.server.url}/src.git/info/refs?{request.query}")])
            return True
        return False

    bench.server.faults.append(moved)
    bench.good(from_=f"{bench.server.url}/old.git")
    bench.same()


def test_logins(tmp_path):
    with GitServer(tmp_path / "root", login="me:se cret:x") as server:
        bench = Bench(tmp_path, server)
        import_history(bench.src, {"main": 3})
        home = tmp_path / "home"
        home.mkdir()
        env = {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
        out = bench.run(env=env)
        assert out.status == 1 and out.code == "auth" and "401" in out.error
        good = {f"{end}_{what}": value for end in ("from", "to")
                for what, value in (("username", "me"), ("password", "se cret:x"))}
        bench.good(env=env, **good)
        bench.same()
        assert all(e["status"] == 200 for e in server.requests())  # sent at once, no 401 round
        wrong = dict(good, to_password="no")
        assert bench.run(env=env, **wrong).code == "auth"
        # in the URL
        host = server.url[7:]
        out = bench.run(env=env, from_=f"http://me:se%20cret%3Ax@{host}/src.git",
                        to=f"http://me:se%20cret%3Ax@{host}/dst.git")
        assert out.status == 0 and "se%20cret" not in out.text.replace('"secret"', "")
        # from a helper
        (home / ".gitconfig").write_text("[credential]\n\thelper = \"!f() { if [ $1 = get ]; then echo username=me; "
                                         "echo 'password=se cret:x'; else cat >> ~/told; echo $1 >> ~/told; fi; }; f\"\n")
        import_history(bench.src, {"main": 1})
        out = bench.run(env=env)
        assert out.status == 0, out.error
        bench.same()
        assert "store" in (home / "told").read_text()


def test_bearer_token(tmp_path):
    with GitServer(tmp_path / "root") as server:
        bench = Bench(tmp_path, server)
        import_history(bench.src, {"main": 3})
        server.login = "Bearer tok-123456"
        bench.good(from_token="tok-123456", to_token="tok-123456")
        bench.same()
