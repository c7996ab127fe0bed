"""Repositories, servers and the driver that the tests of this folder share."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from gitserver import GitServer  # noqa: E402  (needs the path above)

ACT = os.environ["MRPIPE_ACT"]
PLUGIN = os.path.join(os.environ["MRPIPE_PLUGINS"], "codecommit.so")
RSS_LIMIT_KIB = 24 * 1024
BIG = bool(os.environ.get("MRPIPE_TEST_BIG"))
SANITIZED = os.environ.get("MRPIPE_SANITIZE") == "1"


if SANITIZED:
    # What libgit2 1.5 loses, in ssh connections, in matching names of settings and where a history breaks off; whole stacks, so that
    # the frame is seen.
    KNOWN = HERE / "leaks.txt"
    os.environ["ASAN_OPTIONS"] = "fast_unwind_on_malloc=0"
    os.environ["LSAN_OPTIONS"] = f"suppressions={KNOWN}:print_suppressions=0"


def git(*args, cwd=None, data=None, env=None):
    full = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@example.org",
                GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t@example.org",
                GIT_AUTHOR_DATE="1700000000 +0000", GIT_COMMITTER_DATE="1700000000 +0000", **(env or {}))
    done = subprocess.run(["git", *args], cwd=cwd, input=data, capture_output=True, env=full, timeout=120)
    if done.returncode:
        raise AssertionError(f"git {args}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def bare(path):
    git("init", "-q", "--bare", "-b", "main", str(path))
    return path


def refs(path):
    return git("for-each-ref", "--format=%(objectname) %(refname)", cwd=path)


def import_history(path, branches, files=3):
    """branches: {"main": 5} makes 5 commits; later calls go on from where the branch is."""
    out = []
    for branch, count in branches.items():
        tip = subprocess.run(["git", "rev-parse", "-q", "--verify", f"refs/heads/{branch}"], cwd=path,
                             capture_output=True).stdout.strip().decode()
        base = int(git("rev-list", "--count", tip, cwd=path)) if tip else 0
        for i in range(count):
            n = base + i
            text = f"{branch} {n}"
            out.append(f"commit refs/heads/{branch}\ncommitter t <t@example.org> {1700000000 + n} +0000\n"
                       f"data {len(text)}\n{text}\n")
            if i == 0 and tip:
                out.append(f"from {tip}\n")
            for f in range(files):
                body = f"{branch} file {f} at {n}\n" * 20
                out.append(f"M 100644 inline dir{f}/{branch.replace('/', '-')}-{n % 7}\ndata {len(body)}\n{body}\n")
    git("fast-import", "--quiet", "--force", cwd=path, data="".join(out).encode())


class Outcome:
    def __init__(self, done):
        self.status, self.text = done.returncode, done.stdout.decode(errors="replace")
        self.stderr = done.stderr.decode(errors="replace")
        self.frames = [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]
        last = self.frames[-1] if self.frames else {}
        self.result = last.get("result")
        self.error = last.get("message", "") if last.get("type") == "error" else ""
        self.hint = last.get("hint", "")
        self.code = last.get("code")
        self.rss = last.get("max-rss-kib", 0)

    def events(self, name="repository"):
        return [f["fields"] for f in self.frames if f["type"] == "event" and f["name"] == name]

    def logs(self):
        return "\n".join(f["text"] for f in self.frames if f["type"] == "log")

    def changes(self):
        return [f["text"] for f in self.frames if f["type"] == "change"]


def act(workdir, options, action="mirror", mode="run", regions=(), env=None, through=()):
    done = subprocess.run([*through, ACT, PLUGIN, action, mode, json.dumps(options), str(workdir), *regions],
                          capture_output=True, timeout=300, env=dict(os.environ, **(env or {})))
    out = Outcome(done)
    assert done.returncode in (0, 1), f"{done.returncode}: {out.text}{out.stderr}"
    return out


class Bench:
    """A source and a destination behind one server."""

    def __init__(self, tmp, server):
        self.tmp, self.server = tmp, server
        self.src, self.dst = bare(pathlib.Path(server.root, "src.git")), bare(pathlib.Path(server.root, "dst.git"))
        self.options = {"from": f"{server.url}/src.git", "to": f"{server.url}/dst.git"}

    def run(self, action="mirror", mode="run", env=None, through=(), **options):
        self.server.forget()
        merged = {**self.options, **{k.rstrip("_").replace("_", "-"): v for k, v in options.items()}}
        return act(self.tmp, merged, action, mode, env=env, through=through)

    def good(self, **options):
        out = self.run(**options)
        assert out.status == 0, out.error + out.stderr
        return out

    def same(self, path=None):
        path = path or self.dst
        assert refs(path) == refs(self.src)
        git("fsck", "--full", "--strict", "--no-dangling", cwd=path)

    def sent(self, service, name=None):
        return [e for e in self.server.requests(name) if e["service"] == service and e["method"] == "POST"]


@pytest.fixture
def bench(tmp_path):
    with GitServer(tmp_path / "root") as server:
        yield Bench(tmp_path, server)


def faults_once(bench, service, act_on, method="POST"):
    """Let act_on(request) run on the first request of that kind."""
    left = itertools.count()

    def fault(request):
        if request.method == method and request.service == service and next(left) == 0:
            return act_on(request)
        return False

    bench.server.faults.append(fault)
