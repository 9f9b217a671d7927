"""Settings of an execution pool, and what they may be."""

from typing import Any

from msgspec import Struct, structs

from domain.errors import InputError

GROUPS_MAX = 1000
EXPIRY_MINUTES_MAX = 525_600
"""A year."""


class PoolSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How many groups may be open at once, whether pyramids count, and how long a signal may wait (None: for ever)."""

    max_open_groups: int = 10
    count_pyramids_toward_pool: bool = False
    queue_expiry_minutes: int | None = None


_RANGES = {"max_open_groups": (1, GROUPS_MAX), "queue_expiry_minutes": (1, EXPIRY_MINUTES_MAX)}


def check_settings(settings: PoolSettings) -> PoolSettings:
    """Return the settings if they make sense, else raise InputError naming the key and what is allowed."""
    given: dict[str, Any] = structs.asdict(settings)
    for key, (least, most) in _RANGES.items():
        value = given[key]
        if value is not None and not least <= value <= most:
            raise InputError(f"pool.{key} is {value}; allowed: {least} to {most}")
    return settings
