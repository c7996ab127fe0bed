"""A TCP proxy that adds latency as a long line does: handshake, one-way delay, slow start."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path

FIRST_WINDOW = 10 * 1460
LARGEST_WINDOW = 4 << 20


class Line:
    """One direction of one connection: bytes arrive `delay` later, at most a window of them per round trip."""

    def __init__(self, loop, writer, delay):
        self.loop, self.writer, self.delay = loop, writer, delay
        self.window, self.flying, self.room = FIRST_WINDOW, 0, asyncio.Event()
        self.queue, self.wake = deque(), asyncio.Event()

    async def send(self, data):
        while self.flying and self.flying + len(data) > self.window:
            self.room.clear()
            await self.room.wait()
        self.flying += len(data)
        self.queue.append((self.loop.time() + self.delay, data))
        self.wake.set()
        # The acknowledgement comes a round trip later, and slow start doubles the window by it.
        self.loop.call_later(2 * self.delay, self.acknowledge, len(data))

    def acknowledge(self, count):
        self.flying -= count
        self.window = min(self.window + count, LARGEST_WINDOW)
        self.room.set()

    async def deliver(self):
        while True:
            while not self.queue:
                self.wake.clear()
                await self.wake.wait()
            due, data = self.queue.popleft()
            await asyncio.sleep(max(0, due - self.loop.time()))
            if data is None:
                with contextlib.suppress(OSError):
                    self.writer.write_eof()
                return
            self.writer.write(data)
            await self.writer.drain()


class Latency:
    def __init__(self, upstream, delay_ms):
        self.upstream, self.delay = upstream, delay_ms / 1000
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        self.ready.wait()

    def serve(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.connected, "127.0.0.1", 0, limit=1 << 20))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()

    async def connected(self, reader, writer):
        # connect() came back at once: the first byte pays for the handshake.
        try:
            await asyncio.sleep(2 * self.delay)
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)
        except (OSError, asyncio.CancelledError):
            writer.close()
            return
        lines = [Line(self.loop, up_writer, self.delay), Line(self.loop, writer, self.delay)]
        try:
            await asyncio.gather(self.pump(reader, lines[0]), self.pump(up_reader, lines[1]),
                                 lines[0].deliver(), lines[1].deliver())
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            up_writer.close()

    async def pump(self, reader, line):
        while data := await reader.read(64 << 10):
            await line.send(data)
        line.queue.append((self.loop.time() + self.delay, None))
        line.wake.set()

    async def finish(self):
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self):
        asyncio.run_coroutine_threadsafe(self.finish(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
