"""Readable names for runs that were given none: `gentle-heron`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

_ADJECTIVES: Final = (
    "amber ample brave bright brisk calm candid careful chalky cheerful clever copper cosy crisp curious dapper "
    "deep eager early earnest fair fleet fond frank gentle glad golden grand happy hardy hasty humble jolly keen "
    "kind late lively loyal lucky mellow merry mild misty modest neat noble patient placid plucky polite proud "
    "quick quiet rapid rosy round rustic sandy serene silver sleek smooth snug sober spry stable steady sturdy "
    "sunny swift tidy tranquil trusty upbeat velvet vivid warm wandering willing windy witty worthy young zesty"
)
_NOUNS: Final = (
    "adder alder badger barge beaver bittern bream bridge bulrush butty canal carp coot cormorant cygnet dabchick "
    "daisy damsel dipper dove dragonfly duck eel egret elder ferry finch fox frog garganey goose grebe gull "
    "harbour hare hawthorn hedgehog heron ibis iris ivy kestrel kingfisher lapwing lark lily linnet lock marigold "
    "martin mill minnow moorhen mooring moth newt nuthatch orchid osprey otter owl pike plover pochard poplar "
    "punt rail reed robin rudd rush salmon shoveler sluice snipe sparrow starling stork swallow swan swift tarn "
    "teal tench tern thrush toad trout vole wagtail warbler weir wharf wigeon willow wren"
)
ADJECTIVES: Final = tuple(_ADJECTIVES.split())
NOUNS: Final = tuple(_NOUNS.split())


def _draw(below: int) -> int:
    return int.from_bytes(os.urandom(4), "big") % below


def slug(draw: Callable[[int], int] = _draw) -> str:
    """Make a name of two words.

    Args:
        draw: gives a number from 0 up to, not including, its argument.
    """
    return f"{ADJECTIVES[draw(len(ADJECTIVES))]}-{NOUNS[draw(len(NOUNS))]}"


def new_id() -> str:
    """Make a random identifier in the form of a UUID, without loading the module of that name."""
    word = os.urandom(16).hex()
    return f"{word[:8]}-{word[8:12]}-4{word[13:16]}-{'89ab'[int(word[16], 16) % 4]}{word[17:20]}-{word[20:]}"
