"""Upcasters: what an event's old tag becomes, so that history decodes for ever.

An upcaster is pure: it takes the event as it was stored, `[tag, field, ...]`, and returns it under a newer tag. One
step each; the steps chain until the tag is one the catalogue knows.
"""

from collections.abc import Callable, Mapping
from typing import Any

StoredArray = list[Any]
"""An event as MessagePack holds it: its tag, then its fields in order."""
Upcaster = Callable[[StoredArray], StoredArray]

UPCASTERS: Mapping[str, Upcaster] = {}


def upcast(event: StoredArray, upcasters: Mapping[str, Upcaster]) -> StoredArray:
    """Bring one event up to date; an event that no upcaster knows comes back as it is."""
    while (step := upcasters.get(event[0])) is not None:
        event = step(event)
    return event
