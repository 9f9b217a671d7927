"""What happens to a running strategy, and what it decided from which features, in words."""

from collections.abc import Mapping
from itertools import zip_longest

from domain.message import Event
from domain.strategy import events as e
from domain.strategy.intents import Cancel, Intent, Place
from replay.sentences.units import Sentence, Units, plural

SHOWN = 6
"""Intents that are told one by one."""
_REASONS = {
    "closed": "nothing of it works any more",
    "daily loss limit": "it has lost what it may lose a day",
    "day": "a new day begins",
    "outside": "the price is outside its levels",
    "re-centre": "its levels move to the price",
    "stop loss": "the price is too far below its levels",
}
"""Reasons of the strategies that ship; others are told as they stand."""


def _started(event: e.StrategyStarted, units: Units) -> str:
    what = f"{event.strategy} starts as {event.bot} on {event.instrument.id} of account {event.account}"
    return f"{what}: {_form(event)}"


def _configured(event: e.StrategyConfigured, units: Units) -> str:
    return f"strategy {event.bot} goes on with {_form(event)}"


def _form(event: e.StrategyStarted | e.StrategyConfigured) -> str:
    features = f"; features {', '.join(event.features)}" if event.features else ""
    code = f"; code {event.code[:16]}" if event.code else ""
    return f"{event.parameters}{features}{code}"


def _acted(event: e.StrategyActed, units: Units) -> str:
    held = units.size(event.instrument, event.position)
    when = f"the fill of order {event.order}" if event.order else "a candle's close"
    close = units.price(event.instrument, event.close)
    features = f"; {', '.join(_features(event, units))}" if event.values else ""
    why = f", because {_REASONS.get(event.reason, event.reason)}" if event.reason else ""
    return f"strategy {event.bot} at {when}: the price is {close}, it holds {held}{features}; it {_wants(event, units)}{why}"


def _features(event: e.StrategyActed, units: Units) -> list[str]:
    """Each by its name, where that is known."""
    names = units.features.get(event.bot, ())
    return [
        f"{value:,}" if name is None else f"{name} {value:,}"
        for name, value in zip_longest(names[: len(event.values)], event.values)
    ]


def _wants(event: e.StrategyActed, units: Units) -> str:
    if not event.intents:
        return "trades nothing"
    told = [_intent(event.instrument, intent, units) for intent in event.intents[:SHOWN]]
    rest = len(event.intents) - SHOWN
    return "; ".join([*told, *([f"and {plural(rest, 'order')} more"] if rest > 0 else [])])


def _intent(instrument: str, intent: Intent, units: Units) -> str:
    if isinstance(intent, Place):
        what = {"buy": "buys", "sell": "sells"}[intent.side]
        prices = [
            *([f"once the price comes to {units.price(instrument, intent.stop)}"] if intent.stop is not None else []),
            *([f"at {units.price(instrument, intent.limit)} or better"] if intent.limit is not None else []),
            *(["at market"] if intent.type == "market" else []),
        ]
        leg = f" (leg {intent.leg})" if intent.leg else ""
        return f"{what} {units.size(instrument, intent.quantity)} {', '.join(prices)}{leg}"
    if isinstance(intent, Cancel):
        return "cancels all its orders" if intent.legs is None else f"cancels its legs {_numbers(intent.legs)}"
    return "cancels all its orders, to close what it holds when they are gone"


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _paused(event: e.StrategyPaused, units: Units) -> str:
    return f"strategy {event.bot} decides nothing for now"


def _resumed(event: e.StrategyResumed, units: Units) -> str:
    return f"strategy {event.bot} decides again"


def _failed(event: e.StrategyFailed, units: Units) -> str:
    return f"strategy {event.bot} has failed and decides nothing until it is resumed: {event.error}"


def _refused(event: e.StrategyRefused, units: Units) -> str:
    return f"strategy {event.bot}: {event.command} refused, {event.code}: {event.reason}"


SENTENCES: Mapping[type[Event], Sentence] = {
    e.StrategyStarted: _started,
    e.StrategyConfigured: _configured,
    e.StrategyActed: _acted,
    e.StrategyPaused: _paused,
    e.StrategyResumed: _resumed,
    e.StrategyFailed: _failed,
    e.StrategyRefused: _refused,
}
