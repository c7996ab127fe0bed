"""One region's image registry: ECR's rules in front of a docker-registry."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ctypes
import hashlib
import hmac
import json
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .blobs import BlobServer
from .bridge import Moto
from .httpd import Request, Response
from .journal import Info, Journal
from .store import DIGEST, Store, digest_of
from .upstream import Pool

PATH = re.compile(r"^/v2/(?P<name>.+?)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.+)$")
MANIFEST_LIMIT = 4 * 1024 * 1024
CONFIG = """version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{net: unix, addr: {socket}, secret: {secret}, relativeurls: true}}
"""


class Tokens:
    """ECR's passwords: opaque, about 1.4 kB, for one region, with an end."""

    def __init__(self, secret: bytes):
        self.secret = secret
        self.life = 12 * 3600

    def _mac(self, text: str) -> str:
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def make(self, region: str) -> tuple[str, float]:
        end = time.time() + self.life
        text = f"{region} {end}"
        padding = base64.b64encode(hashlib.shake_256((self._mac(text)).encode()).digest(640)).decode()
        token = {"payload": padding, "datakey": text, "mac": self._mac(text), "version": "2", "type": "DATA_KEY"}
        return base64.b64encode(json.dumps(token).encode()).decode(), end

    def judge(self, header: str | None, region: str) -> str:
        """ok, missing, wrong or expired."""
        if header is None:
            return "missing"
        try:
            kind, _, value = header.partition(" ")
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            token = json.loads(base64.b64decode(password, validate=True))
            text = token["datakey"]
            where, end = text.split(" ")
        except (binascii.Error, ValueError, KeyError, TypeError):
            return "wrong"
        if kind.lower() != "basic" or user != "AWS" or token.get("mac") != self._mac(text) or where != region:
            return "wrong"
        return "expired" if time.time() > float(end) else "ok"


def error(status: int, code: str, text: str, detail: Any = None) -> Response:
    body = {"errors": [{"code": code, "message": text} | ({"detail": detail} if detail is not None else {})]}
    headers = {"Content-Type": "application/json; charset=utf-8", "Docker-Distribution-Api-Version": "registry/2.0"}
    return Response(status, headers, json.dumps(body) + "\n")


def _fault(status: int, throttle: bool) -> Response:
    if throttle or status == 429:
        return error(429, "TOOMANYREQUESTS", "Rate exceeded")
    return error(status, "UNKNOWN", "an internal error occurred")


class Registry:
    def __init__(self, region: str, folder: Path, moto: Moto, tokens: Tokens, blobs: BlobServer, journal: Journal):
        self.region, self.folder = region, folder
        self.moto, self.tokens, self.blobs, self.journal = moto, tokens, blobs, journal
        self.store = Store(folder / "data")
        self.pool = Pool(str(folder / "registry.sock"))
        self.mount = False
        self.process: asyncio.subprocess.Process | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """The docker-registry starts with the first request that needs it."""
        async with self._starting:
            if self.process is not None:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            config = self.folder / "config.yml"
            text = CONFIG.format(root=self.folder / "data", socket=self.pool.path, secret="stand-in")
            config.write_text(text)
            log = open(self.folder / "registry.log", "ab")
            self.process = await asyncio.create_subprocess_exec(
                "docker-registry", "serve", str(config), stdout=log, stderr=log,
                stdin=asyncio.subprocess.DEVNULL, preexec_fn=die_with_parent,
            )  # fmt: skip
            log.close()
            while self.process.returncode is None:
                try:
                    _, writer = await asyncio.open_unix_connection(self.pool.path)
                    writer.close()
                    return
                except OSError:
                    await asyncio.sleep(0.01)
            raise RuntimeError(f"docker-registry ended: see {self.folder}/registry.log")

    def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    def repository(self, name: str) -> Any:
        """moto's entry; while moto's ECR was never called there can be none."""
        return self.moto.ecr_repository(self.region, name) if "moto.ecr.models" in sys.modules else None

    async def handle(self, request: Request) -> Response:
        found = PATH.match(request.plain_path)
        kind = found["kind"] if found else ""
        rest = found["rest"] if found else ""
        words = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete", "POST": "Start", "PATCH": "Append"}
        if kind == "blobs" and rest.startswith("uploads/"):
            noun = "Upload"
        else:
            noun = {"manifests": "Manifest", "blobs": "Blob", "tags": "Tags", "referrers": "Referrers"}.get(kind, "Base")
        mutating = request.method not in ("GET", "HEAD")
        info = Info("registry", words.get(request.method, request.method) + noun, self.region, mutating)
        info.error = _fault

        async def work() -> Response:
            refused = self._refuse(request, info, found["name"] if found else "")
            if refused is not None:
                return refused
            return await self._serve(request, found["name"] if found else "", kind, rest)

        return await self.journal.run(request, info, work)

    def _refuse(self, request: Request, info: Info, name: str) -> Response | None:
        info.auth = self.tokens.judge(request.header("authorization"), self.region)
        if info.auth == "expired":
            return error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        if info.auth != "ok":
            host = request.header("host") or ""
            headers = {
                "Www-Authenticate": f'Basic realm="https://{host}/",service="ecr.amazonaws.com"',
                "Docker-Distribution-Api-Version": "registry/2.0",
                "Content-Type": "text/plain; charset=utf-8",
            }
            return Response(401, headers, "Not Authorized\n")
        if name and self.repository(name) is None:
            text = f"The repository with name '{name}' does not exist in the registry with id '{self.moto.account}'"
            return error(404, "NAME_UNKNOWN", text)
        return None

    async def _serve(self, request: Request, name: str, kind: str, rest: str) -> Response:
        if not kind:
            if request.plain_path.rstrip("/") == "/v2":
                headers = {"Docker-Distribution-Api-Version": "registry/2.0", "Content-Type": "text/plain"}
                return Response(200, headers, "")
            return error(404, "UNSUPPORTED", "no such path")
        if kind == "tags":
            return self._tags(request, name)
        if kind == "manifests" and request.method == "PUT":
            return await self._put_manifest(request, name, rest)
        if request.method == "DELETE" and not rest.startswith("uploads/"):
            return error(405, "UNSUPPORTED", "The operation is unsupported.")
        if kind == "blobs" and request.method == "GET" and DIGEST.match(rest):
            if not self.store.has_layer(name, rest):
                return error(404, "BLOB_UNKNOWN", "blob unknown to registry", {"digest": rest})
            return Response(307, {"Location": self.blobs.url(self.region, rest), "Docker-Content-Digest": rest}, "")
        target = request.target
        if kind == "blobs" and request.method == "POST" and not self.mount:
            target = request.path
        return await self.forward(request.method, target, request.headers, request.chunks(), request.length)

    def _tags(self, request: Request, name: str) -> Response:
        tags = list(self.store.tags(name))
        params = request.params
        count = params.get("n", "1000")
        if not count.isdigit() or not 1 <= int(count) <= 1000:
            return error(400, "UNSUPPORTED", "Invalid parameter at 'maxResults' failed to satisfy constraint: 1 to 1000")
        if "last" in params:
            tags = [tag for tag in tags if tag > params["last"]]
        page = tags[: int(count)]
        headers = {"Content-Type": "application/json"}
        if len(page) < len(tags):
            headers["Link"] = f'</v2/{name}/tags/list?n={count}&last={page[-1]}>; rel="next"'
        return Response(200, headers, json.dumps({"name": name, "tags": page}))

    async def _put_manifest(self, request: Request, name: str, reference: str) -> Response:
        body = await request.read_all(MANIFEST_LIMIT)
        held = None if DIGEST.match(reference) else self.store.tags(name).get(reference)
        if held is not None and held != digest_of(body) and is_immutable(self.repository(name)):
            text = (
                f"The image tag '{reference}' already exists in the '{name}' repository"
                " and cannot be overwritten because the repository is immutable."
            )
            return error(400, "TAG_INVALID", text)
        return await self.forward("PUT", request.target, request.headers, body, len(body))

    async def forward(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: Any = b"",
        length: int | None = 0,
    ) -> Response:
        await self.start()
        hidden = {"authorization", "connection", "content-length", "transfer-encoding", "expect"}
        given = [(key, value) for key, value in headers if key.lower() not in hidden]
        send = body if method in ("POST", "PUT", "PATCH") else None
        answer = await self.pool.request(method, target, given, send, length)
        dropped = {"connection", "transfer-encoding"} | (set() if method == "HEAD" else {"content-length"})
        kept = [(key, value) for key, value in answer.headers if key.lower() not in dropped]
        if answer.length is not None and answer.length <= 65536:
            return Response(answer.status, kept, await answer.read_all())
        return Response(answer.status, kept, answer.chunks(), answer.length)


def die_with_parent() -> None:
    """In a child before exec: end when the stand-in ends, even by SIGKILL."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def is_immutable(repository: Any) -> bool:
    return repository is not None and str(repository.image_tag_mutability).startswith("IMMUTABLE")


