"""What flows tell beside states and log lines: artifacts and events; and variables, which they are told.

- `port` says what a place is that artifacts and events go to.
- `local` is the history of this machine: notes for its writer, a microsecond or two each.
- `lines` is the log of a pod, where there is nothing else to write to: a JSON object each.
- `outlets` chooses between the two.
- `kept` reads what the history has, and keeps variables; `timeline` reads events, those of states among them.
- `checks` holds names and sizes to what every place takes.

The public names are in `towpath.artifacts`, `towpath.events`, `towpath.variables` and `towpath.blocks`.
"""
