"""Ends that are not HTTP servers: local repositories, bundles, ssh, and libgit2's own HTTP."""

import itertools
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
from conftest import bare, git, import_history, refs


def grow(path):
    import_history(path, {"main": 12, "dev": 4})
    git("tag", "-a", "-m", "t", "v1", "main~3", cwd=path)
    git("tag", "light", "dev", cwd=path)


def test_backup_to_a_folder_and_back(bench):
    grow(bench.src)
    copy = bench.tmp / "deep" / "backup.git"
    out = bench.good(to=str(copy))
    assert out.result == "changed" and out.events()[0]["repository-created"]
    bench.same(copy)
    assert git("symbolic-ref", "HEAD", cwd=copy).strip() == b"refs/heads/main"
    assert bench.good(to=str(copy)).result == "unchanged"
    import_history(bench.src, {"main": 5})
    git("branch", "-D", "dev", cwd=bench.src)
    git("update-ref", "refs/heads/dev/a", "main~1", cwd=bench.src)
    git("tag", "-f", "v1", "main", cwd=bench.src)
    out = bench.good(to=str(copy))
    bench.same(copy)
    assert len(bench.sent("git-upload-pack")) == 1
    # and back into another, empty server repository
    bench.good(from_=str(copy))
    bench.same()
    import_history(copy, {"main": 2})
    bench.good(from_=str(copy))
    assert refs(bench.dst) == refs(copy)


def test_many_refs_to_a_folder(bench):
    import_history(bench.src, {"main": 30})
    for i in range(60):
        git("tag", f"t{i}", f"main~{i % 30}", cwd=bench.src)
    copy = bench.tmp / "backup.git"
    bench.good(to=str(copy))
    bench.same(copy)
    assert (copy / "packed-refs").exists()
    git("tag", "-d", *[f"t{i}" for i in range(20)], cwd=bench.src)
    bench.good(to=str(copy))
    bench.same(copy)


@pytest.mark.parametrize("atomic", [False, True])
def test_folder_that_is_locked(bench, atomic):
    grow(bench.src)
    copy = bare(bench.tmp / "copy.git")
    (copy / "refs" / "heads" / "dev.lock").write_text("")
    out = bench.run(to=str(copy), atomic=atomic)
    assert out.status == 1 and "refs/heads/dev" in json.dumps(out.events()[0]["refused"])
    assert (b"refs/heads/main" in refs(copy)) is not atomic
    (copy / "refs" / "heads" / "dev.lock").unlink()
    bench.good(to=str(copy), atomic=atomic)
    bench.same(copy)


def test_working_copy_is_refused(bench):
    grow(bench.src)
    work = bench.tmp / "work"
    git("init", "-q", str(work))
    out = bench.run(to=str(work))
    assert out.status == 1 and "bare" in out.error
    other = bench.tmp / "stuff"
    other.mkdir()
    (other / "file").write_text("precious")
    assert bench.run(to=str(other)).status == 1
    assert (other / "file").read_text() == "precious"


def test_folder_to_folder(bench):
    grow(bench.src)
    git("tag", "-a", "-m", "t", "deep", "v1", cwd=bench.src)
    copy = bench.tmp / "copy.git"
    bench.good(from_=str(bench.src), to=str(copy))
    bench.same(copy)
    rewritten = git("commit-tree", "-p", "main~1", "-m", "x", "main^{tree}", cwd=bench.src).decode().strip()
    import_history(bench.src, {"dev": 2})
    git("update-ref", "refs/heads/main", rewritten, cwd=bench.src)
    assert bench.run(from_=str(bench.src), to=str(copy), force="no").status == 1
    bench.good(from_=str(bench.src), to=str(copy))
    bench.same(copy)
    assert not bench.server.requests()


def test_broken_source_leaves_the_folder_alone(bench):
    grow(bench.src)
    copy = bench.tmp / "copy.git"
    bench.server.faults.append(lambda r: setattr(r, "damage_answer", 300) if r.method == "POST" else None)
    assert bench.run(to=str(copy)).status == 1
    assert refs(copy) == b""


def test_bundles(bench):
    grow(bench.src)
    bundle = bench.tmp / "backup.bundle"
    assert bench.good(to=str(bundle)).result == "changed"
    git("bundle", "verify", str(bundle), cwd=bench.src)
    git("clone", "-q", "--mirror", str(bundle), str(bench.tmp / "clone.git"))
    assert refs(bench.tmp / "clone.git") == refs(bench.src)
    before = bundle.stat().st_mtime_ns
    assert bench.good(to=str(bundle)).result == "unchanged"
    assert bundle.stat().st_mtime_ns == before
    import_history(bench.src, {"main": 2})
    bench.good(to=str(bundle))
    bench.good(from_=str(bundle))
    bench.same()
    own = bench.tmp / "own.bundle"
    import_history(bench.src, {"new": 3})
    git("bundle", "create", "-q", str(own), "--all", cwd=bench.src)
    bench.good(from_=str(own))
    bench.same()
    thin = bench.tmp / "thin.bundle"
    import_history(bench.src, {"main": 3})
    git("bundle", "create", "-q", str(thin), "main~1..main", cwd=bench.src)
    out = bench.run(from_=str(thin), prune=False)
    assert out.status == 1 and "builds on commit" in out.error
    (bench.tmp / "odd.bundle").write_text("# v2 git bundle\nnonsense\n\n")
    assert "no git bundle" in bench.run(from_=str(bench.tmp / "odd.bundle")).error


def test_a_bundle_that_does_not_fit(bench):
    """The cause is told, also when it was met long before the end, and no half file stays."""
    body = os.urandom(3 << 20)
    head = b"commit refs/heads/main\ncommitter t <t@example.org> 1700000000 +0000\ndata 0\n"
    git("fast-import", "--quiet", cwd=bench.src, data=head + b"M 100644 inline f\ndata %d\n%s\n" % (len(body), body))
    small = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200000,) * 2); os.execv(sys.argv[1], sys.argv[1:])"
    folder = bench.tmp / "full"
    folder.mkdir()
    out = bench.run(to=str(folder / "x.bundle"), through=(sys.executable, "-c", small))
    assert out.status == 1 and "File too large" in out.error, out.error
    assert not list(folder.iterdir())


def test_libgit2_transport(bench):
    grow(bench.src)
    bench.good(transport="libgit2")
    bench.same()
    assert bench.good(transport="libgit2").result == "unchanged"
    import_history(bench.src, {"main": 3})
    bench.good(transport="libgit2")
    bench.same()
    out = bench.run(transport="libgit2", from_=f"{bench.server.url}/nowhere.git")
    assert out.status == 1 and out.code == "not-found", out.code
    bench.server.login = "Bearer tok-123456"
    assert bench.run(transport="libgit2", env={"HOME": str(bench.tmp)}).code == "auth"
    bench.good(transport="libgit2", from_token="tok-123456", to_token="tok-123456")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("name", ["app-404", "app-401", "authenticate"])
def test_a_name_is_no_status(bench, name):
    """A server that is down is one, whatever the repository is called."""
    out = bench.run(transport="libgit2", from_=f"http://127.0.0.1:{free_port()}/{name}.git")
    assert out.status == 1 and out.code == "net", (out.code, out.error)


@pytest.fixture
def sshd(tmp_path):
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if not program or os.geteuid() != 0:
        pytest.skip("needs sshd, and root to run it for any user")
    os.makedirs("/run/sshd", exist_ok=True)
    home, port = tmp_path / "home", free_port()
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for key in (tmp_path / "host", home / ".ssh" / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shutil.copy(home / ".ssh" / "id_ed25519.pub", tmp_path / "authorized")
    (tmp_path / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {tmp_path}/authorized\nPidFile none\nSetEnv GIT_CONFIG_COUNT=1 "
        "GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n")
    daemon = subprocess.Popen([program, "-f", str(tmp_path / "sshd.conf"), "-D", "-E", str(tmp_path / "log")])
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert daemon.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
    public = (tmp_path / "host.pub").read_text().split()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    yield f"ssh://root@127.0.0.1:{port}", {"HOME": str(home)}
    daemon.terminate()
    daemon.wait()


class Proxy:
    """Before sshd: the first connection gets no byte until `open_first` is set, the others are passed on."""

    def __init__(self, port):
        self.port, self.open_first, self.passed = port, threading.Event(), []
        self.ended = threading.Event()  # one that was passed on
        self.over = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url_port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        for number in itertools.count():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client, number), daemon=True).start()

    def serve(self, client, number):
        if number == 0:
            self.open_first.wait()
        if self.over:
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self.port))
        back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
        back.start()
        self.copy(client, server)
        back.join()
        client.close()
        server.close()
        if number:
            self.ended.set()

    @staticmethod
    def copy(from_, to):
        try:
            while piece := from_.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def two(bench, sshd):
    """Two repositories, and an ssh server whose first connection hangs."""
    url, env = sshd
    proxy = Proxy(int(url.rsplit(":", 1)[1]))
    known = pathlib.Path(env["HOME"], ".ssh", "known_hosts")
    known.write_text(known.read_text() + known.read_text().replace(f":{proxy.port} ", f":{proxy.url_port} "))
    for name in ("a", "b"):
        import_history(bare(bench.tmp / "root" / f"{name}.git"), {"main": 3, name: 1})
        bare(bench.tmp / f"{name}.git")
    options = {"from_": f"{bench.server.url}/*.git", "to": f"ssh://root@127.0.0.1:{proxy.url_port}{bench.tmp}/*.git",
               "repositories": ["a", "b"], "env": env}
    yield proxy, options
    proxy.over = True
    proxy.open_first.set()
    proxy.listener.close()


def test_slow_ssh_holds_nobody_up(bench, two):
    proxy, options = two
    # The first goes on only when the second is through with everything.
    threading.Thread(target=lambda: (proxy.ended.wait(), proxy.open_first.set()), daemon=True).start()
    bench.good(**options)
    for name in ("a", "b"):
        assert refs(bench.tmp / f"{name}.git") == refs(bench.tmp / "root" / f"{name}.git")
        git("fsck", "--full", cwd=bench.tmp / f"{name}.git")


def test_silent_ssh_is_given_up(bench, two):
    _, options = two
    out = bench.run(stall_timeout="1s", **dict(options, repositories=["a"]))
    assert out.status == 1 and "nothing came for 1 s" in out.error and out.code == "timeout", out.text
    assert refs(bench.tmp / "a.git") == b""


def test_ssh(bench, sshd):
    url, env = sshd
    grow(bench.src)
    bench.good(to=f"{url}{bench.dst}", env=env)
    bench.same()
    assert bench.good(to=f"{url}{bench.dst}", env=env).result == "unchanged"
    import_history(bench.src, {"main": 3})
    git("branch", "-D", "dev", cwd=bench.src)
    bench.good(from_=f"{url}{bench.src}", env=env)
    bench.same()
    assert bench.good(from_=f"{url}{bench.src}", to=f"{url}{bench.dst}", env=env).result == "unchanged"
    out = bench.run(from_=f"{url}{bench.src}", env={"HOME": str(bench.tmp)})
    assert out.status == 1
    out = bench.run(from_=f"{url}/nowhere.git", env=env)
    assert out.status == 1
