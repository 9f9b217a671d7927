"""The strategies that there are, as the API and the command line both show them."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from domain.bot.settings import GroupForm
from domain.strategy.registry import schema_of, strategies
from infrastructure.plugins import doc_of

FORMS: Mapping[str, type[GroupForm]] = {"dca_signals": GroupForm}
"""What a bot can trade by, and the form of its settings."""
_TITLE = "Position groups from alerts, entered in legs and closed at targets."
_DESCRIPTION = "A bot hears a source of alerts and opens, extends and closes one position group at a time."


class Available(Struct, frozen=True):
    """A strategy: what wakes it, a bot's alerts or the market alone, and the JSON schema of its settings or parameters."""

    name: str
    title: str
    acts_on: Literal["signals", "candles"]
    description: str
    settings_schema: dict[str, Any]


def available_names() -> list[str]:
    """The names of those, in their order."""
    return [*FORMS, *sorted(strategies())]


def available() -> list[Available]:
    """Those of bots, then those that ship or are installed, by name."""
    bots = [Available(name, _TITLE, "signals", _DESCRIPTION, msgspec.json.schema(form)) for name, form in FORMS.items()]
    plugins = [
        Available(name, each.title, "candles", doc_of(each), schema_of(each))
        for name, each in sorted(strategies().items())
    ]
    return [*bots, *plugins]
