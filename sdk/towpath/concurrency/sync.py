"""Slots and rates for synchronous code.

from towpath.concurrency.sync import concurrency, rate_limit

with concurrency("database", occupy=2):     # at most so many at once, on this machine
    load(rows)

for page in pages:
    rate_limit("api")                       # at most so many in a second
    fetch(page)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from towpath.concurrency.requests import Request, acquire, wish_of
from towpath.context import current_claims, enter_claims, leave_claims
from towpath.errors import AcquireConcurrencySlotTimeoutError, ConcurrencySlotAcquisitionError

__all__ = ["AcquireConcurrencySlotTimeoutError", "ConcurrencySlotAcquisitionError", "concurrency", "rate_limit"]


@contextmanager
def concurrency(  # noqa: PLR0917 in the order that Prefect's users know
    names: str | Iterable[str],
    occupy: int = 1,
    timeout_seconds: float | None = None,
    max_retries: int | None = None,
    lease_duration: float = 300,
    strict: bool = False,
    raise_on_lease_renewal_failure: bool | None = None,
) -> Iterator[None]:
    """Hold slots of limits while the block runs, waiting for them first if need be.

    Slots are held by the process that runs the block: they are free as soon as the block has ended, however it did, or
    the process has. Who waits is served in order. A limit that does not exist limits nothing, and a warning says so.

    Args:
        names: of one limit, or of several: slots of all of them, or none.
        occupy: slots of each.
        timeout_seconds: how long to wait for them; by default as long as it takes.
        max_retries: 0: do not wait at all. Any other number changes nothing: nothing is tried again, whoever waits is
            told.
        lease_duration: taken, and not needed: slots last as long as their process, not as long as a lease.
        strict: whether a limit that does not exist is an error.
        raise_on_lease_renewal_failure: taken, and not needed: there is no lease.

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
    acquire(request)
    try:
        token = enter_claims(current_claims() | ({request.number} if request.number is not None else frozenset()))
        try:
            yield
        finally:
            with suppress(ValueError):  # the block ends in another context than it began in
                leave_claims(token)
    finally:
        request.leave()


def rate_limit(
    names: str | Iterable[str], occupy: int = 1, timeout_seconds: float | None = None, strict: bool = False
) -> None:
    """Wait until slots of limits are free, and take them: they come free by themselves, at the limits' own pace.

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
        acquire(Request(wish, timeout_seconds))
