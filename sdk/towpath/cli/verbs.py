"""What can be typed: every verb with its arguments and examples, as one table.

The parser, the help, the shell completion and docs/reference/cli.md are made from it.
"""

from __future__ import annotations

from typing import Final

from towpath.cli import automation_verbs, config_verbs, deployment_verbs, limit_verbs, results_verbs, told_verbs
from towpath.cli.arguments import FLOW_FILE, IN_CLUSTER, JSON, PARAMETERS, RUN, TARGET, TIMEOUT
from towpath.cli.words import Argument, Example, Group, Verb, flag, many, place, value
from towpath.states import StateType

_STATES: Final = " ".join(StateType)

GROUPS: Final = (
    Group("runs", "see and steer runs"),
    Group("deployments", "see, run and steer deployments"),
    Group("flows", "see flows"),
    *automation_verbs.GROUPS,
    *limit_verbs.GROUPS,
    *told_verbs.GROUPS,
    *results_verbs.GROUPS,
    *config_verbs.GROUPS,
)

VERBS: Final = (
    Verb(
        ("run",),
        "run a flow here and now, and print what it returns",
        "running:run",
        (
            FLOW_FILE,
            *PARAMETERS,
            value("--name", metavar="NAME", help="name of the run; two words by default"),
            many("--tag", metavar="TAG", help="a tag of the run; may be given several times"),
            JSON,
        ),
        (
            Example("towpath run etl.py:etl", "run the flow `etl` of etl.py"),
            Example("towpath run etl.py:etl -p day=2026-01-31 -p full=true", "with parameters"),
            Example(
                "towpath run company.flows:etl --params-json @params.json", "a module's flow, parameters from a file"
            ),
            Example(
                "rows=$(towpath run etl.py:count 2>run.log) && echo $rows", "only the result goes to standard output"
            ),
        ),
        "The log goes to standard error, the result to standard output: text as it is, anything else as JSON. The run"
        " is recorded in this machine's history. The exit code is 0 only if it completed. For a run in a cluster, see"
        " `towpath deploy` and `towpath deployments run`.",
    ),
    Verb(
        ("runs", "ls"),
        "list runs, the newest first",
        "runs:ls",
        (
            flag("-a", "--all", help="also runs that other runs have called"),
            value("--flow", metavar="NAME", help="of this flow only"),
            many(
                "--state",
                metavar="STATE",
                help="in this state only, such as FAILED; may be given several times",
                completes=_STATES,
            ),
            value(
                "--since", metavar="WHEN", help="begun since then: 30m, 2h, 7d, or a date or time such as 2026-01-31"
            ),
            value("--limit", metavar="N", type=int, default=20, help="at most so many; 0 for all; 20 by default"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs ls", "the latest runs on this machine"),
            Example(
                "towpath runs ls -n data --state FAILED --state CRASHED --since 1d", "what went wrong in a namespace"
            ),
            Example("towpath runs ls --cluster --json | jq -r '.[].name'", "names, for a script"),
        ),
    ),
    Verb(
        ("runs", "inspect"),
        "show all that is known of a run",
        "runs:inspect",
        (RUN, *TARGET, JSON),
        (
            Example("towpath runs inspect witty-otter", "a run on this machine"),
            Example("towpath runs inspect nightly-a1b2c3 -n data", "a run in a cluster"),
            Example("towpath runs inspect nightly-a1b2c3 -n data --json | jq .result.value", "what it returned"),
        ),
    ),
    Verb(
        ("runs", "tree"),
        "draw a run with all the runs below it",
        "runs:tree",
        (RUN, *TARGET, JSON),
        (
            Example("towpath runs tree witty-otter", "who called whom, and how it went"),
            Example("towpath runs tree nightly-a1b2c3 -n data --json", "the same as nested JSON"),
        ),
    ),
    Verb(
        ("runs", "logs"),
        "print what a run has logged",
        "runs:logs",
        (
            RUN,
            flag("-f", "--follow", help="go on until the run has ended"),
            value("--tail", metavar="N", type=int, help="only the last so many lines"),
            value(
                "--level",
                metavar="LEVEL",
                help="only lines of this level or above: DEBUG, INFO, WARNING, ERROR, CRITICAL",
                completes="DEBUG INFO WARNING ERROR CRITICAL",
            ),
            value("--attempt", metavar="N", type=int, help="of this attempt, in a cluster; the latest by default"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs logs witty-otter", "all of it"),
            Example("towpath runs logs nightly-a1b2c3 -n data --follow --tail 20", "as it goes on"),
            Example("towpath runs logs nightly-a1b2c3 -n data --level WARNING --json", "one JSON object a line"),
        ),
        "In a cluster the log is the pod's, so it goes with the pod, ten minutes after the run's end by default.",
    ),
    Verb(
        ("runs", "watch"),
        "show a run and those below it until it has ended",
        "runs:watch",
        (
            place(
                "run",
                "name or id of the run, or the beginning of either; without it, all runs, until Ctrl-C",
                nargs="?",
            ),
            TIMEOUT,
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs watch witty-otter", "a tree that keeps itself up to date"),
            Example(
                "towpath runs watch nightly-a1b2c3 -n data | cat",
                "a line for each new state, as anywhere but on a terminal",
            ),
            Example(
                "towpath runs watch nightly-a1b2c3 -n data --timeout 3600 && ./publish.sh", "go on only if it completed"
            ),
        ),
        "The exit code is 0 only if the run completed.",
    ),
    Verb(
        ("runs", "cancel"),
        "cancel runs, with all runs below them",
        "runs:cancel",
        (
            place("run", "whole name or id of the run", nargs="+"),
            flag("--now", help="in a cluster: kill its pods, without time for hooks; also once it was cancelled"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs cancel nightly-a1b2c3 -n data", "its pod gets SIGTERM, its hooks run"),
            Example("towpath runs cancel nightly-a1b2c3 -n data --now", "it does not end, or must not go on"),
            Example(
                "towpath runs cancel -n data nightly-a1b2c3 && towpath runs watch nightly-a1b2c3 -n data",
                "wait for its end",
            ),
        ),
        "On this machine a run hears of it within a second, and its process goes on if it has more to do. A run that"
        " was called by another in the same process can only be cancelled together with that.",
    ),
    Verb(
        ("runs", "pause"),
        "have a run wait at its next call of a task or flow, until it is resumed",
        "steering:pause",
        (
            RUN,
            flag(
                "--suspend",
                help="end its process meanwhile; when it is resumed it begins anew, and passes what is kept",
            ),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs pause witty-otter", "its process waits; tasks that were submitted go on"),
            Example("towpath runs pause witty-otter --suspend", "before the machine is restarted"),
        ),
        "On this machine. The run hears of it within a second. A run that makes no further call is not paused.",
    ),
    Verb(
        ("runs", "resume"),
        "have a run go on that is paused or suspended",
        "steering:resume",
        (
            RUN,
            many(
                "-p",
                "--param",
                metavar="FIELD=VALUE",
                help="a field of the input that it waits for; the value is read as JSON where that fits, else as text",
            ),
            value(
                "--input-json",
                metavar="JSON",
                help="all input as a JSON object, or as @FILE that holds one (@- is standard input); -p goes over it",
            ),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs resume witty-otter -p granted=true -p by=ada", "with the input that it waits for"),
            Example("towpath runs resume witty-otter --input-json @input.json", "from a file"),
        ),
        "On this machine. `towpath runs inspect` shows what input a run waits for. Wrong input is refused with each"
        " wrong field, and the run waits on. A run that is paused goes on in its process. One that is suspended begins"
        " anew: by its server if it is one of a served deployment, else in this command's own process.",
    ),
    Verb(
        ("runs", "retry"),
        "try a run again that has failed, crashed or was cancelled",
        "steering:retry",
        (RUN, *TARGET, JSON),
        (
            Example("towpath runs retry witty-otter", "the same run, its next attempt; kept results are taken"),
            Example("towpath runs retry witty-otter --json | jq .result", "what it returns this time"),
            Example("towpath runs retry nightly-a1b2c3 -n data", "one more attempt in a cluster, on a Job of its own"),
        ),
        "A run in a cluster is started by the operator, one of a deployment that is served here by its server; any"
        " other runs in this command's own process. Runs that other runs have called are tried again with those. A run"
        " in a cluster that was cancelled stays cancelled.",
    ),
    Verb(
        ("runs", "delete"),
        "delete runs, with all runs below them",
        "runs:delete",
        (
            place("run", "whole name or id of the run", nargs="+"),
            flag("--force", help="also a run in a cluster that has not ended: its pods are killed"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath runs delete witty-otter", "from this machine's history"),
            Example(
                "towpath runs delete nightly-a1b2c3 nightly-d4e5f6 -n data", "several in a cluster, with their Jobs"
            ),
        ),
    ),
    Verb(
        ("deployments", "ls"),
        "list deployments",
        "deployments:ls",
        (*TARGET, JSON),
        (
            Example("towpath deployments ls", "those that are served on this machine"),
            Example("towpath deployments ls --cluster", "those of the kubeconfig's context"),
            Example("towpath deployments ls -n data --json | jq -r '.[].name'", "names, for a script"),
        ),
    ),
    Verb(
        ("deployments", "run"),
        "run a deployment",
        "deployments:run",
        (
            place("deployment", "name of the deployment"),
            *PARAMETERS,
            flag("-w", "--watch", help="show the run until it has ended; the exit code is 0 only if it completed"),
            value("--name", metavar="NAME", help="beginning of the run's name; the deployment's by default"),
            many("--tag", metavar="TAG", help="a tag, beside the deployment's; may be given several times"),
            value(
                "--at",
                metavar="TIME",
                help="not before this time, such as 2026-01-31T06:00, local unless it has an offset",
            ),
            TIMEOUT,
            *TARGET,
            JSON,
        ),
        (
            Example("towpath deployments run nightly", "print the new run's name, and go"),
            Example(
                "towpath deployments run nightly -n data -p day=2026-01-31 --watch",
                "other parameters; wait for the end",
            ),
            Example("run=$(towpath deployments run nightly -n data) && towpath runs logs $run -n data -f", "its log"),
        ),
        "The name of the new run goes to standard output. On this machine a run waits until its deployment is served,"
        " and what looks like JSON is read as JSON: -p 'label=\"5\"' gives the text 5.",
    ),
    Verb(
        ("deployments", "backfill"),
        "make the runs of a past stretch of time that a deployment's schedules did not make",
        "backfilling:backfill",
        (
            place("deployment", "name of the Deployment"),
            Argument(
                ("--from",),
                "first time that counts: 2h or 7d ago, or a date or time such as 2026-01-31T06:00, local unless it has"
                " an offset",
                {"metavar": "WHEN", "required": True},
            ),
            value("--to", metavar="WHEN", help="last time that counts; now by default"),
            many("--schedule", metavar="NAME", help="of this schedule only; may be given several times"),
            value("--max", metavar="N", type=int, help="refuse to make more than so many runs; 100 by default"),
            flag("--dry-run", help="only say which runs"),
            *TARGET,
            JSON,
        ),
        (
            Example("towpath deployments backfill nightly -n data --from 7d --dry-run", "look at it"),
            Example(
                "towpath deployments backfill nightly -n data --from 2026-01-01 --to 2026-01-31 --schedule early",
                "a month of one schedule",
            ),
        ),
        "In a cluster only. A time that has its run already gets no other, whoever made it; so the command may be"
        " repeated. All runs are made at once, and their names go to standard output.",
    ),
    *deployment_verbs.VERBS,
    Verb(
        ("flows", "ls"),
        "list flows: those applied to a cluster, or those that ran on this machine",
        "flows:ls",
        (*TARGET, JSON),
        (
            Example("towpath flows ls", "what ran here, and how it went last"),
            Example("towpath flows ls -n data", "the Flow resources of a namespace"),
        ),
    ),
    *automation_verbs.VERBS,
    *limit_verbs.VERBS,
    *told_verbs.VERBS,
    deployment_verbs.SERVE,
    Verb(
        ("deploy",),
        "make the Flow and the Deployment of a flow, as YAML or in the cluster",
        "deploying:deploy",
        (
            FLOW_FILE,
            value(
                "--image",
                metavar="IMAGE",
                help="image that holds the flow's code; needed unless @flow(image=…) says it",
            ),
            value("--name", metavar="NAME", help="name of the Deployment; the flow's by default"),
            *PARAMETERS,
            many("--tag", metavar="TAG", help="a tag of every run; may be given several times"),
            value(
                "--entrypoint",
                metavar="ENTRYPOINT",
                help="where the flow is in the image, if not where it is here, seen from the working directory",
            ),
            *limit_verbs.TURNS,
            value("-o", "--output", metavar="FILE", help="write there; standard output by default", completes="file"),
            flag("--apply", help="apply it to the cluster, and wait until both can be run"),
            flag("--force", help="with --apply: take over fields that somebody else has set"),
            *IN_CLUSTER,
            JSON,
        ),
        (
            Example("towpath deploy etl.py:etl --image registry.example/etl:1", "look at it"),
            Example("towpath deploy etl.py:etl --image registry.example/etl:1 -o deploy/etl.yaml", "for Git"),
            Example(
                "towpath deploy etl.py:etl --image registry.example/etl:1 --name nightly -p full=true -n data --apply",
                "into the cluster, with parameters",
            ),
            Example(
                "towpath deploy etl.py:etl --image registry.example/etl:1 --concurrency-limit 1 --limit db --apply",
                "one run at a time, each with a slot of the limit `db`",
            ),
        ),
        "Parameters, their JSON Schema, description, timeout, retries, resources and template come from the code.",
    ),
    *results_verbs.VERBS,
    *config_verbs.VERBS,
    Verb(
        ("doctor",),
        "check this machine and the cluster, and say how to mend what is wrong",
        "doctor:examine",
        (*TARGET, JSON),
        (
            Example("towpath doctor", "this machine, and the cluster if a kubeconfig names one"),
            Example("towpath doctor -n data", "also whether you may run flows in that namespace"),
            Example("towpath doctor --local", "this machine only"),
        ),
    ),
    Verb(
        ("completion",),
        "print a script that completes commands in a shell",
        "completion:show",
        (Argument(("shell",), "the shell", {"choices": ("bash", "zsh", "fish")}, "bash zsh fish"),),
        (
            Example('eval "$(towpath completion bash)"', "in ~/.bashrc"),
            Example('eval "$(towpath completion zsh)"', "in ~/.zshrc, after compinit"),
            Example("towpath completion fish > ~/.config/fish/completions/towpath.fish", "for fish"),
        ),
    ),
    Verb(
        ("version",),
        "print the versions of Towpath and Python",
        "version:show",
        (JSON,),
        (Example("towpath version", "what is installed"), Example("towpath version --json", "for a program")),
    ),
)

TARGETS: Final = (
    "Runs, deployments and limits are looked for on this machine, unless -n/--namespace, --context or --cluster is"
    " given, or TOWPATH_TARGET is set to cluster; then --local means this machine."
)
EXAMPLES: Final = (
    Example("towpath run etl.py:etl -p day=2026-01-31", "run a flow here"),
    Example("towpath runs ls", "what ran on this machine"),
    Example("towpath deploy etl.py:etl --image registry.example/etl:1 --apply", "make it known to a cluster"),
    Example("towpath deployments run etl --cluster --watch", "run it there"),
    Example("towpath runs tree etl-a1b2c3 -n data", "how it went"),
    Example("towpath doctor", "when something does not work"),
)


def verbs_of(group: str) -> tuple[Verb, ...]:
    """Give the verbs of a group."""
    return tuple(verb for verb in VERBS if verb.words[0] == group)


def group_examples(group: str) -> tuple[Example, ...]:
    """Give an example of each verb of a group."""
    return tuple(verb.examples[0] for verb in verbs_of(group))
