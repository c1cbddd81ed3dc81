"""The store: what is newest wins, what is deleted stays so, and indexes tell the truth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath_operator.runtime.store import Body, Index, Store


def make_body(
    version: int, *, name: str = "a", uid: str = "u1", colour: str = "red", namespace: str = "ns"
) -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "colour": colour}


def colours(body: Body) -> Iterable[str]:
    return [body["colour"]]


def test_newer_replaces_older() -> None:
    """A body with a higher resourceVersion replaces the one that is known, numerically and not by letters."""
    store = Store()
    assert store.put("pods", make_body(9))
    assert store.put("pods", make_body(10, colour="blue"))
    assert store.get("pods", "ns", "a") == make_body(10, colour="blue")


@pytest.mark.parametrize("version", [9, 10], ids=["older", "same"])
def test_what_is_not_newer_changes_nothing(version: int) -> None:
    """A body that is as old as the known one, or older, is not kept and told to nobody."""
    told: list[Any] = []
    store = Store(listener=lambda *change: told.append(change))
    store.put("pods", make_body(10))
    told.clear()
    assert not store.put("pods", make_body(version, colour="blue"))
    assert store.get("pods", "ns", "a") == make_body(10)
    assert told == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(make_body(9), False, id="older"),
        pytest.param(make_body(10), False, id="what is known"),
        pytest.param(make_body(11), True, id="newer"),
        pytest.param(make_body(11, uid="u2"), True, id="made anew"),
        pytest.param(make_body(9, name="b"), True, id="another"),
        pytest.param(make_body(12, uid="u0"), False, id="late word of one that is gone"),
    ],
)
def test_what_is_news_can_be_told_before_it_is_kept(body: Body, expected: bool) -> None:
    """Whoever brings a body can ask first whether it would be kept."""
    store = Store()
    store.drop("jobs", "ns", "a", "u0")
    store.put("jobs", make_body(10))
    assert store.is_news("jobs", body) is expected
    assert store.put("jobs", body) is expected


def test_a_deleted_object_does_not_come_back() -> None:
    """The late answer to a write, or a list that began before, does not revive what was deleted since."""
    store = Store()
    store.put("jobs", make_body(10))
    assert store.drop("jobs", "ns", "a", "u1")
    assert not store.put("jobs", make_body(12))
    assert store.get("jobs", "ns", "a") is None


def test_deletion_is_remembered_before_the_object_was_known() -> None:
    """The answer to a POST that comes after the object's DELETED event does not make a ghost."""
    store = Store()
    assert not store.drop("jobs", "ns", "a", "u1")
    assert not store.put("jobs", make_body(12))


def test_a_deletion_concerns_one_uid_only() -> None:
    """A late DELETED event does not take an object of the same name that was made anew."""
    store = Store()
    store.put("jobs", make_body(20, uid="u2"))
    assert not store.drop("jobs", "ns", "a", "u1")
    assert store.get("jobs", "ns", "a") is not None


def test_an_object_made_anew_is_told_as_gone_and_new() -> None:
    """When the deletion in between was missed, listeners still hear of it, before they hear of the new object."""
    told: list[tuple[str | None, str | None]] = []

    def listen(_plural: str, old: Body | None, new: Body | None) -> None:
        told.append((old and old["metadata"]["uid"], new and new["metadata"]["uid"]))

    store = Store(listener=listen)
    store.put("jobs", make_body(10, uid="u1"))
    store.put("jobs", make_body(20, uid="u2"))
    assert told == [(None, "u1"), ("u1", None), (None, "u2")]


def test_prune_drops_what_a_complete_list_lacks() -> None:
    """What the list does not have is dropped, except in other namespaces and what is newer than the list."""
    store = Store()
    store.put("jobs", make_body(10, name="listed", uid="u1"))
    store.put("jobs", make_body(11, name="ghost", uid="u2"))
    store.put("jobs", make_body(31, name="newer", uid="u3"))
    store.put("jobs", make_body(12, name="elsewhere", uid="u4", namespace="other"))
    assert store.prune("jobs", "ns", {("ns", "listed")}, 30) == 1
    assert sorted(body["metadata"]["name"] for body in store.all("jobs")) == ["elsewhere", "listed", "newer"]


def test_lean_bodies_are_what_is_kept_and_told() -> None:
    """What the store is told to leave out is gone from look-ups and from what listeners see."""
    told: list[Body | None] = []
    store = Store(
        lean=lambda _plural, body: {"metadata": body["metadata"]}, listener=lambda _plural, _old, new: told.append(new)
    )
    store.put("pods", make_body(1))
    assert "colour" not in (store.get("pods", "ns", "a") or {})
    assert told == [store.get("pods", "ns", "a")]


def test_listeners_see_the_store_as_it_is_after_the_change() -> None:
    """A listener that looks an index up finds the new body there, and never the old one."""
    found: list[tuple[int, int]] = []
    store = Store(
        {"colour": Index("pods", colours)},
        listener=lambda *_: found.append((len(store.find("colour", "red")), len(store.find("colour", "blue")))),
    )
    store.put("pods", make_body(1, colour="red"))
    store.put("pods", make_body(2, colour="blue"))
    store.drop("pods", "ns", "a", "u1")
    assert found == [(1, 0), (0, 1), (0, 0)]


changes = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["red", "blue"]), st.sampled_from(["put", "delete"])), max_size=12
)


@given(history=changes, data=st.data())
def test_any_order_of_words_gives_the_same_store(history: list[tuple[str, str, str]], data: st.DataObject) -> None:
    """However events, lists and answers race and repeat, the store ends as the server is, and so do its indexes."""
    server: dict[str, dict[str, Any]] = {}
    words: list[tuple[str, dict[str, Any]]] = []
    for version, (name, colour, change) in enumerate(history, start=1):
        if change == "put":
            uid = server[name]["metadata"]["uid"] if name in server else f"{name}{version}"
            server[name] = make_body(version, name=name, uid=uid, colour=colour)
            words.append(("put", server[name]))
        elif name in server:
            words.append(("drop", server.pop(name)))
    store = Store({"colour": Index("pods", colours)})
    repeated = words + data.draw(st.lists(st.sampled_from(words)) if words else st.just([]))
    for kind, body in data.draw(st.permutations(repeated)):
        if kind == "put":
            store.put("pods", body)
        else:
            store.drop("pods", "ns", body["metadata"]["name"], body["metadata"]["uid"])
    assert {body["metadata"]["name"]: body for body in store.all("pods")} == server
    for colour in ("red", "blue"):
        expected = [body for body in server.values() if body["colour"] == colour]
        assert sorted(store.find("colour", colour), key=str) == sorted(expected, key=str)
