"""The stand-in's process: puts the parts together, serves until its parent ends, then cleans up."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .blobs import BlobServer
from .bridge import Moto
from .control import Control
from .httpd import listen
from .journal import Journal
from .registry import Registry, Tokens

ACCOUNT = "111122223333"


class Cloud:
    def __init__(self, folder: Path, regions: list[str]):
        self.folder, self.regions = folder, regions
        self.journal = Journal()
        self.moto = Moto(ACCOUNT)
        self.secret = secrets.token_bytes(32)
        self.tokens = Tokens(self.secret)
        self.blobs = BlobServer(self.secret, self.journal)
        self.registries: dict[str, Registry] = {}
        self.blobs.registries = self.registries
        self.clock_offset = 0.0
        self.mount = False

    def clock(self) -> float:
        return time.time() + self.clock_offset

    def registry(self, region: str) -> Registry:
        """Regions without a port of their own have a registry behind the API too."""
        if region not in self.registries:
            folder = self.folder / "registry" / region
            made = Registry(region, folder, self.moto, self.tokens, self.blobs, self.journal)
            made.mount = self.mount
            self.registries[region] = made
        return self.registries[region]

    async def start(self) -> dict[str, str]:
        """Open every port; returns the environment of the clients."""
        from .codecommit import CodeCommit
        from .ecr import Ecr
        from .ecs import Ecs
        from .gateway import Gateway
        from .gitserver import GitServer
        from .sigv4 import Key, Verifier

        verifier = Verifier(self.clock)
        access_key = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
        secret_key = secrets.token_urlsafe(30)
        verifier.keys[access_key] = Key(secret_key)
        gateway = Gateway(self.moto, verifier, self.journal)
        Ecr(gateway, self.registry, self.tokens)
        codecommit = CodeCommit(gateway, self.folder / "git")
        ecs = Ecs(gateway)

        # The container tools refuse a DOCKER_CONFIG folder without this file.
        (self.folder / "docker").mkdir()
        (self.folder / "docker" / "config.json").write_text("{}\n")
        names: list[str] = []
        for region in self.regions:
            _, port = await listen(self.registry(region).handle)
            names.append(f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com=http://127.0.0.1:{port}")
            _, port = await listen(GitServer(region, codecommit, verifier, self.journal).handle)
            names.append(f"git-codecommit.{region}.amazonaws.com=http://127.0.0.1:{port}")
        _, port = await listen(self.blobs.handle)
        self.blobs.address = f"127.0.0.1:{port}"
        _, api_port = await listen(gateway.handle)
        _, control_port = await listen(Control(self, verifier, codecommit, ecs).handle)
        return {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_REGION": self.regions[0],
            "AWS_DEFAULT_REGION": self.regions[0],
            "AWS_ACCOUNT_ID": ACCOUNT,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{api_port}",
            "AWS_CONFIG_FILE": str(self.folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "DOCKER_CONFIG": str(self.folder / "docker"),
            "MRPIPE_ENDPOINTS": ",".join(names),
            "MRPIPE_CLOUD_CONTROL": f"http://127.0.0.1:{control_port}",
            "MRPIPE_CLOUD_DIR": str(self.folder),
            "MRPIPE_CLOUD_PID": str(os.getpid()),
        }

    def stop(self) -> None:
        for registry in self.registries.values():
            registry.stop()


async def parent_ended(parent: int) -> None:
    try:
        handle = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, ended.set)
    await ended.wait()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--regions", required=True)
    parser.add_argument("--ready", type=int, required=True, help="descriptor that gets the environment")
    parser.add_argument("--mount", action="store_true")
    options = parser.parse_args()

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    cloud = Cloud(options.folder, options.regions.split(","))
    cloud.mount = options.mount
    environment = await cloud.start()
    with os.fdopen(options.ready, "w") as ready:
        json.dump(environment, ready)
    waits = [asyncio.ensure_future(parent_ended(options.parent)), asyncio.ensure_future(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    cloud.stop()


def run() -> None:
    try:
        asyncio.run(main())
    finally:
        folder = Path(sys.argv[sys.argv.index("--folder") + 1])
        if folder.name.startswith("mrpipe-cloud-"):
            if os.geteuid() != 0 and (folder / "images").exists():
                # Layers may hold files of other ids and folders without write permission.
                subprocess.run(["buildah", "unshare", "rm", "-rf", str(folder / "images")], check=False)
            shutil.rmtree(folder, ignore_errors=True)
