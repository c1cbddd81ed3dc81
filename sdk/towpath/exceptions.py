"""Towpath's errors under the names that Prefect's users catch; `towpath.errors` has their own, and draws the tree."""

from __future__ import annotations

from towpath.errors import (
    ConfigurationError,
    FlowRunCancelled,
    FlowRunCrashed,
    FlowRunFailed,
    MappingLengthMismatch,
    MappingMissingIterable,
    MissingContext,
    MissingResult,
    NotFound,
    ParameterError,
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
    "InvalidNameError",
    "MappingLengthMismatch",
    "MappingMissingIterable",
    "MissingContextError",
    "MissingResult",
    "ObjectNotFound",
    "ParameterBindError",
    "ParameterTypeError",
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
InvalidNameError = ConfigurationError
MissingContextError = MissingContext
ObjectNotFound = NotFound
ParameterBindError = ParameterError
ParameterTypeError = ParameterError
PausedRun = UnfinishedRun
PrefectException = TowpathError
ReservedArgumentError = ConfigurationError
SignatureMismatchError = ParameterError
UpstreamTaskError = UpstreamNotReady
