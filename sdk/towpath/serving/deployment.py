"""What is served: a flow with parameters, tags and schedules of its own, under a name."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from towpath.errors import ConfigurationError, ParameterError
from towpath.parameter_words import sentence, unknown
from towpath.serving.agenda import MissedRuns
from towpath.serving.given import as_json
from towpath.serving.turns import limit_of, said_of_turns

if TYPE_CHECKING:
    from towpath.flows import Flow
    from towpath.schedules import Schedule
    from towpath.serving.place import Place
    from towpath.serving.turns import ConcurrencyLimitConfig

Seconds: TypeAlias = float | timedelta


@dataclass(frozen=True, slots=True)
class ServedDeployment:
    """A flow with parameters, tags and schedules of its own, under a name; made by `flow.to_deployment`."""

    name: str
    flow: Flow[Any, Any]
    place: Place
    """Where another process finds the flow."""
    schedules: tuple[Schedule, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    tags: frozenset[str] = frozenset()
    description: str | None = None
    version: str | None = None
    concurrency_limit: int | None = None
    """How many of its runs go on at once; None for no limit of its own."""
    turns: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a Deployment's spec about whose turn it is, and about which runs are kept."""
    missed_runs: MissedRuns = MissedRuns.ALL
    paused: bool = False
    """Whether its schedules make no runs."""

    @property
    def key(self) -> str:
        """The deployment's full name, `flow/name`."""
        return f"{self.flow.name}/{self.name}"


class DeploymentOptions(TypedDict, total=False):
    """What may be said of a deployment."""

    interval: Seconds | Iterable[Seconds] | None
    """One schedule each: seconds, or a timedelta, between runs."""
    cron: str | Iterable[str] | None
    """One schedule each: a cron expression, in UTC."""
    rrule: str | Iterable[str] | None
    """One schedule each: a recurrence rule, in UTC."""
    schedule: Schedule | None
    """A schedule, which may have a time zone, parameters and a slug: `Cron("0 9 * * *", timezone="Europe/Berlin")`."""
    schedules: Sequence[Schedule] | None
    """Several."""
    paused: bool
    """Whether the schedules make no runs until somebody resumes them."""
    parameters: Mapping[str, Any] | None
    """Of every run; those of a schedule and of a call go over them, name by name."""
    tags: Iterable[str] | None
    """Of every run."""
    description: str | None
    """The flow's own by default."""
    version: str | None
    """The flow's own by default."""
    concurrency_limit: int | ConcurrencyLimitConfig | None
    """How many of its runs go on at once; None for no limit of its own. With a `ConcurrencyLimitConfig` also what
    becomes of one more."""
    limits: Iterable[str] | None
    """ConcurrencyLimits of which every run needs a slot; in a cluster."""
    work_queue_name: str | None
    """The Queue in which every run takes its turn; in a cluster."""
    priority: int | None
    """Of runs that wait for the same, those with a higher one come first; 0 by default; in a cluster."""
    history: Mapping[str, int] | None
    """Which ended runs are kept: the latest `succeeded` and `failed` of them, for `ttl_seconds`; in a cluster."""
    missed_runs: str
    """What becomes of times that were due while nobody served, as after a crash: `all` (the default) makes up for each,
    `latest` for the last, `skip` for none."""


def to_deployment(
    flow: Flow[Any, Any], name: str | None = None, **options: Unpack[DeploymentOptions]
) -> ServedDeployment:
    """Make a deployment of a flow.

    Args:
        flow: which; another process has to be able to load it.
        name: of the deployment; the flow's own by default.
        **options: see `DeploymentOptions`.

    Raises:
        ConfigurationError: an argument that cannot be, or a flow that no other process could load.
        ParameterError: parameters that do not fit the flow, or have no form in JSON.
    """
    from towpath.serving.place import place_of

    if unknown_option := next((option for option in options if option not in DeploymentOptions.__annotations__), None):
        known = ", ".join(DeploymentOptions.__annotations__)
        raise ConfigurationError(f"A deployment has no option {unknown_option!r}. Its options are: {known}.")
    if name is not None and (not isinstance(name, str) or not name.strip() or "/" in name):
        raise ConfigurationError(f"A deployment's name must be a text without '/', such as 'nightly'; got {name!r}.")
    tags, missed_runs = options.get("tags"), options.get("missed_runs", MissedRuns.ALL)
    if isinstance(tags, str):
        raise ConfigurationError(f"A deployment's tags must be a list of texts, such as [{tags!r}]; got {tags!r}.")
    if missed_runs not in list(MissedRuns):
        known = ", ".join(repr(policy.value) for policy in MissedRuns)
        raise ConfigurationError(f"A deployment's missed_runs must be one of {known}; got {missed_runs!r}.")
    whose = f"flow {flow.name!r}"
    given = as_json(options.get("parameters") or {}, whose)
    made = [replace(one, parameters=as_json(one.parameters, whose)) for one in _schedules(options)]
    _check_names(flow, {name: value for one in made for name, value in one.parameters.items()} | given)
    for one in made:
        if one.active:  # else each of its runs would fail
            bound = flow.signature.bind_names({**given, **one.parameters})
            if flow.should_validate_parameters:
                flow.signature.validate(bound)
    concurrency = limit_of(options.get("concurrency_limit"))
    return ServedDeployment(
        name=name or flow.name,
        flow=flow,
        place=place_of(flow),
        schedules=tuple(made),
        parameters=given,
        tags=frozenset(tags or ()),
        description=options.get("description") or flow.description,
        version=options.get("version") or flow.version,
        concurrency_limit=None if concurrency is None else concurrency.limit,
        turns=said_of_turns(options),
        missed_runs=MissedRuns(missed_runs),
        paused=bool(options.get("paused")),
    )


def _schedules(options: DeploymentOptions) -> list[Schedule]:
    from towpath.schedules import Cron, Interval, RRule, Schedule

    made: list[Schedule] = [Interval(one) for one in _several(options.get("interval"), (int, float, timedelta))]
    made += [Cron(one) for one in _several(options.get("cron"), str)]
    made += [RRule(one) for one in _several(options.get("rrule"), str)]
    schedule, schedules = options.get("schedule"), options.get("schedules")
    for one in [*([] if schedule is None else [schedule]), *(schedules or ())]:
        if not isinstance(one, Schedule):
            raise ConfigurationError(
                "A deployment's schedules are Cron(...), Interval(...) or RRule(...) of towpath.schedules; got"
                f" {one!r}."
            )
        made.append(one)
    twice = [key for key, times in Counter(one.key for one in made).items() if times > 1]
    if twice:
        same = [one for one in made if one.key == twice[0]]
        raise ConfigurationError(
            f"A deployment's schedules must differ: {' and '.join(map(str, same))} "
            + (f"have the slug {same[0].slug!r}." if same[0].slug else "say the same.")
        )
    return made


def _several(given: Any, one: type | tuple[type, ...]) -> list[Any]:
    if given is None:
        return []
    return [given] if isinstance(given, one) or not isinstance(given, Iterable) else list(given)


def _check_names(flow: Flow[Any, Any], parameters: Mapping[str, Any]) -> None:
    takes = inspect.signature(flow.fn).parameters
    if any(one.kind is one.VAR_KEYWORD for one in takes.values()):
        return
    wrongs = [unknown((name,), value) for name, value in parameters.items() if name not in takes]
    if wrongs:
        raise ParameterError(sentence(flow.name, wrongs, tuple(takes)))
