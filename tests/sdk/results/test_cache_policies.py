"""What keys depend on, and the algebra of policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.results.values import anything

from towpath import Task, task
from towpath.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKeyFnPolicy,
    CachePolicy,
    CompoundCachePolicy,
    Inputs,
)
from towpath.caching import Uncacheable
from towpath.context import RunContext
from towpath.errors import ConfigurationError
from towpath.locking.memory import MemoryLockManager
from towpath.runs import FlowRun, TaskRun


@dataclass
class Weekday(CachePolicy):
    """An author's own."""

    day: str = "Mon"

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
        return self.day


def first(x: int, y: int = 0) -> int:
    return x + y


def second(x: int, y: int = 0) -> int:
    return x * y


def context(fn: Any = first, run: FlowRun | None = None) -> RunContext:
    """Where a task run stands."""
    made: Task[..., Any] = task(fn)
    task_run = TaskRun(made.name, 0, run, frozenset(), dict)
    return RunContext(flow=None, flow_run=run, scope=None, log_prints=False, task=made, task_run=task_run)


RUN = FlowRun("etl", id="run-1")


def key(policy: CachePolicy, fn: Any = first, run: FlowRun | None = RUN, flow: Any = None, **inputs: Any) -> str | None:
    """Compute a key."""
    return policy.compute_key(context(fn, run), inputs, flow or {})


def sum_of(members: list[CachePolicy]) -> CachePolicy:
    """Add policies up, from the left."""
    total = members[0]
    for member in members[1:]:
        total = total + member
    return total


atoms = st.sampled_from([INPUTS, TASK_SOURCE, FLOW_PARAMETERS, RUN_ID, Weekday(), INPUTS - "x", INPUTS - "y", NO_CACHE])
policies = st.lists(atoms, min_size=1, max_size=5).map(sum_of)
inputs = st.fixed_dictionaries({"x": anything, "y": anything})


@given(policies, policies, inputs)
def test_the_order_of_a_sum_means_nothing(one: CachePolicy, other: CachePolicy, given: dict[str, Any]) -> None:
    """A + B and B + A are the same policy with the same keys."""
    assert one + other == other + one
    assert key(one + other, **given) == key(other + one, **given)


@given(policies, policies, policies, inputs)
def test_brackets_in_a_sum_mean_nothing(
    one: CachePolicy, two: CachePolicy, three: CachePolicy, given: dict[str, Any]
) -> None:
    """(A + B) + C and A + (B + C) are the same."""
    assert (one + two) + three == one + (two + three)
    assert key((one + two) + three, **given) == key(one + (two + three), **given)


@given(policies, inputs)
def test_adding_twice_or_adding_nothing_changes_nothing(policy: CachePolicy, given: dict[str, Any]) -> None:
    """A + A is A, and so is A + NO_CACHE."""
    assert policy + policy == policy + NO_CACHE == NO_CACHE + policy == policy + NONE
    assert key(policy + policy, **given) == key(policy, **given)


@given(policies, policies, st.sampled_from("xyz"), inputs)
def test_taking_a_parameter_out_of_a_sum_is_taking_it_out_of_its_parts(
    one: CachePolicy, other: CachePolicy, name: str, given: dict[str, Any]
) -> None:
    """(A + B) - x is (A - x) + (B - x); taken out is taken out, however often."""
    assert (one + other) - name == (one - name) + (other - name)
    assert (one - name) - name == one - name
    assert key((one + other) - name, **given) == key((one - name) + (other - name), **given)


@given(inputs, anything)
def test_what_is_taken_out_does_not_matter(given: dict[str, Any], other: Any) -> None:
    """The key of INPUTS - x is the same for all x."""
    assert key(INPUTS - "x", **given) == key(INPUTS - "x", **(given | {"x": other}))


def test_each_policy_looks_at_its_own() -> None:
    """INPUTS at the arguments, TASK_SOURCE at the code, FLOW_PARAMETERS at the flow's, RUN_ID at the run."""
    other_run = FlowRun("etl", id="run-2")
    base = {"x": 1, "y": 2}
    changed: dict[str, Any] = {
        "inputs": {"x": 2}, "source": {"fn": second}, "flow": {"flow": {"day": 2}}, "run": {"run": other_run}
    }  # fmt: skip
    sees = {"inputs": INPUTS, "source": TASK_SOURCE, "flow": FLOW_PARAMETERS, "run": RUN_ID}
    for name, policy in sees.items():
        original = key(policy, **{"flow": {"day": 1}, **base})
        for what, change in changed.items():
            differs = key(policy, **{"flow": {"day": 1}, **base, **change}) != original
            assert differs == (what == name), f"{name} and {what}"


def test_the_default_is_inputs_code_and_run() -> None:
    """As everybody who has read of it expects."""
    assert DEFAULT == RUN_ID + INPUTS + TASK_SOURCE


def test_a_task_without_arguments_has_a_key() -> None:
    """`INPUTS` caches it; there is just one."""
    assert key(INPUTS) == key(INPUTS) is not None


def test_policies_without_a_say_leave_it_to_the_others() -> None:
    """Outside of flows FLOW_PARAMETERS looks at nothing."""
    assert key(FLOW_PARAMETERS, run=None) is None
    assert key(INPUTS + FLOW_PARAMETERS, run=None, x=1) == key(INPUTS, run=None, x=1)
    assert key(NO_CACHE, x=1) is None
    assert key(CompoundCachePolicy()) is None


def test_outside_of_flows_a_run_is_a_task_run() -> None:
    """Hence no other has its key."""
    assert key(RUN_ID, run=None) != key(RUN_ID, run=None)


def test_the_source_is_there_for_all_that_can_be_called() -> None:
    """Objects, functions of C and functions without a file have something like it."""

    class Callable:
        def __call__(self) -> None: ...

        __hash__ = None  # type: ignore[assignment]

    space: dict[str, Any] = {}
    exec("def f(): return 1\ndef g(): return 2", space)
    keys = [key(TASK_SOURCE, fn=fn) for fn in (Callable(), len, print, space["f"], space["g"], first)]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert key(TASK_SOURCE, fn=Callable()) == keys[0]


def test_only_keys_of_our_own_policies_belong_to_the_task() -> None:
    """Where an author's function has a say, it says everything."""
    own = CachePolicy.from_cache_key_fn(lambda context, parameters: "k")
    assert (INPUTS + TASK_SOURCE - "x").belongs_to_task
    assert not own.belongs_to_task
    assert not (INPUTS + own).belongs_to_task
    assert not (INPUTS + Weekday()).belongs_to_task


def test_a_key_function_gives_a_text_or_none() -> None:
    """It is asked with the context and the parameters; anything else is refused with what it gave."""
    asked: list[Any] = []

    def ask(context: Any, parameters: dict[str, Any]) -> str:
        asked.append((context.task.name, parameters))
        return "k"

    assert key(CacheKeyFnPolicy(cache_key_fn=ask), x=1) == "k"
    assert asked == [("first", {"x": 1})]
    assert key(CacheKeyFnPolicy()) is None
    for wrong in (42, "", b"k"):
        with pytest.raises(ConfigurationError, match=r"gives a text or None; .* gave " + repr(wrong)):
            key(CacheKeyFnPolicy(cache_key_fn=lambda *_, wrong=wrong: wrong))


def test_what_has_no_key_is_named_with_the_cure() -> None:
    """The parameter, what is wrong with it, and how to leave it out."""
    with pytest.raises(
        Uncacheable, match=r"parameter 'x' cannot be part of a key, a builtins\.generator .*INPUTS - 'x'"
    ):
        key(INPUTS, x=(i for i in ()), y=1)
    assert key(INPUTS - "x", x=(i for i in ()), y=1)


def test_settings_are_added_up_too() -> None:
    """Said once they hold for the sum; said twice they have to agree."""
    locks = MemoryLockManager()
    one, other = INPUTS.configure(key_storage="keys"), TASK_SOURCE.configure(lock_manager=locks)
    total = one + other
    assert (total.key_storage, total.lock_manager, total.isolation_level) == ("keys", locks, None)
    assert (total - "x").key_storage == "keys"
    assert INPUTS.key_storage is None
    again = total.configure(isolation_level="SERIALIZABLE")
    assert (again.isolation_level, again.key_storage) == ("SERIALIZABLE", "keys")
    with pytest.raises(ConfigurationError, match=r"different key_storage: 'keys' and 'elsewhere'"):
        _ = one + RUN_ID.configure(key_storage="elsewhere")
    with pytest.raises(ValueError, match="different isolation_level"):
        _ = again + RUN_ID.configure(isolation_level="READ_COMMITTED")


def test_what_is_no_policy_cannot_be_added_or_taken_out() -> None:
    """The mistake is told where it stands."""
    with pytest.raises(TypeError):
        _ = INPUTS + "x"  # type: ignore[operator]
    for policy in (INPUTS, TASK_SOURCE, DEFAULT):
        with pytest.raises(TypeError, match="by its name; got 1"):
            _ = policy - 1  # type: ignore[operator]
    with pytest.raises(NotImplementedError, match="CachePolicy does not define compute_key"):
        key(CachePolicy())


@pytest.mark.parametrize("exclude", ["debug", ["debug"], ("debug", "debug"), {"debug"}], ids=repr)
def test_what_is_excluded_may_be_said_in_any_form(exclude: Any) -> None:
    """One name or several."""
    assert Inputs(exclude=exclude) == INPUTS - "debug"
