"""A small streaming HTTP/1.1 server on asyncio, with the places where faults cut in."""

from __future__ import annotations

import asyncio
import re
import traceback
from email.utils import formatdate
from typing import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qsl, unquote

CHUNK = 256 * 1024
HEAD_LIMIT = 64 * 1024
DRAIN_LIMIT = 1024 * 1024
REASONS = {
    200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content",
    301: "Moved Permanently", 304: "Not Modified", 307: "Temporary Redirect", 400: "Bad Request",
    401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 409: "Conflict",
    411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
    416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error",
    501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip


class Gone(Exception):
    """The connection ended, or a fault rule ended it."""


class BadRequest(Exception):
    """The bytes are not an HTTP request that this server reads."""


class Request:
    """One request; the body is read at most once, in pieces or whole."""

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], conn: "_Connection"):
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body_bytes = 0
        self.cut_after: int | None = None
        self._conn = conn
        self._whole: bytes | None = None
        self._started = False
        self.finished = False
        chunked = (self.header("transfer-encoding") or "").lower()
        length = self.header("content-length")
        if chunked not in ("", "chunked") or (length and not re.fullmatch(r"[0-9]{1,15}", length)):
            raise BadRequest("transfer-encoding or content-length")
        self.chunked = chunked == "chunked"
        self.length = None if self.chunked else int(length or 0)
        if self.length == 0:
            self.finished = True

    def header(self, name: str, default: str | None = None) -> str | None:
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def plain_path(self) -> str:
        return unquote(self.path)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._whole is not None:
            yield self._whole
            return
        if not self._started and (self.header("expect") or "").lower() == "100-continue":
            await self._conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._started = True
        if self.finished:
            self._cut()
            return
        source = self._chunked() if self.chunked else self._fixed()
        async for data in source:
            self.body_bytes += len(data)
            self._cut()
            yield data
        self.finished = True

    def _cut(self) -> None:
        if self.cut_after is not None and self.body_bytes >= self.cut_after:
            raise Gone("cut by a fault rule")

    async def _fixed(self) -> AsyncIterator[bytes]:
        left = self.length or 0
        while left:
            data = await self._conn.reader.read(min(left, CHUNK))
            if not data:
                raise Gone("request body ended early")
            left -= len(data)
            yield data

    async def _chunked(self) -> AsyncIterator[bytes]:
        reader = self._conn.reader
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while (await reader.readuntil(b"\r\n")) != b"\r\n":
                    pass
                return
            while size:
                data = await reader.read(min(size, CHUNK))
                if not data:
                    raise Gone("request body ended early")
                size -= len(data)
                yield data
            await reader.readexactly(2)

    async def read_all(self, limit: int = 8 << 30) -> bytes:
        if self._whole is None:
            parts = []
            async for data in self.chunks():
                parts.append(data)
                if self.body_bytes > limit:
                    raise BadRequest("body too large")
            self._whole = b"".join(parts)
        return self._whole


class FileBody:
    """A part of a file, sent with sendfile."""

    def __init__(self, path: str, offset: int, length: int):
        self.path, self.offset, self.length = path, offset, length


class Response:
    def __init__(
        self,
        status: int,
        headers: list[tuple[str, str]] | dict[str, str] | None = None,
        body: bytes | str | FileBody | AsyncIterator[bytes] = b"",
        length: int | None = None,
    ):
        self.status = status
        self.headers = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        self.body = body.encode() if isinstance(body, str) else body
        self.length = length
        self.cut_after: int | None = None
        self.drop = False
        self.sent = 0
        if isinstance(self.body, (bytes, FileBody)):
            self.length = len(self.body) if isinstance(self.body, bytes) else self.body.length


Handler = Callable[[Request], Awaitable[Response]]


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def next_request(self) -> Request | None:
        first = await self.reader.read(1)
        if first == b"\x16":
            raise Gone("a TLS client on a plain port")
        if not first:
            return None
        try:
            head = first + await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial.strip():
                raise BadRequest("incomplete head") from None
            return None
        except asyncio.LimitOverrunError:
            raise BadRequest("head too large") from None
        lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest("request line")
        headers: list[tuple[str, str]] = []
        for line in lines[1:]:
            if not line:
                continue
            if line[0] in " \t" and headers:
                headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.strip())
                continue
            key, colon, value = line.partition(":")
            if not colon:
                raise BadRequest("header line")
            headers.append((key.strip(), value.strip()))
        return Request(words[0], words[1], headers, self)

    async def write_response(self, request: Request, response: Response, close: bool) -> None:
        status = response.status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
        no_body = request.method == "HEAD" or status in (204, 304)
        given = {key.lower() for key, _ in response.headers}
        lines += [f"{key}: {value}" for key, value in response.headers]
        chunked = response.length is None and not no_body
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif "content-length" not in given and status != 204:
            lines.append(f"Content-Length: {response.length or 0}")
        if "date" not in given:
            lines.append("Date: " + formatdate(usegmt=True))
        if close:
            lines.append("Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        body = b"" if no_body else response.body
        if isinstance(body, bytes):
            self._cut_check(response, len(body), head + body[: response.cut_after])
            response.sent = len(body)
            await self.send(head + body)
        elif isinstance(body, FileBody):
            await self._send_file(head, body, response)
        else:
            await self.send(head)
            async for data in body:
                if response.cut_after is not None and response.sent + len(data) > response.cut_after:
                    await self.send(data[: response.cut_after - response.sent])
                    raise Gone("cut by a fault rule")
                response.sent += len(data)
                await self.send(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            if chunked:
                await self.send(b"0\r\n\r\n")

    def _cut_check(self, response: Response, size: int, cut: bytes) -> None:
        if response.cut_after is not None and response.cut_after < size:
            self.writer.write(cut)
            raise Gone("cut by a fault rule")

    async def _send_file(self, head: bytes, body: FileBody, response: Response) -> None:
        await self.send(head)
        length = body.length
        if response.cut_after is not None:
            length = min(length, response.cut_after)
        with open(body.path, "rb") as file:
            if length:
                loop = asyncio.get_running_loop()
                await loop.sendfile(self.writer.transport, file, body.offset, length)
        response.sent = length
        if length < body.length:
            raise Gone("cut by a fault rule")


async def _serve(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    conn = _Connection(reader, writer)
    try:
        while True:
            try:
                request = await conn.next_request()
            except BadRequest as bad:
                await conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                raise Gone(str(bad)) from None
            if request is None:
                break
            response = await handler(request)
            if response.drop:
                raise Gone("dropped by a fault rule")
            close = (request.header("connection") or "").lower() == "close"
            if not request.finished:
                # A short rest of the body is read so that the client sees the answer, not a reset.
                expects = (request.header("expect") or "").lower() == "100-continue"
                close = close or expects or (request.length or DRAIN_LIMIT + 1) > DRAIN_LIMIT
            await conn.write_response(request, response, close)
            if not request.finished and not close:
                async for _ in request.chunks():
                    pass
            if close:
                break
    except (Gone, ConnectionError, asyncio.IncompleteReadError, BadRequest):
        await _flush(writer)
        writer.transport.abort()
    except asyncio.CancelledError:
        writer.transport.abort()
    except Exception:
        traceback.print_exc()
        writer.transport.abort()
    finally:
        writer.close()


async def _flush(writer: asyncio.StreamWriter) -> None:
    try:
        await asyncio.wait_for(writer.drain(), 5)
    except (OSError, asyncio.TimeoutError):
        pass


async def listen(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> tuple[asyncio.Server, int]:
    """Serve the handler on a free port; the handler's exceptions end their connection only."""

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(handler, reader, writer)

    server = await asyncio.start_server(on_connect, host, port, limit=CHUNK)
    return server, server.sockets[0].getsockname()[1]
