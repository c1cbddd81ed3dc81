"""What a person at a terminal sees of runs while they go: a tree that keeps itself up to date, with the log above it.

- `rows` says what is shown of a run, and which rows there is room for; pure.
- `progress` notices runs that begin in this process, if somebody watches; `view` draws them a few times a second. It
  reads the counters that runs keep anyway, so tasks are none the slower for it.
- `streams` keeps what the program prints from being drawn over.
- `live` draws, with rich. Only these two load it, once there is something to draw; without it all stays plain lines.
- `looks` has marks, colours and durations, for all that is shown.
"""
