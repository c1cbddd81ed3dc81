"""Runs that wait for somebody: pause and suspend, resume with input, begin again, and what runs send each other.

    @flow(persist_result=True)
    def publish(day: str) -> str:
        report = write(day)
        approval = pause_flow_run(wait_for_input=Approval, timeout=3600)     # the process waits
        if not approval.granted:
            suspend_flow_run(wait_for_input=Correction)                      # the process ends; later it begins anew
        return upload(report)

    towpath runs resume witty-otter -p granted=true

A pause is known by the run and a key: the number of the pause in the run's code, unless the author names it. It is
answered once. A run that comes to a pause that was answered, because it was suspended, retried or tried again, passes
it with that answer.

Who does what:

- `port` says where pauses, answers, wishes and messages are kept; `locally` keeps them in the history file,
  `towpath.cluster.pauses` in the FlowRun; `here` finds them.
- `waiting` is the side of the run that waits, `watch` how it waits; `heeding` is for runs that are asked from outside.
- `wanted` and `schemas` say what input is wanted, and what is wrong with what was given.
- `resuming` is the other side: resume, retry; `again` begins a run anew in this process.
"""
