"""A proxy before the real API server that kills its client at a chosen write.

"Assume you are killed after every line" cannot be tried by killing at random: the interesting moments are milliseconds
wide. They all lie around the operator's writes, so the operator is made to talk through this proxy, which kills it with
SIGKILL either before its n-th write reaches the API server, or after the API server has carried it out but before the
operator hears of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Literal, Self

import aiohttp
from aiohttp import web
from tests.kube import Kube

Moment = Literal["before", "after"]
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "host",
    "accept-encoding",
    "content-encoding",
}


class KillingProxy:
    """Forwards everything on a loopback port; counts the writes and kills at the armed one."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.writes: list[str] = []
        self.port = 0
        self.killed = threading.Event()
        self._armed: tuple[int, Moment, Callable[[], None]] | None = None
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def arm(self, nth_write: int, moment: Moment, kill: Callable[[], None]) -> None:
        """Kill once, at the n-th write from now (1 is the next)."""
        self.killed.clear()
        self._armed = (len(self.writes) + nth_write, moment, kill)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        self._stopping = asyncio.Event()
        async with aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        ) as self._session:
            application = web.Application(client_max_size=2**24)
            application.router.add_route("*", "/{path:.*}", self._forward)
            runner = web.AppRunner(application, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stopping.wait()
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        moment, kill = None, None
        if request.method in WRITES and "/events" not in request.path and "selfsubject" not in request.path:
            self.writes.append(f"{request.method} {request.path}")
            if self._armed and len(self.writes) == self._armed[0]:
                _, moment, kill = self._armed
                self._armed = None
        if kill and moment == "before":
            self._kill(kill)
            return web.Response(status=503)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method,
            self.kube.server + request.path_qs,
            data=await request.read() or None,  # an empty body would be given a media type
            headers=headers,
            ssl=self.kube.tls,
        ) as answer:
            if kill:
                await answer.read()
                self._kill(kill)
                return web.Response(status=503)
            response = web.StreamResponse(
                status=answer.status,
                headers={name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP},
            )
            try:
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                pass  # one side has gone; the other will notice
            return response

    def _kill(self, kill: Callable[[], None]) -> None:
        kill()
        self.killed.set()
