"""What the operator's settings say about decisions and Jobs, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings that decisions depend on; the defaults are those of the chart.

    All durations are in seconds.
    """

    service_account: str = "towpath-runner"
    """Service account of pods that report their own run, unless the template names another."""
    job_ttl_seconds: int = 600
    """How long a finished Job stays."""
    command_job_ttl_seconds: int = 86_400
    """How long the Job of a plain container stays for an operator that is away: nothing else knows its end. Once
    the end is written, the Job goes after `job_ttl_seconds` like any other."""
    run_ttl_seconds: int = 0
    """How long a FlowRun stays that has ended, unless it or its Deployment says otherwise; 0: for ever."""
    cpu_request: str = "10m"
    """CPU that a run's container requests unless the template says otherwise."""
    memory_request: str = "64Mi"
    """Memory that a run's container requests unless the template says otherwise."""
    grace_seconds: int = 30
    """Time between SIGTERM and SIGKILL, unless the template says otherwise."""
    pending_timeout_seconds: int = 600
    """How long an attempt may wait for its pod to run, and a run for its Flow, unless the spec says otherwise."""
    infra_retries: int = 3
    """New attempts after infrastructure failures, unless the spec says otherwise."""
    retry_base_seconds: float = 5.0
    """Back-off before the second attempt; it doubles with each failure."""
    retry_cap_seconds: float = 300.0
    """The longest back-off between attempts."""
    timeout_slack_seconds: int = 15
    """How much longer than its timeout a run that reports itself may take, so that its own word comes first."""
    report_grace_seconds: float = 3.0
    """How long after the end of a container its own report may still be on its way to the store."""
    stuck_seconds: float = 15.0
    """How long after it should have been killed a pod counts as lost with its node."""
    pending_notes: int = 4
    """How often within an attempt a reason for waiting is written to the status: pods flap, and each write costs."""


DEFAULT = Policy()
