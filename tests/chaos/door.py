"""Where the API server looks for the webhook: it leads to an operator that listens, to nobody, or into silence."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Self


class Way(StrEnum):
    """Where a door leads."""

    OPERATOR = "to any operator that listens"
    NOBODY = "connections are cut"
    SILENCE = "connections are taken, and nothing comes back"


class Door:
    """Passes connections on, as a Service does to the pods behind it, unless it is told otherwise.

    Args:
        host: the address of this machine that the API server reaches.
        ports: gives those that operators listen on now.
    """

    def __init__(self, host: str, ports: Callable[[], Sequence[int]]) -> None:
        self.host, self.port = host, 0
        self._ports = ports
        self._way = Way.OPERATOR
        self._open: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    def lead(self, way: Way) -> None:
        """Lead elsewhere; connections that are there are cut, for the API server keeps them for long."""

        async def turn() -> None:
            self._way = way
            self._cut()

        asyncio.run_coroutine_threadsafe(turn(), self._loop).result(30)

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._welcome, self.host, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        self._cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _cut(self) -> None:
        for task in self._open:
            task.cancel()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                if self._way is Way.SILENCE:
                    await reader.read(-1)  # until the other side has had enough
                elif self._way is Way.OPERATOR:
                    await self._pass_on(reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._ports():
            with contextlib.suppress(OSError):  # that operator has just gone
                there, back = await asyncio.open_connection("127.0.0.1", port)
                pumps = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    back.transport.abort()
                return


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
