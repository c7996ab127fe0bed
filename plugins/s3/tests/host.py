"""Runs actions through the test driver and looks at the stand-in."""

import json
import os
import subprocess
import urllib.request

import pytest

ACT = os.environ["MRPIPE_ACT"]
PLUGINS = os.environ["MRPIPE_PLUGINS"]
PRIMARY, SECONDARY = "us-west-2", "us-east-1"


class Done:
    """What one callback said: frames by type, outputs, the result."""

    def __init__(self, text):
        self.frames = [json.loads(line) for line in text.splitlines()]
        last = self.frames.pop()
        assert last["type"] == "result", text
        self.code, self.result = last["code"], last["result"]
        self.message, self.hint, self.api = last["message"], last["hint"], last["api"]
        self.outputs = {f["name"]: f["value"] for f in self.frames if f["type"] == "output"}
        self.changes = [f["text"] for f in self.frames if f["type"] == "change"]
        self.logs = [f["text"] for f in self.frames if f["type"] == "log"]
        self.artifacts = [f["path"] for f in self.frames if f["type"] == "artifact"]

    def ok(self, result=None):
        assert self.code == "ok", f"{self.code}: {self.message} ({self.hint})\n" + "\n".join(self.logs)
        assert result is None or self.result == result, self.changes
        return self


def start(plugin, action, how, stage):
    process = subprocess.Popen(
        [ACT, f"{PLUGINS}/{plugin}.so", action, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    process.stdin.write(json.dumps(stage))
    process.stdin.close()
    process.stdin = None
    return process


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode in (0, 1), f"exit {process.returncode}: {err}\n{out}"
    return Done(out)


class Host:
    """A work directory and a run folder of one test."""

    def __init__(self, folder, plugin):
        self.work = folder / "work"
        self.runs = folder / "runs"
        self.plugin = plugin
        self.number = 0
        self.work.mkdir()
        self.new_run()

    def new_run(self):
        self.number += 1
        self.run_folder = self.runs / f"run-{self.number}"
        self.run_folder.mkdir(parents=True)

    def write(self, name, data=b"", mode=0o644):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(mode)
        return path

    def stage(self, options, **more):
        return {
            "with": options, "region": PRIMARY, "primary": PRIMARY, "secondaries": [SECONDARY],
            "workdir": str(self.work), "rundir": str(self.run_folder), **more,
        }

    def start(self, action, options=None, how="run", **more):
        return start(self.plugin, action, how, self.stage(options or {}, **more))

    def __call__(self, action, options=None, how="run", **more):
        return finish(self.start(action, options, how, **more))


class Cloud:
    """The control port of the stand-in."""

    def __init__(self):
        self.base = os.environ["MRPIPE_CLOUD_CONTROL"]

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def reset(self):
        self.ask("POST", "/reset", {})

    def fault(self, **rule):
        self.ask("POST", "/faults", rule)

    def faults(self):
        """The rules with the number of requests that each has met."""
        return self.ask("GET", "/faults")[0]

    def rollout(self, **rule):
        self.ask("POST", "/rollouts", rule)

    def log(self):
        return self.ask("GET", "/log")

    def actions(self, service):
        return [e["action"] for e in self.log() if e["service"] == service]

    def mutating(self):
        return [f"{e['service']}:{e['action']}" for e in self.log() if e["mutating"]]


@pytest.fixture
def cloud():
    one = Cloud()
    one.reset()
    yield one
    one.reset()
