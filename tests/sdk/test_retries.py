"""Delays between tries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.naming import steady

from towpath.errors import ConfigurationError
from towpath.retries import delay_before, delays_of, exponential_backoff, jittered

DELAYS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("spec", "retries", "expected"),
    [
        (None, 3, [0, 0, 0]),
        (0, 2, [0, 0]),
        (2.5, 3, [2.5, 2.5, 2.5]),
        ([1, 10], 4, [1, 10, 10, 10]),
        ((7,), 2, [7, 7]),
        ([1, 2, 3], 2, [1, 2]),
        (exponential_backoff(2), 4, [2, 4, 8, 16]),
        (lambda retries: [float(retries)] * retries, 3, [3, 3, 3]),
    ],
    ids=["none", "zero", "number", "the last repeats", "one", "longer than needed", "backoff", "function"],
)
def test_delays_are_spelt_out(spec: object, retries: int, expected: list[float]) -> None:
    """A number, a list or a function gives the delay before each retry."""
    delays = delays_of(spec, retries)  # type: ignore[arg-type]
    assert [delay_before(delays, retry) for retry in range(1, retries + 1)] == expected


@pytest.mark.parametrize(
    "spec", [-1, math.inf, math.nan, [1, -2], ["1"], True, [0.0] * 51, lambda _: [None]], ids=steady
)
def test_delays_that_cannot_be_are_refused(spec: object) -> None:
    """Negative, endless or too many delays are refused where they are written, not when a run fails."""
    with pytest.raises(ConfigurationError, match="retry_delay_seconds"):
        delays_of(spec, 3)  # type: ignore[arg-type]


def test_backoff_stops_growing_after_fifty_retries() -> None:
    """More retries than delays may have: the last delay repeats."""
    assert len(delays_of(exponential_backoff(1), 1000)) == 50


@given(delays=DELAYS, retry=st.integers(1, 200))
def test_the_delay_is_one_of_those_given(delays: list[float], retry: int) -> None:
    """The n-th retry has the n-th delay, and the last for ever after."""
    assert delay_before(tuple(delays), retry) == delays[min(retry, len(delays)) - 1]


@given(delay=st.floats(0, 1e6), factor=st.floats(0, 100), dice=st.floats(0, 1, exclude_max=True))
def test_jitter_stays_within_bounds(delay: float, factor: float, dice: float) -> None:
    """Never below zero, never above delay * (1 + factor), and none at all without a factor."""
    spread = jittered(delay, factor, lambda: dice)
    assert 0 <= spread <= delay * (1 + factor) * (1 + 1e-9)
    if factor == 0:
        assert spread == delay


@given(delay=st.floats(0.001, 1e3), factor=st.floats(0.01, 5), low=st.floats(0, 0.99), step=st.floats(0.001, 0.01))
def test_jitter_grows_with_the_dice(delay: float, factor: float, low: float, step: float) -> None:
    """A higher throw never gives a shorter delay, so every delay between the bounds can come up."""
    assert jittered(delay, factor, lambda: low) <= jittered(delay, factor, lambda: min(low + step, 0.999999)) + 1e-12


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 3.0])
def test_jitter_keeps_the_mean(factor: float) -> None:
    """Over all throws the mean is the delay itself, within two percent."""
    throws = 2000
    mean = sum(jittered(1.0, factor, lambda i=i: (i + 0.5) / throws) for i in range(throws)) / throws  # type: ignore[misc]
    assert mean == pytest.approx(1.0, rel=0.02)
