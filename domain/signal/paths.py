"""Mappings: where in a foreign body each key of our form stands, by JSON path or as a fixed text."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domain.errors import InputError
from domain.signal.body import TEXT_MAX, Content

Paths = Mapping[str, str]
"""Our keys, each with a path into the sender's body (`$.order.action`), or a text that it always has (`BTCUSDT`)."""

KEYS = (
    "id", "order_id", "time", "symbol", "action", "timeframe", "price", "quantity", "position", "market_position",
    "market_position_size", "max_lag",
)  # fmt: skip
"""The keys of our own form."""
FIXED = ("symbol", "action", "timeframe", "max_lag")
"""What may be the same in every alert: a fixed id would make all but the first a duplicate."""
INTENTS = ("action", "position", "market_position")
"""What can say what to do; a mapping without any of these would have every alert refused."""

_STEP = re.compile(r"""\.([^.\[\]'"\s]+)|\[([0-9]{1,4})\]|\['([^']+)'\]|\["([^"]+)"\]""")


def check_mapping(mapping: Paths) -> dict[str, str]:
    """The mapping in the order of our keys, if it makes sense; raises InputError naming the key and what is allowed."""
    for key, path in mapping.items():
        if key not in KEYS:
            raise InputError(f"mapping: unknown key {key[:TEXT_MAX]!r}; allowed: {', '.join(KEYS)}")
        if not 0 < len(path) <= TEXT_MAX or not path.isprintable():
            raise InputError(f"mapping.{key} must be 1 to {TEXT_MAX} printable characters")
        if path.startswith("$"):
            steps_of(path)
        elif key not in FIXED:
            raise InputError(f"mapping.{key} is the fixed text {path!r}; allowed: a path such as $.order.{key}")
    if mapping and ("symbol" not in mapping or not any(key in mapping for key in INTENTS)):
        raise InputError(f"mapping: symbol and one of {', '.join(INTENTS)} must be in it")
    return {key: mapping[key] for key in KEYS if key in mapping}


def mapped(content: Content, mapping: Paths) -> dict[str, Any]:
    """A body in our form: those keys of the mapping that the body has."""
    found = {key: _look_up(content, steps_of(path)) if path[0] == "$" else path for key, path in mapping.items()}
    return {key: value for key, value in found.items() if value is not None}


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[str | int, ...]:
    """The steps of a path: `$.a['b c'][0]` is `("a", "b c", 0)`; raises InputError."""
    steps: list[str | int] = []
    place = 1
    while path.startswith("$") and place < len(path):
        step = _STEP.match(path, place)
        if step is None:
            break
        name, index, single, double = step.groups()
        steps.append(int(index) if index else name or single or double)
        place = step.end()
    if not steps or place < len(path):
        raise InputError(f"{path!r} is not a path such as $.order.action, $['order']['action'] or $.orders[0]")
    return tuple(steps)


def _look_up(content: Any, steps: tuple[str | int, ...]) -> Any:  # noqa: ANN401  (JSON has any type)
    """What stands at the path, None where nothing does."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(content, dict):
                return None
            content = content.get(step)
        else:
            if not isinstance(content, list) or step >= len(content):
                return None
            content = content[step]
    return content
