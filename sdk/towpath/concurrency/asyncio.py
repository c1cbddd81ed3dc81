"""Slots and rates for asynchronous code; what waits holds up nothing else in the event loop.

from towpath.concurrency.asyncio import concurrency, rate_limit

async with concurrency("database", occupy=2):
    await load(rows)

await rate_limit("api")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from towpath.concurrency.requests import Request, acquire_async, wish_of
from towpath.context import current_claims, enter_claims, leave_claims
from towpath.errors import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]


@asynccontextmanager
async def concurrency(  # noqa: PLR0917 in the order that Prefect's users know
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> AsyncIterator[None]:
    """Hold slots of limits while the block runs; everything as in `towpath.concurrency.sync.concurrency`.

    Args:
        names: of one limit, or of several: slots of all of them, or none.
        occupy: slots of each.
        timeout_seconds: how long to wait for them; by default as long as it takes.
        max_retries: 0: do not wait at all.
        lease_duration: taken, and not needed.
        strict: whether a limit that does not exist is an error.
        raise_on_lease_renewal_failure: taken, and not needed.

    Raises:
        AcquireConcurrencySlotTimeoutError: they did not come free in time.
        ConcurrencySlotAcquisitionError: they cannot be had.
        ConfigurationError: the arguments make no sense.
    """
    del lease_duration, raise_on_lease_renewal_failure
    wish = wish_of(names, occupy, keeps=True, strict=strict)
    if wish is None:
        yield
        return
    request = Request(wish, timeout_seconds, patient=max_retries != 0)
    await acquire_async(request)
    try:
        token = enter_claims(current_claims() | ({request.number} if request.number is not None else frozenset()))
        try:
            yield
        finally:
            with suppress(ValueError):  # the block ends in another context than it began in
                leave_claims(token)
    finally:
        request.leave()


async def rate_limit(
    names: str | Iterable[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until slots of limits are free, and take them; everything as in `towpath.concurrency.sync.rate_limit`.

    Args:
        names: of one limit, or of several: slots of all of them, or none. Each has a slot decay.
        occupy: slots of each.
        timeout_seconds: how long to wait for them; by default as long as it takes.
        strict: whether a limit that does not exist is an error.

    Raises:
        AcquireConcurrencySlotTimeoutError: they did not come free in time.
        ConcurrencySlotAcquisitionError: they cannot be had; such as where a limit has no slot decay.
        ConfigurationError: the arguments make no sense.
    """
    wish = wish_of(names, occupy, keeps=False, strict=strict)
    if wish is not None:
        await acquire_async(Request(wish, timeout_seconds))
