"""Artifacts: what a run has to show, kept beside it: reports, tables, links, images, and how far it is.

    from towpath.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

    create_markdown_artifact("# All well\n\n1,461 rows", key="nightly-report", description="of the nightly load")

    progress = create_progress_artifact(0.0, key="load")
    for done, part in enumerate(parts, 1):
        ...
        update_progress_artifact(progress, 100 * done / len(parts))

    $ towpath artifacts ls
    $ towpath artifacts inspect nightly-report

A key has versions: each call makes another, and the latest counts. On this machine artifacts are kept in the history,
in a pod they go to its log. They work within flows and tasks, and outside of any run. In asynchronous code the
functions are awaited; their twins with an `a` in front (`acreate_markdown_artifact`) are typed for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, TypeAlias
from uuid import UUID, uuid4

from towpath.engine.clock import SYSTEM
from towpath.errors import UnfitValue
from towpath.telling import checks
from towpath.telling.outlets import origin, outlet
from towpath.telling.port import RecordedArtifact
from towpath.telling.twins import awaited, either

Table: TypeAlias = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Sequence[Sequence[Any]]
"""Columns by name, rows as dictionaries, or rows as lists."""
_TYPE: Final = 63


@dataclass(kw_only=True)
class Artifact:
    """Something that a run has to show; `MarkdownArtifact` and the others below say what.

    Args:
        type: what it is, for whoever shows it.
        key: names it, and so its versions: lowercase letters, digits and dashes.
        description: what it is, for people.
        data: any JSON value.
    """

    type: str | None = None
    key: str | None = None
    description: str | None = None
    data: Any = None
    flow_run_id: str | None = None
    """The run that it belongs to; the current one by default."""
    task_run_id: str | None = None

    default_type: ClassVar[str] = "json"

    def format(self) -> str | float:
        """Give the data as it is kept."""
        return checks.as_json("An artifact", self.data)

    @either
    def create(self) -> RecordedArtifact:
        """Keep it, as a new version of its key if it has one.

        Raises:
            UnfitValue: its key, its form or its size cannot be.
        """
        return _create(self)

    @classmethod
    @either
    def get(cls, key: str) -> RecordedArtifact | None:
        """Give the latest version of a key; None if there is none.

        Raises:
            ConfigurationError: this is a pod, whose log has the artifacts and cannot be read back.
        """
        return _get(key)

    @classmethod
    @either
    def get_or_create(cls, key: str, **given: Any) -> tuple[RecordedArtifact, bool]:
        """Give the latest version of a key, or make one; and whether it was made."""
        return _get_or_create(cls, key, given)

    async def acreate(self) -> RecordedArtifact:
        """Do as `create` does, in asynchronous code."""
        return await awaited(_create)(self)

    @classmethod
    async def aget(cls, key: str) -> RecordedArtifact | None:
        """Do as `get` does, in asynchronous code."""
        return await awaited(_get)(key)

    @classmethod
    async def aget_or_create(cls, key: str, **given: Any) -> tuple[RecordedArtifact, bool]:
        """Do as `get_or_create` does, in asynchronous code."""
        return await awaited(_get_or_create)(cls, key, given)


@dataclass(kw_only=True)
class MarkdownArtifact(Artifact):
    """A text in Markdown."""

    markdown: str
    default_type: ClassVar[str] = "markdown"

    def format(self) -> str:
        """Give the text."""
        return _text("A markdown artifact", self.markdown)


@dataclass(kw_only=True)
class LinkArtifact(Artifact):
    """A link."""

    link: str
    link_text: str | None = None
    default_type: ClassVar[str] = "markdown"

    def format(self) -> str:
        """Give the link in Markdown."""
        return f"[{self.link_text or self.link}]({_text('A link artifact', self.link)})"


@dataclass(kw_only=True)
class TableArtifact(Artifact):
    """A table; what is no JSON value in it is kept as text, NaN and infinity as null."""

    table: Table
    default_type: ClassVar[str] = "table"

    def format(self) -> str:
        """Give the table as JSON."""
        if not _is_table(self.table):
            raise UnfitValue(
                "A table is a list of dictionaries, a dictionary of lists, or a list of lists; got a"
                f" {type(self.table).__name__}. A data frame of pandas has to_dict(orient='records')."
            )
        return checks.shown_json(self.table)


@dataclass(kw_only=True)
class ImageArtifact(Artifact):
    """An image, by its URL."""

    image_url: str
    default_type: ClassVar[str] = "image"

    def format(self) -> str:
        """Give the URL."""
        return _text("An image artifact", self.image_url)


@dataclass(kw_only=True)
class ProgressArtifact(Artifact):
    """How far some work is, in per cent."""

    progress: float
    default_type: ClassVar[str] = "progress"

    def format(self) -> float:
        """Give it, within 0 and 100."""
        return _per_cent(self.progress)


@either
def create_link_artifact(
    link: str, link_text: str | None = None, key: str | None = None, description: str | None = None
) -> UUID:
    """Keep a link.

    Args:
        link: the URL.
        link_text: what is shown for it.
        key: names it, and so its versions: lowercase letters, digits and dashes.
        description: what it is, for people.

    Returns:
        The artifact's id.

    Raises:
        UnfitValue: the key, or the link's form or size, cannot be.
    """
    return _create(LinkArtifact(link=link, link_text=link_text, key=key, description=description)).id


@either
def create_markdown_artifact(markdown: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep a text in Markdown; the arguments else are those of `create_link_artifact`.

    Args:
        markdown: the text, at most 512 KiB.
        key: names it.
        description: what it is.
    """
    return _create(MarkdownArtifact(markdown=markdown, key=key, description=description)).id


@either
def create_table_artifact(table: Table, key: str | None = None, description: str | None = None) -> UUID:
    """Keep a table; the arguments else are those of `create_link_artifact`.

    Args:
        table: a list of dictionaries, a dictionary of lists, or a list of lists; at most 512 KiB as JSON.
        key: names it.
        description: what it is.
    """
    return _create(TableArtifact(table=table, key=key, description=description)).id


@either
def create_image_artifact(image_url: str, key: str | None = None, description: str | None = None) -> UUID:
    """Keep an image by its URL; the arguments else are those of `create_link_artifact`.

    Args:
        image_url: where the image is.
        key: names it.
        description: what it is.
    """
    return _create(ImageArtifact(image_url=image_url, key=key, description=description)).id


@either
def create_progress_artifact(progress: float, key: str | None = None, description: str | None = None) -> UUID:
    """Keep how far some work is; the arguments else are those of `create_link_artifact`.

    Args:
        progress: per cent.
        key: names it.
        description: what it is.
    """
    return _create(ProgressArtifact(progress=progress, key=key, description=description)).id


@either
def update_progress_artifact(artifact_id: UUID, progress: float, description: str | None = None) -> UUID:
    """Tell how far the work of a progress artifact is by now.

    Args:
        artifact_id: as `create_progress_artifact` gave it.
        progress: per cent.
        description: a new one; None leaves it as it is.

    Returns:
        The artifact's id.

    Raises:
        UnfitValue: it is no id, or no number.
    """
    known = checks.as_id("A progress artifact is updated by the id that create_progress_artifact gave", artifact_id)
    outlet().progress(known, _per_cent(progress), checks.description(description), _now())
    return known


acreate_link_artifact = awaited(create_link_artifact)
acreate_markdown_artifact = awaited(create_markdown_artifact)
acreate_table_artifact = awaited(create_table_artifact)
acreate_image_artifact = awaited(create_image_artifact)
acreate_progress_artifact = awaited(create_progress_artifact)
aupdate_progress_artifact = awaited(update_progress_artifact)


def _create(artifact: Artifact) -> RecordedArtifact:
    type_ = artifact.type or artifact.default_type
    if not isinstance(type_, str) or len(type_) > _TYPE:
        raise UnfitValue(f"An artifact's type is a text of at most {_TYPE} characters; got {type_!r}.")
    key, data, now, teller = checks.artifact_key(artifact.key), artifact.format(), _now(), origin()
    if isinstance(data, str):
        name = f"The artifact {key!r}" if key else f"The {type_} artifact"
        checks.fits(name, data, checks.ARTIFACT_BYTES, "Keep it as a file or a result, and a link to it here.")
    own = artifact.flow_run_id is None and artifact.task_run_id is None
    recorded = RecordedArtifact(
        id=uuid4(),
        key=key,
        type=type_,
        description=checks.description(artifact.description),
        data=data,
        flow_run_id=teller.flow_run_id if own else artifact.flow_run_id,
        flow_run=teller.flow_run if own else None,
        task_run_id=teller.task_run_id if own else artifact.task_run_id,
        task_run=teller.task_run if own else None,
        created=now,
        updated=now,
    )
    outlet().artifact(recorded)
    return recorded


def _get(key: str) -> RecordedArtifact | None:
    if key is None:
        raise UnfitValue("An artifact is found by its key; got None.")
    checks.artifact_key(key)
    return outlet().latest(key)


def _get_or_create(kind: type[Artifact], key: str, given: Mapping[str, Any]) -> tuple[RecordedArtifact, bool]:
    found = _get(key)
    return (_create(kind(key=key, **given)), True) if found is None else (found, False)


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitValue(f"{what} is made of a text; got {value!r}.")
    return value


def _is_table(table: Any) -> bool:
    if isinstance(table, Mapping):
        return all(_is_row(column) for column in table.values())
    if not _is_row(table):
        return False
    return all(isinstance(row, Mapping) for row in table) or all(_is_row(row) for row in table)


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _per_cent(progress: float) -> float:
    """Give a number within 0 and 100; sums of fractions come out a little beyond."""
    if not isinstance(progress, int | float) or math.isnan(progress):
        raise UnfitValue(f"Progress is a number from 0 to 100, in per cent; got {progress!r}.")
    within = float(max(0.0, min(100.0, progress)))
    if abs(within - progress) > 0.01:
        from towpath.loggers import configure, get_logger

        configure()
        get_logger().warning("Progress is a number from 0 to 100, in per cent; %r counts as %g.", progress, within)
    return within


def _now() -> datetime:
    return datetime.fromtimestamp(SYSTEM.clock.now(), UTC)
