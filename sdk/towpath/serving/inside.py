"""Whether this process is one that a server started for a run."""

IS_CHILD = False
