"""What a flow would call, and what waits for what: drawn without calling a task.

    print(etl.generate_mermaid_graph("2026-01-31"))

    flowchart TD
        n0["fetch-0"]
        n1["save-0"]
        n0 --> n1

`towpath.engine.rehearsal` makes a sketch by running the flow's own code with stand-ins for its tasks and children.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from towpath.errors import ConfigurationError

#: Operations on a stand-in that give itself.
_OPERATIONS: Final = (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv", "mod", "rmod"),
    *("pow", "rpow", "matmul", "neg", "and", "or", "xor", "lt", "le", "gt", "ge", "getitem", "call"),
)


class StandIn:
    """Stands in a sketch for the value of a run; whatever is made of it stands for the same.

    It is true, has one element, and that is itself.
    """

    __slots__ = ("_step",)

    def __init__(self, step: Step) -> None:
        self._step = step

    def __getattr__(self, name: str) -> StandIn:
        if name.startswith("_"):  # protocols of others: it follows none of them
            raise AttributeError(name)
        return self

    def __iter__(self) -> Iterator[StandIn]:
        yield self

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return f"<the value of {self._step.name}>"


def _itself(value: StandIn, *_: Any, **__: Any) -> StandIn:
    return value


for _operation in _OPERATIONS:
    setattr(StandIn, f"__{_operation}__", _itself)


@dataclass(slots=True, eq=False)
class Step:
    """A run in a sketch."""

    number: int
    name: str
    upstream: list[Step] = field(default_factory=list)
    """The runs that it waits for."""
    given: Any = None
    """What the author has it give instead of a stand-in."""


class Sketch:
    """The runs of a flow, in the order of their calls."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._given: dict[int, Step] = {}  # by the identity of what the author has a step give

    def add(self, name: str, given: Any) -> Step:
        """Add a run.

        Args:
            name: of the run.
            given: what it is to give; None: a stand-in.
        """
        step = Step(len(self.steps), name, given=given)
        self.steps.append(step)
        if not isinstance(given, int):  # small numbers are the same wherever they come from
            self._given[id(given)] = step
        return step

    def join(self, step: Step, arguments: Any) -> Any:
        """Note what a run waits for, which is found in its arguments; give its value."""
        step.upstream = list(dict.fromkeys(self._found(arguments)))
        return StandIn(step) if step.given is None else step.given

    def mermaid(self) -> str:
        """Draw it in the language of Mermaid."""
        lines = ["flowchart TD"]
        lines += [f'    n{step.number}["{step.name.replace(chr(34), "#quot;")}"]' for step in self.steps]
        lines += [f"    n{before.number} --> n{step.number}" for step in self.steps for before in step.upstream]
        return "\n".join(lines)

    def dot(self) -> str:
        """Draw it in the language of Graphviz."""
        quoted = [step.name.replace("\\", "\\\\").replace('"', '\\"') for step in self.steps]
        lines = [f'    n{step.number} [label="{name}"];' for step, name in zip(self.steps, quoted, strict=True)]
        lines += [f"    n{before.number} -> n{step.number};" for step in self.steps for before in step.upstream]
        return "\n".join(["digraph {", *lines, "}"])

    def _found(self, value: Any) -> Iterator[Step]:
        if isinstance(value, StandIn):
            yield value._step  # noqa: SLF001 nothing of it but this has a name of its own
        elif (step := self._given.get(id(value))) is not None and value is not None:
            yield step
        elif isinstance(value, Mapping):
            yield from self._found(list(value.items()))
        elif isinstance(value, (list, tuple, set, frozenset)):
            for member in value:
                yield from self._found(member)


def write_png(dot: str, path: str) -> None:
    """Have Graphviz draw a picture.

    Args:
        dot: in its language.
        path: of the file.

    Raises:
        ConfigurationError: it is not installed, or cannot.
    """
    import shutil
    import subprocess

    if (program := shutil.which("dot")) is None:
        raise ConfigurationError(
            "Pictures are drawn by the program 'dot', which is not installed: it comes with Graphviz. "
            "generate_mermaid_graph() works without, and GitHub, GitLab and notebooks draw what it gives."
        )
    done = subprocess.run([program, "-Tpng", "-o", path], input=dot.encode(), capture_output=True, check=False)
    if done.returncode:
        raise ConfigurationError(f"'dot' cannot write {path!r}: {done.stderr.decode(errors='replace').strip()}")
