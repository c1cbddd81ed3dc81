"""Flows and tasks as methods."""

from __future__ import annotations

from typing import Any

import pytest

from towpath import flow, task


class Shop:
    stock = 10

    def __init__(self, name: str) -> None:
        self.name = name

    @task
    def price(self, item: str, times: int = 1) -> str:
        return f"{self.name}:{item}:{times}"

    @flow
    def open(self, hour: int) -> Any:
        return self.name, hour, self.price("a"), self.price.submit("b").result(), self.price.map(["c", "d"]).result()

    @flow
    @classmethod
    def count(cls, x: int) -> Any:
        return cls.__name__, cls.stock + x

    @classmethod
    @flow
    def count_below(cls, x: int) -> Any:
        return cls.__name__, cls.stock + x

    @flow
    @staticmethod
    def static(x: int) -> int:
        return x + 1

    @staticmethod
    @task
    def static_below(x: int) -> int:
        return x + 1

    @task
    async def later(self, x: int) -> Any:
        return self.name, x


class Corner(Shop):
    stock = 1


def test_instance_methods_know_their_object() -> None:
    """Called, submitted and mapped; parameters are validated without `self`."""
    shop = Shop("main")
    assert shop.open("9") == ("main", 9, "main:a:1", "main:b:1", ["main:c:1", "main:d:1"])  # type: ignore[call-overload]
    assert Shop("other").price("x") == "other:x:1"
    assert shop.later.submit(2).result() == ("main", 2)
    assert shop.open.parameter_schema()["required"] == ["hour"]


def test_two_objects_do_not_mix() -> None:
    """A bound task keeps its object although another is bound meanwhile."""
    first, second = Shop("first").price, Shop("second").price
    assert (first("a"), second("a")) == ("first:a:1", "second:a:1")


def test_methods_have_options_too() -> None:
    """`with_options` on a bound method stays bound; on the class it makes an unbound one."""
    assert Shop("s").price.with_options(name="n", retries=1)("x") == "s:x:1"
    assert Shop.price.with_options(retries=1).retries == 1
    assert Shop.price(Shop("t"), "x") == "t:x:1"


@pytest.mark.parametrize("name", ["count", "count_below"])
def test_class_methods_know_their_class(name: str) -> None:
    """In either order of the decorators, on class and object, also in a subclass."""
    assert getattr(Shop, name)("1") == ("Shop", 11)
    assert getattr(Corner("c"), name)("1") == ("Corner", 2)


def test_static_methods_take_no_self() -> None:
    """In either order of the decorators."""
    assert Shop.static(1) == Shop("s").static(1) == 2
    assert Shop.static_below(1) == Shop("s").static_below(1) == 2
    assert Shop.static.with_options(retries=1)(1) == 2
    assert Shop.static_below.submit(1).result() == 2
