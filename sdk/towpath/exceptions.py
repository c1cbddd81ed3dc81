"""Towpath's errors under the names that Prefect's users catch; `towpath.errors` has their own, and draws the tree."""

from __future__ import annotations

from towpath.errors import (
    ConfigurationError,
    FlowPauseTimeout,
    FlowRunCancelled,
    FlowRunCrashed,
    FlowRunFailed,
    FlowSuspended,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContext,
    MissingResult,
    NotFound,
    NotPausedError,
    ParameterError,
    RunTimeout,
    SerializationError,
    TowpathError,
    UnfinishedRun,
    UpstreamNotReady,
)

__all__ = [
    "CancelledRun",
    "ConfigurationError",
    "CrashedRun",
    "FailedRun",
    "FlowPauseTimeout",
    "FlowRunWaitTimeout",
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "NotPausedError",
    "ObjectNotFound",
    "ParameterBindError",
    "ParameterTypeError",
    "Pause",
    "PausedRun",
    "PrefectException",
    "ReservedArgumentError",
    "SerializationError",
    "SignatureMismatchError",
    "UnfinishedRun",
    "UpstreamTaskError",
]

CancelledRun = FlowRunCancelled
CrashedRun = FlowRunCrashed
FailedRun = FlowRunFailed
FlowRunWaitTimeout = RunTimeout
InvalidNameError = ConfigurationError
MissingContextError = MissingContext
ObjectNotFound = NotFound
ParameterBindError = ParameterError
ParameterTypeError = ParameterError
Pause = FlowSuspended
PausedRun = UnfinishedRun
PrefectException = TowpathError
ReservedArgumentError = ConfigurationError
SignatureMismatchError = ParameterError
UpstreamTaskError = UpstreamNotReady
