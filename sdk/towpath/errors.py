"""Every error that Towpath raises on purpose.

    TowpathError
    ├── ParameterError            parameters do not fit the flow's signature; lists each field, its value and why
    ├── ConfigurationError        a setting, decorator argument or environment variable that cannot work
    │   └── EntrypointError       "pkg.mod:fn" or "path/file.py:fn" that cannot be loaded, or a flow no pod could load
    ├── MissingContext            the current run was asked for where there is none
    ├── MissingResult             the value of a run was not kept
    │   └── UnfinishedRun             there is none: the run has not ended
    │       └── UpstreamNotReady          nor ever will: a run that it needs did not complete
    ├── ResultTooLarge            a result that fits neither the run's status nor any configured storage
    ├── SerializationError        a value cannot be written down by its serializer
    ├── StorageError              a result storage cannot be read or written (also an OSError)
    ├── UnreadableRecord          a kept result is damaged, or was written by a newer Towpath
    ├── RunError                  a run ended otherwise than completed, and its own exception cannot be had
    │   ├── FlowRunFailed             of a flow; of a task too, if it returned such a state
    │   ├── FlowRunCancelled
    │   └── FlowRunCrashed
    ├── RunTimeout                a run took longer than its timeout, or than somebody waits (also a TimeoutError)
    ├── ConcurrencySlotAcquisitionError     slots of a limit cannot be had: there is no such limit, or not so many
    │   └── AcquireConcurrencySlotTimeoutError  they did not come free in time (also a TimeoutError)
    ├── MappingError
    │   ├── MappingLengthMismatch     `.map` over iterables of different lengths
    │   └── MappingMissingIterable    `.map` without any iterable
    ├── NestingTooDeep            runs nested deeper than the guard allows
    ├── UnfitValue                an artifact, event, variable or secret has a name, form or size that cannot be
    ├── AlreadySet                a variable or secret of this name is there already
    ├── NotSet                    there is no secret, variable or artifact of this name
    ├── PauseError                a run cannot be paused, suspended, resumed or started again, as it stands
    │   └── NotPausedError            it does not wait for anybody
    ├── FlowPauseTimeout          nobody has resumed a paused run in time
    ├── HistoryError              the history of runs on this machine cannot be used
    │   ├── NoSuchRun                 it has no such run
    │   └── AmbiguousRun              it has several that the name or id fits
    └── ClusterError              the Kubernetes API refused, or cannot be reached
        ├── NotFound              no such object (404)
        ├── Conflict              it exists already, or changed meanwhile (409, 422 of a JSON Patch test)
        ├── Refused               not allowed, or not valid (401, 403, 422)
        └── Unreachable           no answer, or the server's own fault (429, 5xx), after retrying

A message says what is wrong, which value, and what to do next.

What unwinds a flow that suspends itself, `FlowSuspended`, is no error: a BaseException beside the tree.
"""

from __future__ import annotations


class TowpathError(Exception):
    """The root: catch this to catch everything that Towpath itself raises."""


class ParameterError(TowpathError, ValueError):
    """Parameters do not fit a flow's or task's signature."""


class ConfigurationError(TowpathError, ValueError):
    """A setting, decorator argument or environment variable that cannot work."""


class EntrypointError(ConfigurationError):
    """A flow cannot be loaded from its entrypoint, or has none that another process could load."""


class MissingContext(TowpathError, RuntimeError):
    """The current run was asked for where there is none."""


class MissingResult(TowpathError):
    """The value of a run was asked for, but was not kept."""


class UnfinishedRun(MissingResult):
    """The value of a run was asked for that has not ended: it waits, runs or is paused."""


class UpstreamNotReady(UnfinishedRun):
    """An argument or a `wait_for` comes from a run that did not complete, so this one never runs."""


class ResultTooLarge(TowpathError):
    """A result fits neither the run's status nor any configured storage."""


class SerializationError(TowpathError):
    """A value cannot be written down by its serializer."""


class StorageError(TowpathError, OSError):
    """A result storage cannot be read or written."""


class UnreadableRecord(TowpathError):
    """A kept result cannot be understood: it is damaged, or was written by a newer Towpath.

    Args:
        message: why.
        newer: whether it is whole, and just too new.
    """

    def __init__(self, message: str, newer: bool = False) -> None:
        super().__init__(message)
        self.newer = newer


class RunError(TowpathError):
    """A run ended otherwise than completed, and its own exception cannot be had."""


class FlowRunFailed(RunError):
    """A run FAILED."""


class FlowRunCancelled(RunError):
    """A run was CANCELLED."""


class FlowRunCrashed(RunError):
    """A run CRASHED: its infrastructure failed, or its process was ended."""


class RunTimeout(TowpathError, TimeoutError):
    """A flow or task ran longer than its timeout, or than somebody waits for it."""


class ConcurrencySlotAcquisitionError(TowpathError):
    """Slots of a concurrency limit cannot be had, however long one waits."""


class AcquireConcurrencySlotTimeoutError(ConcurrencySlotAcquisitionError, TimeoutError):
    """Slots of a concurrency limit did not come free in time."""


class MappingError(TowpathError, ValueError):
    """`.map` was given arguments that it cannot map over."""


class MappingLengthMismatch(MappingError):
    """`.map` over iterables of different lengths."""


class MappingMissingIterable(MappingError):
    """`.map` without any iterable argument."""


class NestingTooDeep(TowpathError):
    """Runs are nested deeper than the guard allows."""


class PauseError(TowpathError, RuntimeError):
    """A run cannot be paused, suspended, resumed or started again, as it stands."""


class NotPausedError(PauseError):
    """A run was to be resumed that does not wait for anybody."""


class FlowPauseTimeout(TowpathError):
    """A run was paused, and nobody resumed it in time."""


class FlowSuspended(BaseException):
    """The flow run is suspended: what was begun in this process ends now, and begins anew when somebody resumes it.

    A BaseException, so that `except Exception` in user code lets it pass while `finally` and `with` do their work.
    """

    exit_code = 7
    """Of a script that it ends."""


class UnfitValue(TowpathError, ValueError):
    """An artifact, event, variable or secret has a name, form or size that cannot be."""


class AlreadySet(TowpathError, ValueError):
    """A variable or secret of this name is there already."""


class NotSet(TowpathError, ValueError):
    """There is no secret, variable or artifact of this name."""


class HistoryError(TowpathError):
    """The history of runs on this machine cannot be used."""


class NoSuchRun(HistoryError):
    """The history has no such run."""


class AmbiguousRun(HistoryError):
    """A name, or the first characters of a name or id, fits several runs."""


class ClusterError(TowpathError):
    """The Kubernetes API refused a request or cannot be reached."""


class NotFound(ClusterError):
    """The API has no such object."""


class Conflict(ClusterError):
    """The object exists already, or changed meanwhile."""


class Refused(ClusterError):
    """The API does not allow the request, or finds the object invalid."""


class Unreachable(ClusterError):
    """The API gave no usable answer, after retrying."""
