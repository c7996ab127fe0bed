"""What the tests of whole runs share: a folder, a run in it, its events, what it left behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = sys.argv.pop(1)
SO = BUILD + "/tests/plugins/so"


def wait_for(what, seconds=20):
    """Poll a condition; tests wait on facts, not on time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain")


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mrpipe-runs-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CODEBUILD_", "MRPIPE_"))}

    def tearDown(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def write(self, text, name="b.yml"):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(text)

    def command(self, *args, plugins=SO):
        return [BUILD + "/mrpipe", "run", "b.yml", "--plugin-dir", plugins, *args]

    def run_it(self, text=None, *args, code=0, plugins=SO):
        if text is not None:
            self.write(text)
        run = subprocess.run(self.command(*args, plugins=plugins), cwd=self.dir, env=self.env,
                             capture_output=True, timeout=60)
        self.said = (run.stdout + run.stderr).decode(errors="replace")
        self.assertEqual(run.returncode, code, self.said)
        return run

    def events(self, kind=None):
        with open(f"{self.dir}/.mrpipe/runs/last/events.jsonl") as f:
            all_events = [json.loads(line) for line in f]
        return [e for e in all_events if kind is None or e["event"] == kind]

    def results(self):
        return {e["stage"]: e["result"] for e in self.events("stage-ended")}

    def lines(self, phase="build", stream="stdout"):
        return [e["text"] for e in self.events("output") if e.get("phase") == phase and e["stream"] == stream]

    def phases(self):
        return {e["phase"]: e["result"] for e in self.events("phase-ended")}

    def read(self, name):
        with open(f"{self.dir}/{name}") as f:
            return f.read()

    def left(self):
        """Processes of this test: they have its folder as their working directory."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(self.dir) and int(pid) != os.getpid():
                    with open(f"/proc/{pid}/stat") as f:
                        if f.read().rsplit(")", 1)[1].split()[0] != "Z":
                            found.append(int(pid))
            except OSError:
                pass
        return found


def build(*commands, head="version: 0.2\n", phase="build", more=""):
    body = "".join(f"      - {json.dumps(c)}\n" for c in commands)
    return f"{head}phases:\n  {phase}:\n    commands:\n{body}{more}"


def stages(*items, head="version: 0.2\n", pipeline=""):
    text = head + "mrpipe:\n  regions:\n    primary: us-west-2\n    secondary: [us-east-1, eu-west-1]\n" + pipeline + "  stages:\n"
    for item in items:
        text += "    - " + json.dumps(item) + "\n"
    return text


def note(id_, text="hi", **more):
    with_ = {"text": text, **more.pop("with_", {})}
    return {"id": id_, "uses": "trial/note", "with": with_, **{k.replace("_", "-"): v for k, v in more.items()}}
