"""A keep-alive HTTP/1.1 client on asyncio for the servers behind the stand-in, over a Unix socket."""

from __future__ import annotations

import asyncio
from typing import AsyncIterator

CHUNK = 256 * 1024


class Answer:
    """An answer whose body is still on the wire; read it to the end to give the connection back."""

    def __init__(self, pool: "Pool", pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str):
        self._pool, self._pair, self._method = pool, pair, method
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.length: int | None = None

    def header(self, name: str, default: str = "") -> str:
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return default

    async def _head(self) -> None:
        reader = self._pair[0]
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self.status = int(lines[0].split(" ")[1])
            if self.status != 100:
                break
        for line in lines[1:]:
            if line:
                key, _, value = line.partition(":")
                self.headers.append((key, value.strip()))
        if self._method == "HEAD" or self.status in (204, 304):
            self.length = 0
        elif self.header("transfer-encoding").lower() != "chunked":
            self.length = int(self.header("content-length", "0"))

    async def chunks(self) -> AsyncIterator[bytes]:
        reader = self._pair[0]
        left = self.length
        if left is None:
            while True:
                size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
                data = await reader.readexactly(size + 2)
                if size == 0:
                    break
                yield data[:-2]
        else:
            while left:
                data = await reader.read(min(left, CHUNK))
                if not data:
                    raise ConnectionError("upstream closed in the middle of a body")
                left -= len(data)
                yield data
        self._give_back()

    async def read_all(self) -> bytes:
        return b"".join([data async for data in self.chunks()])

    def _give_back(self) -> None:
        if self.header("connection").lower() == "close":
            self._pair[1].close()
        else:
            self._pool.idle.append(self._pair)


class Pool:
    def __init__(self, path: str):
        self.path = path
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.idle:
            pair = self.idle.pop()
            if not pair[0].at_eof() and not pair[1].is_closing():
                return pair
            pair[1].close()
        return await asyncio.open_unix_connection(self.path, limit=CHUNK)

    async def request(
        self,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: AsyncIterator[bytes] | bytes | None = None,
        length: int | None = None,
    ) -> Answer:
        """Send a request; a body without a length goes out chunked. An aborted body closes the connection."""
        pair = await self._connect()
        writer = pair[1]
        try:
            lines = [f"{method} {target} HTTP/1.1"] + [f"{key}: {value}" for key, value in headers]
            if isinstance(body, bytes):
                length = len(body)
            if body is not None and length is None:
                lines.append("Transfer-Encoding: chunked")
            elif body is not None or method in ("POST", "PUT", "PATCH"):
                lines.append(f"Content-Length: {length or 0}")
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            if isinstance(body, bytes):
                writer.write(body)
            elif body is not None:
                async for data in body:
                    writer.write(data if length is not None else b"%x\r\n%s\r\n" % (len(data), data))
                    await writer.drain()
                if length is None:
                    writer.write(b"0\r\n\r\n")
            await writer.drain()
            answer = Answer(self, pair, method)
            await answer._head()
            return answer
        except BaseException:
            writer.transport.abort()
            raise
