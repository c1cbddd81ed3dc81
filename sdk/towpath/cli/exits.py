"""Exit codes: a script can tell from them what happened; and the one that each error of Towpath leads to."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from towpath import errors

#: Set to anything, it shows tracebacks instead of sentences.
ENV_DEBUG: Final = "TOWPATH_DEBUG"


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    NOT_COMPLETED = 1
    USAGE = 2
    NOT_FOUND = 3
    NO_CLUSTER = 4
    CONFLICT = 5
    TIMED_OUT = 6
    SUSPENDED = errors.FlowSuspended.exit_code
    BUG = 70
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What the code says, for people."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Exit.OK: "done; a run that was waited for has completed",
    Exit.NOT_COMPLETED: "the run did not complete; a check of `doctor` failed; what was deployed cannot be run",
    Exit.USAGE: "the command line, a parameter, a setting or a flow's code is wrong",
    Exit.NOT_FOUND: "there is no such run, deployment, log, result, artifact or variable, or the name fits several",
    Exit.NO_CLUSTER: "the cluster cannot be reached, or does not allow it",
    Exit.CONFLICT: "it cannot be done now: a run that goes on cannot be deleted, one that has ended not be cancelled",
    Exit.TIMED_OUT: "waited too long: --timeout is over and the run goes on, or the operator does not answer",
    Exit.SUSPENDED: "the run is suspended, and goes on when somebody resumes it; so ends a script whose flow is, too",
    Exit.BUG: "a mistake in Towpath; TOWPATH_DEBUG=1 shows where",
    Exit.INTERRUPTED: "Ctrl-C",
}

#: The first that fits counts.
_OF_ERRORS: Final[tuple[tuple[type[Exception], Exit], ...]] = (
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.NoSuchRun, Exit.NOT_FOUND),
    (errors.AmbiguousRun, Exit.NOT_FOUND),
    (errors.NotSet, Exit.NOT_FOUND),
    (errors.HistoryError, Exit.CONFLICT),
    (errors.PauseError, Exit.CONFLICT),
    (errors.AlreadySet, Exit.CONFLICT),
    (errors.Conflict, Exit.CONFLICT),
    (errors.ClusterError, Exit.NO_CLUSTER),
    (errors.ParameterError, Exit.USAGE),
    (errors.ConfigurationError, Exit.USAGE),
    (errors.UnfitValue, Exit.USAGE),
    (errors.TowpathError, Exit.NOT_COMPLETED),
)


def exit_of(error: errors.TowpathError) -> Exit:
    """Give the exit code that an error leads to."""
    return next(code for kind, code in _OF_ERRORS if isinstance(error, kind))
