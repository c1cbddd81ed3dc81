"""Which failed writes give back what was reserved for them."""

from __future__ import annotations

import pytest

from towpath.errors import ClusterError, Unreachable
from towpath_operator.apply import is_final
from towpath_operator.runtime.client import ApiError, FencedError


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (ApiError(409, "Conflict", "no"), True),
        (ApiError(404, "NotFound", "the namespace is gone"), True),
        (ApiError(429, "TooManyRequests", "later"), True),
        (ApiError(500, "InternalError", "a webhook did not answer"), False),
        (ApiError(504, "Timeout", "it took too long"), False),
        (Unreachable("no answer"), False),
        (FencedError("not sent"), True),
        (ClusterError("A Job of that name belongs to somebody else."), True),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:30],
)
def test_only_a_write_that_was_surely_not_done_gives_its_place_back(error: ClusterError, final: bool) -> None:
    """An API server that says no has done nothing; one that breaks down, or does not answer, may have."""
    assert is_final(error) is final
