"""The CustomResourceDefinitions and their reference are made from the models, and keep the house's rules for schemas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from towpath.api.v1alpha1 import KINDS, FlowRun, FlowRunSpec, Resource, Rule
from towpath.api.v1alpha1.common import AnyObject
from towpath.states import StateType
from towpath_operator.crds import NotStructuralError, files, manifest_of, reference_page, schema_of, structural
from towpath_operator.crds.__main__ import main

REPOSITORY = Path(__file__).parents[2]
REGENERATE = "run: make generate"

Node = dict[str, Any]


def nodes(schema: Node, place: str) -> Iterator[tuple[str, Node]]:
    """Give a schema and all below it, but for the insides of free-form objects."""
    yield place, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{place}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{place}[]")


ALL = [
    node
    for kind in KINDS
    for part in ("spec", "status")
    for node in nodes(schema_of(kind)["properties"][part], f"{kind.__name__}.{part}")
]


def of_type(type_: str) -> list[Any]:
    """Give the nodes of one type as test parameters, named by their place."""
    return [pytest.param(node, id=place) for place, node in ALL if node["type"] == type_]


@pytest.mark.parametrize("folder", ["crds", "helm/towpath/crds"])
def test_the_committed_manifests_are_what_the_models_say(folder: str) -> None:
    """Each committed file is byte for byte what the generator makes, and there is no other file."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / folder).iterdir()}

    assert committed == files(), REGENERATE


def test_the_committed_reference_is_what_the_models_say() -> None:
    """The reference page is byte for byte what the generator makes."""
    assert (REPOSITORY / "docs/reference/resources.md").read_text(encoding="utf-8") == reference_page(), REGENERATE


def test_the_generator_writes_a_file_for_each_kind(tmp_path: Path) -> None:
    """Folders named on the command line are made and filled, each the same."""
    folders = [tmp_path / "one", tmp_path / "two"]

    assert main([str(folder) for folder in folders]) == 0

    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == sorted(f"{kind.crd.plural}.yaml" for kind in KINDS)


def test_the_generator_prints_what_kubectl_takes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder, all kinds go to standard output as one stream of YAML documents."""
    assert main([]) == 0

    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [document["spec"]["names"]["kind"] for document in documents] == [kind.__name__ for kind in KINDS]
    assert documents == [manifest_of(kind) for kind in KINDS]


def test_the_generator_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """With --docs and no folder, the reference goes to standard output."""
    assert main(["--docs"]) == 0

    assert capsys.readouterr().out == reference_page()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_kind_can_be_worked_with_in_kubectl(kind: type[Resource]) -> None:
    """Every kind has a status of its own, a short name, the category towpath, and columns that end with its age."""
    spec = manifest_of(kind)["spec"]
    (version,) = spec["versions"]

    assert version["subresources"] == {"status": {}}
    assert spec["names"]["shortNames"]
    assert spec["names"]["categories"] == ["towpath"]
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_runs_can_be_selected_by_state_and_deployment() -> None:
    """A watch or a list of FlowRuns can ask the API server for those in one state, or of one deployment."""
    (version,) = manifest_of(FlowRun)["spec"]["versions"]

    assert version["selectableFields"] == [{"jsonPath": ".status.state.type"}, {"jsonPath": ".spec.deploymentRef"}]


def test_the_states_of_the_schema_are_the_states_of_the_code() -> None:
    """What the API server takes for a state is the vocabulary that SDK and operator share."""
    state = schema_of(FlowRun)["properties"]["status"]["properties"]["state"]

    assert state["properties"]["type"]["enum"] == [type_.value for type_ in StateType]


#: What may be asked of a run that there is, and asked otherwise again.
FREE = frozenset({"pause", "suspend", "answers", "priority", "ttl_seconds_after_finished"})


@pytest.mark.parametrize(
    "field", [f.alias for name, f in FlowRunSpec.model_fields.items() if name not in FREE | {"cancel"}], ids=str
)
def test_every_field_of_a_runs_spec_is_guarded(field: str) -> None:
    """A field that is added to the spec is guarded from its first day."""
    rules = schema_of(FlowRun)["properties"]["spec"]["x-kubernetes-validations"]

    guarded = [rule for rule in rules if rule.get("fieldPath") == f".{field}" and "oldSelf" in rule["rule"]]
    assert len(guarded) == 1


@pytest.mark.parametrize("node", [pytest.param(node, id=place) for place, node in ALL])
def test_every_field_is_of_a_kind_that_the_house_allows(node: Node) -> None:
    """No floats, no nulls, no unions: a value has one type, and an optional one is absent."""
    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    assert not {"nullable", "anyOf", "oneOf", "allOf", "not"} & node.keys()


@pytest.mark.parametrize("node", [pytest.param(node, id=place) for place, node in ALL if not place.endswith("[]")])
def test_every_field_says_what_it_means(node: Node) -> None:
    """`kubectl explain` has a sentence for everything."""
    assert node["description"].endswith(".")
    assert "\n" not in node["description"]


@pytest.mark.parametrize("node", of_type("string"))
def test_every_string_is_bounded(node: Node) -> None:
    """Nobody can fill etcd with one field."""
    assert "maxLength" in node or "enum" in node


@pytest.mark.parametrize("node", of_type("integer"))
def test_every_integer_is_bounded(node: Node) -> None:
    """A number has a sense, and a width that the budget of a FlowRun can count on."""
    assert {"minimum", "maximum"} <= node.keys()


@pytest.mark.parametrize("node", of_type("array"))
def test_every_list_is_bounded_and_says_how_it_is_merged(node: Node) -> None:
    """Server-side apply and CEL need to know what a list is."""
    assert "maxItems" in node
    assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}


@pytest.mark.parametrize("node", of_type("object"))
def test_every_object_is_declared_or_kept_as_it_is(node: Node) -> None:
    """An object has its fields written out, or it is free-form; then its values are kept whole, nulls included."""
    kept = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}

    assert "properties" in node or node["additionalProperties"] == kept


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_status_has_no_defaults(kind: type[Resource]) -> None:
    """The API server adds nothing to what somebody saw and wrote."""
    assert [
        place for place, node in nodes(schema_of(kind)["properties"]["status"], "status") if "default" in node
    ] == []


class Part(BaseModel):
    """A part of its own,

    described over lines.
    """

    size: int
    """How large it is."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Sample(BaseModel):
    """Something of everything that a model may say."""

    part: (
        Annotated[Part, Field(json_schema_extra={"x-rules": (Rule("self.size > 1", "too small", ".size"),)})] | None
    ) = None
    parts: Annotated[list[Part], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = []
    kind: Literal["one"] = "one"
    choice: StateType = StateType.PENDING
    share: Annotated[int, Field(gt=0, lt=100, multiple_of=5)]
    anything: AnyObject | None = None


def test_references_are_written_out_and_null_becomes_absence() -> None:
    """A referenced model stands where it is used, with its rules; being optional leaves no trace but not being required."""
    size = {"description": "How large it is.", "type": "integer"}
    part = {
        "description": "A part of its own, described over lines.",
        "type": "object",
        "properties": {"size": size},
        "required": ["size"],
    }
    schema = structural(Sample, defaults=True)

    rules = [{"rule": "self.size > 1", "message": "too small", "fieldPath": ".size"}]
    assert schema["properties"]["part"] == part | {"x-kubernetes-validations": rules}
    assert schema["properties"]["parts"]["items"] == part
    assert schema["required"] == ["share"]


def test_bounds_and_choices_are_those_of_openapi() -> None:
    """An exclusive bound is a bound and a flag; a constant is a choice of one."""
    properties = structural(Sample, defaults=False)["properties"]

    assert properties["share"] == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 100,
        "exclusiveMaximum": True,
        "multipleOf": 5,
    }
    assert properties["kind"] == {"type": "string", "enum": ["one"]}
    assert "default" not in properties["choice"]


def test_defaults_are_kept_where_they_are_asked_for() -> None:
    """A default that is a value is kept; null is none."""
    properties = structural(Sample, defaults=True)["properties"]

    assert properties["choice"]["default"] == "PENDING"
    assert properties["kind"]["default"] == "one"
    assert "default" not in properties["part"]


class Union(BaseModel):
    """A model that cannot be said."""

    value: int | str


class Float(BaseModel):
    """A model that cannot be said."""

    value: float


class Pair(BaseModel):
    """A model that cannot be said."""

    value: tuple[int, str]


class Loose(BaseModel):
    """A model that cannot be said."""

    value: dict[str, Any]


class LooseList(BaseModel):
    """A model that cannot be said."""

    value: list[Any]


class Untyped(BaseModel):
    """A model that cannot be said."""

    value: Any


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Union, "Union.value is a union of 2 types; give it one type."),
        (Float, "Float.value has type 'number'; use one of array, boolean, integer, object, string."),
        (Pair, "Pair.value uses prefixItems, which a CustomResourceDefinition cannot say."),
        (Loose, "Loose.value is an object of anything; use AnyObject, which the API server keeps as it is."),
        (LooseList, "LooseList.value[] has type None; use one of array, boolean, integer, object, string."),
        (Untyped, "Untyped.value has type None; use one of array, boolean, integer, object, string."),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_the_api_server_would_refuse_is_refused_here(model: type[BaseModel], words: str) -> None:
    """The refusal names the place and what to do about it."""
    with pytest.raises(NotStructuralError) as refusal:
        structural(model, defaults=True)

    assert str(refusal.value) == words
