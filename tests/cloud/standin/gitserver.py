"""CodeCommit's git side of one region: git http-backend behind the signed Basic password."""

from __future__ import annotations

import asyncio
import base64
import binascii
import calendar
import hmac
import os
import re
import time
from typing import AsyncIterator

from .codecommit import CodeCommit, set_default_branch
from .httpd import CHUNK, Request, Response
from .journal import Info, Journal
from .sigv4 import SKEW, Verifier, codecommit_password

PATH = re.compile(r"^/v1/repos/(?P<name>[^/]+)(?P<rest>/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.*))$")


def _fault(status: int, throttle: bool) -> Response:
    if throttle or status == 429:
        return Response(429, {"Content-Type": "text/plain"}, "Rate Exceeded\n")
    return Response(status, {"Content-Type": "text/plain"}, "Internal Service Error\n")


class GitServer:
    def __init__(self, region: str, api: CodeCommit, verifier: Verifier, journal: Journal):
        self.region, self.api, self.verifier, self.journal = region, api, verifier, journal

    async def handle(self, request: Request) -> Response:
        found = PATH.match(request.plain_path)
        rest = found["rest"] if found else ""
        service = request.params.get("service", "") if rest == "/info/refs" else rest.lstrip("/")
        writes = rest == "/git-receive-pack"
        names = {"git-upload-pack": "GitPull", "git-receive-pack": "GitPush"}
        action = ("Refs" if rest == "/info/refs" else "") + names.get(service, "Git")
        info = Info("git", action, self.region, writes)
        info.error = _fault

        async def work() -> Response:
            refused = self._refuse(request, info)
            if refused is not None:
                return refused
            if found is None or not self.api.exists(self.region, found["name"]):
                return Response(404, {"Content-Type": "text/plain"}, "repository not found\n")
            return await self._backend(request, info, found["name"], rest)

        return await self.journal.run(request, info, work)

    def _refuse(self, request: Request, info: Info) -> Response | None:
        given = request.header("authorization")
        plain = {"Content-Type": "text/plain"}
        if given is None:
            info.auth = "missing"
            return Response(401, plain | {"WWW-Authenticate": 'Basic realm="AWS CodeCommit"'}, "")
        info.auth = self._judge(given, request)
        if info.auth == "ok":
            return None
        return Response(403, plain, "")

    def _judge(self, given: str, request: Request) -> str:
        kind, _, value = given.partition(" ")
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "incomplete"
        name, _, token = user.partition("%")
        key = self.verifier.keys.get(name)
        if kind.lower() != "basic" or key is None:
            return "unknown-key"
        if key.token != token:
            return "bad-token"
        now = self.verifier.clock()
        if key.expires and now > key.expires:
            return "expired-token"
        form = re.fullmatch(r"([0-9]{8}T[0-9]{6})Z[0-9a-f]{64}", password)
        if not form:
            return "incomplete"
        if abs(now - calendar.timegm(time.strptime(form[1], "%Y%m%dT%H%M%S"))) > SKEW:
            return "skew"
        path = re.sub(r"/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.*)$", "", request.plain_path)
        host = request.header("host") or ""
        hosts = [host, host.partition(":")[0], "127.0.0.1", "localhost"]
        for prefix in ("git-codecommit", "git-codecommit-fips"):
            hosts += [f"{prefix}.{self.region}.amazonaws.com", f"{prefix}.{self.region}.amazonaws.com.cn"]
        for each in hosts:
            right = codecommit_password(key.secret, form[1], self.region, each, path)
            if hmac.compare_digest(right, password):
                return "ok"
        return "signature"

    async def _backend(self, request: Request, info: Info, name: str, rest: str) -> Response:
        if request.length == 4 and await request.read_all() == b"0000":
            # A push that holds only the flush packet is git's probe: it changes nothing.
            info.mutating = False
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "GIT_PROJECT_ROOT": str(self.api.root / self.region),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "HOME": "/nonexistent",
            "PATH_INFO": f"/{name}.git{rest}",
            "QUERY_STRING": request.query,
            "REQUEST_METHOD": request.method,
            "CONTENT_TYPE": request.header("content-type") or "",
            "HTTP_CONTENT_ENCODING": request.header("content-encoding") or "",
            "GIT_PROTOCOL": request.header("git-protocol") or "",
            "REMOTE_USER": "standin",
            "REMOTE_ADDR": "127.0.0.1",
        }
        if request.length is not None:
            environment["CONTENT_LENGTH"] = str(request.length)
        process = await asyncio.create_subprocess_exec(
            "git", "http-backend", env=environment, limit=CHUNK,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin and process.stdout
        feeder = asyncio.ensure_future(self._feed(request, process.stdin))
        try:
            head = await process.stdout.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            failed = feeder.exception() if feeder.done() and not feeder.cancelled() else None
            feeder.cancel()
            await process.wait()
            if failed is not None:
                raise failed
            return _fault(500, False)
        except BaseException:
            feeder.cancel()
            process.kill()
            raise
        status, headers = 200, []
        for line in head.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            if key.lower() == "status":
                status = int(value.split()[0])
            elif key and key.lower() != "content-length":
                headers.append((key, value.strip()))
        done = self._after_push(name) if rest == "/git-receive-pack" else None
        return Response(status, headers, self._output(process, feeder, done))

    async def _feed(self, request: Request, stdin: asyncio.StreamWriter) -> None:
        try:
            async for data in request.chunks():
                stdin.write(data)
                await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            stdin.close()

    def _after_push(self, name: str):
        return lambda: set_default_branch(self.api.folder(self.region, name))

    async def _output(self, process: asyncio.subprocess.Process, feeder: asyncio.Future, done) -> AsyncIterator[bytes]:
        assert process.stdout
        held = b""
        try:
            while True:
                data = await process.stdout.read(CHUNK)
                if not data:
                    break
                if held:
                    yield held
                held = data
            await feeder
            await process.wait()
            if done is not None:
                await asyncio.to_thread(done)
            # The last piece goes out when the repository is as the client will expect it.
            if held:
                yield held
        finally:
            if process.returncode is None:
                process.kill()
            feeder.cancel()
