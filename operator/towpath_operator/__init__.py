"""The Towpath operator: turns FlowRun resources into Jobs and keeps their status true."""
