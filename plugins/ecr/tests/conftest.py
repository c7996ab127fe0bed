"""Registries, a runner of single actions and images for the tests of the ecr plugin."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from images import Layout
from proxy import Proxy

ACT = os.environ.get("ECR_ACT", "ecr_act")
CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"{extra}}}
{auth}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Registry:
    """One docker-registry on a free port."""

    def __init__(self, folder, auth="", user=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = self.folder / "log"
        config = self.folder / "config.yml"
        config.write_text(CONFIG.format(root=self.folder / "data", port=self.port, extra="", auth=auth))
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)

    def requests(self):
        """(method, path, status) of all requests so far."""
        text = self.log.read_bytes().decode(errors="replace")
        return [(m, p, int(s)) for m, p, s in re.findall(r'"([A-Z]+) (/v2/\S*) HTTP/1.1" (\d+)', text)]

    def count(self, method, pattern, since=0):
        return sum(1 for m, p, _ in self.requests()[since:] if m == method and re.search(pattern, p))

    def raw(self, repo, ref):
        return subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false",
                               f"docker://{self.host}/{repo}{'@' if ':' in ref else ':'}{ref}"],
                              check=True, capture_output=True).stdout

    def digest(self, repo, ref):
        import hashlib
        return "sha256:" + hashlib.sha256(self.raw(repo, ref)).hexdigest()

    def has_blob(self, repo, digest):
        return self.answers(f"{repo}/blobs/{digest}")

    def exists(self, repo, ref):
        return self.answers(f"{repo}/manifests/{ref}")

    def answers(self, path):
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", method="HEAD")
        try:
            return urllib.request.urlopen(request).status == 200
        except urllib.error.HTTPError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Outcome:
    def __init__(self, done):
        lines = []
        for line in done.stdout.splitlines():
            lines.append(json.loads(line))
        self.frames, self.stderr = lines, done.stderr
        assert lines, done.stderr
        self.last = lines[-1]
        self.result = self.last.get("result")
        self.error = self.last.get("error", "")
        self.code = self.last.get("code")
        self.hint = self.last.get("hint")
        self.outputs = {f["name"]: f["value"] for f in lines if f.get("type") == "output"}
        self.changes = [f["text"] for f in lines if f.get("type") == "change"]
        self.logs = [f["text"] for f in lines if f.get("type") == "log"]
        self.text = done.stdout

    def copies(self, image=0):
        return self.outputs["images"][image]["copies"]


@pytest.fixture
def act(tmp_path):
    docker = tmp_path / "docker"

    def run(action, how="run", env=None, **options):
        with_ = {name.replace("_", "-").strip("-"): value for name, value in options.items()}
        done = subprocess.run([ACT, action, json.dumps(with_), how], cwd=tmp_path, text=True, timeout=60,
                              capture_output=True,
                              env={**os.environ, "DOCKER_CONFIG": str(docker), "ASAN_OPTIONS": "detect_leaks=1",
                                   **(env or {})})
        return Outcome(done)

    def start(action, **options):
        """The same as a process of its own, for tests that end it."""
        with_ = {name.replace("_", "-").strip("-"): value for name, value in options.items()}
        return subprocess.Popen([ACT, action, json.dumps(with_), "run"], cwd=tmp_path, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, env={**os.environ, "DOCKER_CONFIG": str(docker)})

    run.docker, run.start = docker, start
    return run


@pytest.fixture(scope="session")
def registries(tmp_path_factory):
    base = tmp_path_factory.mktemp("registries")
    made = [Registry(base / str(i)) for i in range(3)]
    yield made
    for one in made:
        one.stop()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


@pytest.fixture
def proxy(registries):
    made = []

    def start(registry):
        made.append(Proxy(registry.port))
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def repo(request):
    """A repository name of the test's own."""
    return "t/" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture
def pair(act, registries, layout, repo, proxy):
    """An image in the first registry; both registries behind proxies."""
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([3_000_000, 900_000, 3000], repo))
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    source, target = proxy(a), proxy(b)

    class Pair:
        def copy(self, **options):
            return act("copy", from_=f"{source.host}/{repo}:v1", to=[f"{target.host}/{repo}"], referrers="no",
                       **options)

        def check(self, done):
            assert done.result == "changed", done.last
            assert b.digest(repo, "v1") == digest
            assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers=False).outputs["equal"]

        def absent(self):
            assert not any(m == "PUT" and "/manifests/v1" in path for m, path, _ in target.seen)

    made = Pair()
    made.source, made.target, made.digest, made.repo, made.act = source, target, digest, repo, act
    made.largest = max(json.loads(a.raw(repo, "v1"))["layers"], key=lambda layer: layer["size"])["digest"]
    return made
