"""What is done in the background: whoever waits for it hears how it went."""

from __future__ import annotations

import pytest
from tests.chaos.errand import Errand


def test_an_errand_that_fails_is_heard_of() -> None:
    """A round in which half of the runs were never started would look clean."""
    done: list[str] = []
    good, bad = Errand(lambda: done.append("good")), Errand(lambda: done.remove("bad"))
    for errand in (good, bad):
        errand.start()
    good.finish()
    assert done == ["good"]
    with pytest.raises(ValueError, match="not in list"):
        bad.finish()
