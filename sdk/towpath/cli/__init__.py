"""The command line `towpath`: runs on this machine and in a cluster, with the same verbs.

- `verbs` says what can be typed: one table, from which the parser, the help, the shell completion and the reference
  page are made. Reading it loads the standard library only, so that help is there at once.
- `port` is what the verbs ask for, `locally` answers from this machine's history, `in_cluster` from Kubernetes, and
  `target` says which of them is meant.
- `__main__` finds the verb's function, calls it, and turns what it raises into a sentence and an exit code.
"""
