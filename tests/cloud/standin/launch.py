"""Starts the stand-in, prints its environment or runs a command in it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
GIVEN_UP = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN")


# The server is a child of this process: it can be waited for, and its id is not given away before that.
def start(parent: int, regions: str, mount: bool) -> dict[str, str]:
    folder = tempfile.mkdtemp(prefix="mrpipe-cloud-")
    log = os.path.join(folder, "server.log")
    reader, writer = os.pipe()
    boot = "import sys; sys.path.insert(0, sys.argv.pop(1)); from standin.server import run; run()"
    command = [sys.executable, "-X", f"pycache_prefix={sys.prefix}/pycache", "-c", boot, str(HERE)]
    command += ["--folder", folder, "--parent", str(parent)]
    command += ["--regions", regions, "--ready", str(writer)] + (["--mount"] if mount else [])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
            pass_fds=(writer,), start_new_session=True,
        )  # fmt: skip
    os.close(writer)
    with os.fdopen(reader) as ready:
        text = ready.read()
    if not text:
        process.wait()
        sys.stderr.write(f"tests/cloud/up: the stand-in did not start; see {log}\n")
        if os.path.exists(log):
            sys.stderr.write(Path(log).read_text(errors="replace"))
        sys.exit(1)
    found = json.loads(text)
    around = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    found["NO_PROXY"] = found["no_proxy"] = ",".join(filter(None, [around, "127.0.0.1", "localhost"]))
    found["PATH"] = f"{HERE / 'bin'}:{sys.prefix}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}"
    return found


def run(command: list[str], found: dict[str, str]) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in GIVEN_UP}
    try:
        child = subprocess.Popen(command, env=environment | found)
    except OSError as problem:
        sys.stderr.write(f"tests/cloud/up: {command[0]}: {problem.strerror}\n")
        return 127
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = child.wait()
    return 128 - status if status < 0 else status


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/cloud/up", description=__doc__)
    parser.add_argument("--regions", default="us-west-2,us-east-1", help="regions with registry and git ports; first = primary")
    parser.add_argument("--parent", type=int, help="stop when this process ends (default: the one that started up)")
    parser.add_argument("--mount", action="store_true", help="the registries honour cross-repository mounts")
    parser.add_argument("--run", nargs=argparse.REMAINDER, metavar="CMD", help="run CMD in the environment, then stop")
    options = parser.parse_args()
    if options.run is not None and not options.run:
        parser.error("--run needs a command")
    parent = os.getpid() if options.run else options.parent or os.getppid()
    found = start(parent, options.regions, options.mount)
    if options.run:
        try:
            return run(options.run, found)
        finally:
            pid = int(found["MRPIPE_CLOUD_PID"])
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"unset {' '.join(GIVEN_UP)}")
    return 0
