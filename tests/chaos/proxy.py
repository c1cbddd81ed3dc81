"""A proxy between operators and the real API server that makes trouble: the answers, watches and silences of bad days.

Each operator has a port of its own, so trouble can be one operator's alone, as when its node is cut off. What is sent is
marked with who sent it and when, in the user agent, which the API server writes into its audit log: so the judge sees
what each operator did while it held the Lease, however late it was carried out.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Self

import aiohttp
from aiohttp import web
from tests.kube import Kube

Moment = Literal["before", "after"]
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding", "content-encoding"}
)


class Fault(StrEnum):
    """What can be done to a request."""

    TOO_MANY = "429"  # with Retry-After
    ERROR = "500"  # the request is not carried out
    LOST_ANSWER = "500 after"  # it is, but nobody hears of it
    CONFLICT = "409"  # as of a quota, or of an object that was changed
    GONE = "410"  # a version that is too old: as an answer to lists and watches
    GONE_EVENT = "410 event"  # the same, in the middle of a watch
    DROPPED_WATCH = "dropped watch"
    HALF_ANSWER = "half answer"  # lists and events that end in the middle
    DELAY = "delay"
    SILENT_WATCH = "silent watch"  # open, but nothing comes any more; cut when the trouble is over
    CUT = "cut off"  # no connection at all


#: Faults of single requests, of which some share of all is hit.
ANSWERS = (Fault.TOO_MANY, Fault.ERROR, Fault.LOST_ANSWER, Fault.CONFLICT, Fault.DELAY, Fault.HALF_ANSWER)
#: Faults of watches, and of the lists that follow.
WATCHES = (Fault.GONE, Fault.GONE_EVENT, Fault.DROPPED_WATCH, Fault.HALF_ANSWER, Fault.SILENT_WATCH)
_STATUS: Mapping[Fault, tuple[int, str]] = {
    Fault.TOO_MANY: (429, "TooManyRequests"),
    Fault.ERROR: (500, "InternalError"),
    Fault.LOST_ANSWER: (500, "InternalError"),
    Fault.CONFLICT: (409, "Conflict"),
    Fault.GONE: (410, "Expired"),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong for the moment.

    Args:
        faults: any of them may hit a request that it fits.
        share: of the requests that are hit; of watches, of those that begin or are open.
    """

    faults: tuple[Fault, ...] = ()
    share: float = 0.0


@dataclass
class Seat:
    """One operator's connection."""

    name: str
    port: int = 0
    trouble: Trouble = field(default_factory=Trouble)
    watches: dict[asyncio.Task[object], asyncio.Event] = field(default_factory=dict)
    writes: int = 0
    armed: tuple[int, Moment, Callable[[], None]] | None = None


class Proxy:
    """Forwards what operators ask of the API server, as an identity that the chart gives them, and troubles it.

    Args:
        kube: the API server, as an administrator who may speak for others.
        operators: their names.
        identity: the user that they are for the API server.
        seed: of what is hit.
    """

    def __init__(self, kube: Kube, operators: tuple[str, ...], identity: str, seed: int) -> None:
        self.kube, self.identity = kube, identity
        self.seats = {name: Seat(name) for name in operators}
        self.done: dict[Fault, int] = dict.fromkeys(Fault, 0)
        self._random = random.Random(seed)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    def trouble(self, trouble: Trouble, *names: str) -> None:
        """Make trouble for some operators, or for all, until it is called with other trouble, or none."""

        def begin() -> None:
            for seat in map(self.seats.__getitem__, names or self.seats):
                silent_before = Fault.SILENT_WATCH in seat.trouble.faults
                seat.trouble = trouble
                hits = {Fault.DROPPED_WATCH, Fault.CUT} & set(trouble.faults)
                for task, shaken in seat.watches.items():
                    shaken.set()  # those that wait for an event look at what is wrong now
                    if hits or silent_before:
                        task.cancel()

        self._loop.call_soon_threadsafe(begin)

    def arm(self, name: str, nth_write: int, moment: Moment, kill: Callable[[], None]) -> None:
        """Kill once, before or after an operator's n-th write from now (1 is the next) is carried out."""
        seat = self.seats[name]
        seat.armed = (seat.writes + nth_write, moment, kill)

    def disarm(self) -> None:
        """Forget a kill that has not come about."""
        for seat in self.seats.values():
            seat.armed = None

    async def _main(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        limits = aiohttp.ClientTimeout(total=None, sock_connect=5)
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=limits, connector=connections) as self._session:
            runners = [await self._open(seat) for seat in self.seats.values()]
            self._ready.set()
            await self._stopping.wait()
            for runner in runners:
                await runner.cleanup()

    async def _open(self, seat: Seat) -> web.AppRunner:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                return await self._handle(seat, request)
            except _HangUpError:
                if request.transport:
                    request.transport.abort()
                return web.Response()  # which reaches nobody

        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", seat.port).start()
        seat.port = runner.addresses[0][1]
        return runner

    async def _handle(self, seat: Seat, request: web.Request) -> web.StreamResponse:
        sent, is_watch = time.time(), request.query.get("watch") in {"1", "true", "True"}
        fault = self._fault(seat, request, is_watch=is_watch)
        moment, kill = self._count(seat, request)
        if kill and moment == "before":
            kill()
            raise _HangUpError
        try:
            if fault is Fault.DELAY:
                await asyncio.sleep(self._random.uniform(0.2, 4.0))
            elif fault in {Fault.ERROR, Fault.TOO_MANY, Fault.CONFLICT, Fault.GONE}:
                return _refusal(fault)
            elif fault in {Fault.CUT, Fault.DROPPED_WATCH}:
                raise _HangUpError
            return await self._forward(seat, request, fault, kill, sent=sent, is_watch=is_watch)
        except (aiohttp.ClientError, ConnectionError):
            raise _HangUpError from None  # as it is there, so it is here

    def _count(self, seat: Seat, request: web.Request) -> tuple[Moment | None, Callable[[], None] | None]:
        """Count a write that matters to a run, and tell whether its sender is to be killed at it."""
        if request.method in WRITES and not {"events", "leases"} & set(request.path.split("/")):
            seat.writes += 1
            if seat.armed and seat.writes >= seat.armed[0]:
                _, moment, kill = seat.armed
                seat.armed = None
                return moment, kill
        return None, None

    def _fault(self, seat: Seat, request: web.Request, *, is_watch: bool) -> Fault | None:
        trouble = seat.trouble
        if Fault.CUT in trouble.faults:
            fault = Fault.CUT
        else:
            fits = [fault for fault in trouble.faults if _fits(fault, request.method, is_watch=is_watch)]
            if not fits or self._random.random() >= trouble.share:
                return None
            fault = self._random.choice(fits)
        self.done[fault] += 1
        return fault

    async def _forward(
        self,
        seat: Seat,
        request: web.Request,
        fault: Fault | None,
        kill: Callable[[], None] | None,
        *,
        sent: float,
        is_watch: bool,
    ) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["Accept-Encoding"] = "identity"  # long lists would come compressed
        headers["Impersonate-User"] = self.identity
        headers["User-Agent"] = f"operator={seat.name} sent={sent:.3f}"
        async with self._session.request(
            request.method,
            self.kube.server + request.path_qs,
            data=await request.read() or None,  # an empty body would be given a media type
            headers=headers,
            ssl=self.kube.tls,
        ) as answer:
            if kill or fault is Fault.LOST_ANSWER:
                await answer.read()
                if kill:
                    kill()
                    raise _HangUpError
                return _refusal(Fault.LOST_ANSWER)
            response = web.StreamResponse(
                status=answer.status,
                headers={name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP},
            )
            try:
                await response.prepare(request)
                if is_watch and answer.status == 200:
                    await self._watch(seat, request, response, answer.content.iter_any(), fault)
                elif fault is Fault.HALF_ANSWER:
                    whole = await answer.read()
                    await response.write(whole[: len(whole) // 2])
                    raise _HangUpError
                else:
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                raise _HangUpError from None  # one side has gone; the other must notice
            finally:
                if answer.connection and answer.connection.transport:  # what is not read to its end is cut short:
                    answer.connection.transport.abort()  # a farewell in TLS may take longer than the proxy is there
            return response

    async def _watch(
        self,
        seat: Seat,
        request: web.Request,
        response: web.StreamResponse,
        chunks: AsyncIterator[bytes],
        fault: Fault | None,
    ) -> None:
        """Pass events on, until trouble ends it."""
        task, shaken = asyncio.current_task(), asyncio.Event()
        assert task
        seat.watches[task] = shaken
        coming = asyncio.ensure_future(anext(chunks, None))
        shake = asyncio.ensure_future(shaken.wait())
        try:
            while True:
                done, _ = await asyncio.wait({coming, shake}, return_when=asyncio.FIRST_COMPLETED)
                if shake in done:
                    shaken.clear()
                    shake = asyncio.ensure_future(shaken.wait())
                    fault = self._fault(seat, request, is_watch=True)
                if coming not in done:
                    if fault is Fault.GONE_EVENT:
                        await response.write(
                            json.dumps({"type": "ERROR", "object": _status(Fault.GONE)}).encode() + b"\n"
                        )
                        return
                    continue
                chunk = coming.result()
                if chunk is None:
                    return
                if fault is Fault.SILENT_WATCH:
                    pass  # the operator is not told, until the watch is cut and taken up anew
                elif fault is Fault.HALF_ANSWER:
                    await response.write(chunk[: len(chunk) // 2])
                    raise _HangUpError
                else:
                    await response.write(chunk)
                coming = asyncio.ensure_future(anext(chunks, None))
        except asyncio.CancelledError:
            raise _HangUpError from None
        finally:
            coming.cancel()
            shake.cancel()
            del seat.watches[task]


def _fits(fault: Fault, method: str, *, is_watch: bool) -> bool:
    match fault:
        case Fault.CONFLICT:
            return method in {"POST", "PATCH"}
        case Fault.LOST_ANSWER:
            return method in WRITES
        case Fault.GONE:
            return method == "GET" and is_watch
        case Fault.GONE_EVENT | Fault.DROPPED_WATCH | Fault.SILENT_WATCH:
            return is_watch
        case Fault.HALF_ANSWER:
            return method == "GET"
        case _:
            return True


def _status(fault: Fault) -> dict[str, object]:
    code, reason = _STATUS[fault]
    message = f"{reason}, for the sake of it"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _refusal(fault: Fault) -> web.Response:
    headers = {"Retry-After": "1"} if fault is Fault.TOO_MANY else {}
    return web.json_response(_status(fault), status=_STATUS[fault][0], headers=headers)


class _HangUpError(Exception):
    """The connection is to be cut in the middle, as a broken network does it; nothing is answered."""
