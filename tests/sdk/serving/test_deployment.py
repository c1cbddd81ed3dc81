"""What is served: options, parameters, schedules, and where the flow is found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from tests.naming import steady

from towpath import flow
from towpath.errors import ConfigurationError, EntrypointError, ParameterError
from towpath.flows import Flow
from towpath.schedules import Cron, Interval, RRule
from towpath.serving.agenda import MissedRuns
from towpath.serving.place import place_of
from towpath.serving.session import serve


@flow(version="7")
def etl(day: int, full: bool = False) -> None:
    """Load a day."""


@flow
def anything(**options: Any) -> None:
    """Take anything."""


trusting = etl.with_options(validate_parameters=False)
patient = etl.with_options(retries=9)


def test_a_deployment_is_named_after_its_flow_and_takes_its_words() -> None:
    """Name, description and version are the flow's unless something else is said."""
    plain = etl.to_deployment()
    assert (plain.key, plain.description, plain.version) == ("etl/etl", "Load a day.", "7")
    own = etl.to_deployment("nightly", description="Every night.", version="8", tags=["a", "b", "a"])
    assert (own.key, own.description, own.version, own.tags) == ("etl/nightly", "Every night.", "8", {"a", "b"})


def test_each_way_of_saying_when_gives_a_schedule() -> None:
    """One or several of each kind, beside schedules as such."""
    several = Cron("0 9 * * *", "Europe/Berlin", slug="mornings")
    made = etl.to_deployment(
        interval=[60, timedelta(hours=1)],
        cron=["@daily", "@weekly"],
        rrule="FREQ=YEARLY",
        schedule=several,
        schedules=[Interval(5, parameters={"day": 3})],
        parameters={"day": 1},
    )
    assert [type(one) for one in made.schedules] == [Interval, Interval, Cron, Cron, RRule, Cron, Interval]
    assert made.schedules[5] == several
    assert made.missed_runs is MissedRuns.ALL


def test_parameters_are_kept_as_json() -> None:
    """What validation turns back into the same."""
    from datetime import date

    made = anything.to_deployment(parameters={"day": date(2026, 1, 31), "names": ("a", "b")})
    assert made.parameters == {"day": "2026-01-31", "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"cron": "61 * * * *"}, ConfigurationError, "minute '61'"),
        ({"interval": 0}, ConfigurationError, "at least one second"),
        ({"schedules": ["@daily"]}, ConfigurationError, r"Cron\(\.\.\.\), Interval\(\.\.\.\) or RRule.*got '@daily'"),
        ({"cron": ["@daily", "@daily"], "parameters": {"day": 1}}, ConfigurationError, "must differ.*say the same"),
        (
            {"schedules": [Interval(5, slug="s"), Interval(6, slug="s")], "parameters": {"day": 1}},
            ConfigurationError,
            "have the slug 's'",
        ),
        ({"tags": "daily"}, ConfigurationError, r"such as \['daily'\]"),
        ({"missed_runs": "some"}, ConfigurationError, "missed_runs must be one of 'all', 'latest', 'skip'; got 'some'"),
        ({"concurrency_limit": 0}, ConfigurationError, "concurrency_limit must be a whole number, 1 or more"),
        ({"concurrency_limit": True}, ConfigurationError, "got True"),
        ({"work_pool_name": "x"}, ConfigurationError, "no option 'work_pool_name'. Its options are: .*interval"),
        ({"parameters": {"dya": 1}}, ParameterError, "dya=1 is not a parameter of the flow.*The flow takes day, full"),
        ({"parameters": {"day": object()}}, ParameterError, "Parameter 'day' of flow 'etl'.*no form in JSON"),
        ({"cron": "@daily"}, ParameterError, "day is missing"),
        ({"cron": "@daily", "parameters": {"day": "x"}}, ParameterError, "day='x' must be a whole number"),
        ({"schedules": [Interval(5, parameters={"dya": 1})]}, ParameterError, "dya=1 is not a parameter"),
    ],
    ids=steady,
)
def test_what_cannot_be_served_is_said_at_once(options: dict[str, Any], error: type[Exception], words: str) -> None:
    """Not when the first run fails at night: which option, which value, and what would do."""
    with pytest.raises(error, match=words):
        etl.to_deployment("nightly", **options)


@pytest.mark.parametrize("name", ["", " ", "a/b", 7])
def test_a_name_is_a_text_without_a_slash(name: Any) -> None:
    """The slash stands between flow and deployment."""
    with pytest.raises(ConfigurationError, match="without '/', such as 'nightly'"):
        etl.to_deployment(name)


def test_a_switched_off_schedule_need_not_be_able_to_run() -> None:
    """It makes no runs; parameters that the flow does not have are a mistake all the same."""
    assert etl.to_deployment(schedules=[Cron("@daily", active=False)]).schedules[0].active is False
    with pytest.raises(ParameterError, match="dya"):
        etl.to_deployment(schedules=[Cron("@daily", active=False, parameters={"dya": 1})])


def test_a_flow_that_does_not_validate_takes_what_it_is_given() -> None:
    """But what is missing is missing all the same."""
    made = trusting.to_deployment(cron="@daily", parameters={"day": "x"})
    assert made.parameters == {"day": "x"}
    with pytest.raises(ParameterError, match="day is missing"):
        trusting.to_deployment(cron="@daily")


def test_required_parameters_may_come_with_the_call() -> None:
    """Without a schedule nothing is missing yet."""
    assert etl.to_deployment().parameters == {}


def test_the_place_of_a_flow_in_a_module() -> None:
    """Its module and name, and Python's path as it is here."""
    place = place_of(etl)
    assert place.entrypoint == f"{__name__}:etl"
    assert all(entry for entry in place.path)
    assert set(filter(None, sys.path)) <= set(place.path)


def test_a_flow_with_options_of_its_own_is_found_under_its_own_name() -> None:
    """The other process loads the same object, with the same options."""
    assert place_of(patient).entrypoint == f"{__name__}:patient"
    with pytest.raises(EntrypointError, match=r"no name for it as it is, with its options.*nightly = etl.with_options"):
        place_of(etl.with_options(retries=1))


class Report:
    """A class with a flow."""

    @flow
    @staticmethod
    def daily() -> None:
        """Report."""


def test_a_flow_in_a_class_is_found_too() -> None:
    """By its qualified name."""
    assert place_of(Report.daily).entrypoint == f"{__name__}:Report.daily"


def test_a_local_flow_cannot_be_served() -> None:
    """No other process could load it."""

    @flow
    def local() -> None:
        pass

    with pytest.raises(EntrypointError, match=r"it is local, .*Move it to the top level of a file"):
        local.to_deployment()


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ModuleType, Flow[Any, Any]]]:
    """Give what makes a script of a flow."""

    def make(**attributes: Any) -> tuple[ModuleType, Flow[Any, Any]]:
        module = ModuleType("__main__")
        vars(module).update(attributes)
        exec("def etl(): pass", vars(module))
        made: Flow[Any, Any] = flow(module.etl)
        module.etl = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "__main__", module)
        return module, made

    return make


def test_the_place_of_a_flow_in_a_script(main: Callable[..., Any]) -> None:
    """`python etl.py`: the file; `python -m jobs.etl`: the module."""
    _, script = main(__file__=__file__)
    assert place_of(script).entrypoint == f"{__file__}:etl"

    class Spec:
        name = "jobs.etl"

    _, module = main(__spec__=Spec())
    assert place_of(module).entrypoint == "jobs.etl:etl"


def test_a_flow_typed_into_a_session_cannot_be_served(main: Callable[..., Any]) -> None:
    """There is no file that another process could load."""
    _, typed = main()
    with pytest.raises(EntrypointError, match=r"interactive session.*Write it into a file"):
        typed.to_deployment()


@pytest.mark.parametrize(
    ("deployments", "options", "words"),
    [
        ([], {}, "nothing to serve"),
        ([etl], {}, r"made by flow\.to_deployment"),
        ([etl.to_deployment(), etl.to_deployment()], {}, "2 deployments are called 'etl/etl'"),
        ([etl.to_deployment()], {"limit": 0}, "limit must be a whole number, 1 or more"),
        ([etl.to_deployment()], {"webserver": True}, "no option 'webserver'. Its options are: limit, "),
        ([etl.to_deployment()], {}, "history, which is switched off"),
    ],
)
def test_what_cannot_be_served_is_refused(deployments: list[Any], options: dict[str, Any], words: str) -> None:
    """Before anything is written or started. (The tests' history is switched off.)"""
    with pytest.raises(ConfigurationError, match=words):
        serve(*deployments, **options)
