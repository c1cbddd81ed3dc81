"""Deployments on a laptop: schedules and runs on demand, each run in a process of its own.

    etl.serve("nightly", cron="0 2 * * *")                     # blocks until Ctrl-C
    serve(etl.to_deployment("nightly", cron="0 2 * * *"), report.to_deployment("hourly", interval=3600))

    run_deployment("etl/nightly", parameters={"day": "2026-01-31"})   # from anywhere on this machine, meanwhile

What is due, what waits and what runs is kept in the history file (`book`), so that a server that was killed and
started again neither doubles nor loses a run: a scheduled run is known by its deployment, schedule and time, and can be
taken by one process only, once.

Who does what:

- `deployment` is what is served; `place` is where another process finds its flow.
- `agenda` and `admission` decide, purely: which times are due, and which of the waiting runs may start.
- `session` is `serve` itself; `server` does its work, a turn at a time.
- `children` are the processes that it starts, `child` is what goes on in one of them.
- `bell` wakes a server; `calling` is how `run_deployment` reaches one, `cancelling` how a run is ended from outside.
"""
