"""What a type checker knows of flows, tasks, futures and states. Checked by `test_typing.py`; never run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

from towpath import (
    DaskTaskRunner,
    Future,
    FutureList,
    ProcessPoolTaskRunner,
    State,
    ThreadPoolTaskRunner,
    allow_failure,
    apause_flow_run,
    as_completed,
    asuspend_flow_run,
    flow,
    pause_flow_run,
    suspend_flow_run,
    task,
    unmapped,
    wait,
)
from towpath.input import Received, receive_input


@task
def double(x: int) -> int:
    return 2 * x


@task(retries=3, retry_delay_seconds=[1, 2], tags=["a"])
def named(x: int, *, name: str = "n") -> str:
    return name * x


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task
def count(n: int) -> Iterator[int]:
    yield from range(n)


@task
def generate(n: int) -> Generator[int, None, str]:
    yield n
    return ""


@task
async def stream(n: int) -> AsyncIterator[int]:
    yield n


@flow
def plain(x: int) -> float:
    return x / 2


@flow(name="with-options", retries=1, task_runner=ThreadPoolTaskRunner(2), image="i", infra_retries=2)
def optioned(x: int, y: str = "") -> list[str]:
    return [y] * x


@flow
async def async_flow(x: int) -> str:
    return str(x)


@flow(log_prints=True)
async def async_stream(x: int) -> AsyncGenerator[str, None]:
    yield str(x)


class Shop:
    @task
    def price(self, item: str) -> float:
        return len(item)

    @flow
    def open(self, hour: int) -> bool:
        return self.price("x") > hour

    @task
    async def order(self, item: str) -> int:
        return len(item)

    @task
    @classmethod
    def branches(cls, town: str) -> list[str]:
        return [town]

    @flow
    @staticmethod
    def close(hour: int) -> bool:
        return hour > 0


assert_type(double(1), int)
assert_type(double(1, return_state=True), State[int])
assert_type(double(1, wait_for=[]), int)
assert_type(double.submit(1), Future[int])
assert_type(double.submit(double.submit(1)), Future[int])
assert_type(double.submit(1, return_state=True), State[int])
assert_type(double.submit(1).result(), int)
assert_type(double.submit(1).wait(), State[int])
assert_type(double.map([1, 2]), FutureList[int])
assert_type(double.map([1, 2]).result(), list[int])
assert_type(double.fn(1), int)
assert_type(double.with_options(retries=2)(1), int)
assert_type(named(1, name="a"), str)
assert_type(named.map([1], name=unmapped("a")).result(), list[str])
assert_type(count(3), list[int])
assert_type(count.submit(3).result(), list[int])
assert_type(generate(3), list[int])
assert_type(plain(1), float)
assert_type(plain(1, return_state=True), State[float])
assert_type(plain.submit(1), Future[float])
assert_type(plain.map([1, 2]).result(), list[float])
assert_type(optioned(1, y="a"), list[str])
assert_type(optioned.with_options(image="j")(1), list[str])
assert_type(optioned.parameter_schema(), dict[str, Any])
assert_type(fetch.submit("u"), Future[bytes])
assert_type(fetch.submit("u").result(), bytes)
assert_type(fetch.map(["u"]).result(), list[bytes])
assert_type(stream.submit(1), Future[list[int]])
assert_type(Shop().price("a"), float)
assert_type(Shop().price.submit("a"), Future[float])
assert_type(Shop().open(9), bool)
assert_type(Shop().price("a", return_state=True), State[float])
assert_type(Shop().price.map(["a"]).result(), list[float])
assert_type(Shop().price.with_options(retries=1)("a"), float)
assert_type(Shop().order.submit("a"), Future[int])
assert_type(Shop().order.map(["a"]).result(), list[int])
assert_type(async_flow.submit(1), Future[str])
assert_type(async_flow.submit(1, return_state=True), State[str])
assert_type(async_flow.map([1]).result(), list[str])
assert_type(async_flow.with_options(retries=1).submit(1), Future[str])
assert_type(async_stream.submit(1).result(), list[str])
assert_type(fetch.with_options(retries=1).submit("u"), Future[bytes])
assert_type(fetch.map(["u"], return_state=True), list[State[bytes]])
assert_type(double.map([1], return_state=True), list[State[int]])
assert_type(double.map(double.map([1]), wait_for=[plain.submit(1)]), FutureList[int])
assert_type(double.submit(allow_failure(double.submit(1))), Future[int])
assert_type(double.submit(1).state, State[int])
assert_type(double.submit(1).wait().result(), int)
assert_type(double.submit(1).result(timeout=1.5, raise_on_failure=False), int)
assert_type(plain.with_options(task_runner=DaskTaskRunner(address="tcp://a:8786"))(1), float)
assert_type(plain.with_options(task_runner=ProcessPoolTaskRunner(2)).submit(1), Future[float])
assert_type(plain.with_options(task_runner=ThreadPoolTaskRunner)(1), float)
assert_type(asyncio.run(async_flow(1)), str)
assert_type(wait([double.submit(1)]).done, set[Future[int]])
assert_type(next(as_completed([double.submit(1)])), Future[int])


@double.on_failure
def hook(t: object, run: object, state: object) -> None: ...


@task(retries=1)
def decorated(x: int) -> int:
    return x


assert_type(decorated(1), int)


async def main() -> None:
    coroutine: Coroutine[Any, Any, bytes] = fetch("u")
    assert_type(await coroutine, bytes)
    assert_type(await fetch("u", return_state=True), State[bytes])
    assert_type(await fetch.submit("u"), bytes)
    assert_type(await async_flow(1), str)
    assert_type(await async_stream(1), list[str])
    assert_type(await stream(1), list[int])
    assert_type(await async_flow(1, return_state=True), State[str])
    assert_type(await fetch.with_options(retries=1)("u"), bytes)
    assert_type(await Shop().order("a"), int)
    assert_type(await asyncio.gather(fetch("u"), async_flow(1)), tuple[bytes, str])
    assert_type(await asyncio.create_task(fetch("u")), bytes)
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(async_flow(1)).result(), str)


double("1")  # type: ignore[call-overload]
plain(x="1")  # type: ignore[call-overload]
named(1, nam="x")  # type: ignore[call-overload]
task(retrys=3)  # type: ignore[call-overload]
flow(retries="3")  # type: ignore[call-overload]


async def waiting() -> None:
    assert_type(pause_flow_run(wait_for_input=int), int)
    pause_flow_run(key="a")
    assert_type(suspend_flow_run(wait_for_input=list[str], timeout=None), list[str])
    assert_type(await apause_flow_run(wait_for_input=int), int)
    assert_type(await asuspend_flow_run(wait_for_input=int), int)
    assert_type(receive_input(int), Received[int])
    for number in receive_input(int):
        assert_type(number, int)
