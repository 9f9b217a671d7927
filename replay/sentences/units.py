"""Amounts and times as people read them: decimal text with thousands set apart and the asset behind it."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from domain.account.limits import REFERENCE_SCALE
from domain.market import Instrument
from domain.values import DAY, MINUTE, SECOND, TIME_END, Direction, Side, cash_scale, decimal_text, time_text

HOUR = 60 * MINUTE
_SPANS = ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s"))
_HUNDRED = Decimal(100)


class Units(Struct, frozen=True):
    """What the amounts of a run count in: its instruments, and which of them a position group trades (0: its bot's next).

    `features` are the names that a strategy's values go by, under its bot's name. What is of an instrument that is not known here is said in quanta, so that a damaged log can be read.
    """

    instruments: Mapping[str, Instrument]
    groups: Mapping[tuple[str, int], str]
    features: Mapping[str, tuple[str, ...]] = {}

    def price(self, instrument: str, quanta: int) -> str:
        listed = self.instruments.get(instrument)
        return _quanta(quanta) if listed is None else grouped(listed.price_text(quanta))

    def size(self, instrument: str, quanta: int) -> str:
        listed = self.instruments.get(instrument)
        return _quanta(quanta) if listed is None else f"{grouped(listed.size_text(quanta))} {listed.base}"

    def cash(self, instrument: str, quanta: int) -> str:
        """Of the instrument's quote asset."""
        listed = self.instruments.get(instrument)
        return _quanta(quanta) if listed is None else f"{grouped(listed.cash_text(quanta))} {listed.quote}"

    def fee(self, instrument: str, asset: str, quanta: int) -> str:
        listed = self.instruments.get(instrument)
        scale = listed.size_scale if listed is not None and asset == listed.base else cash_scale(asset)
        return f"{grouped(decimal_text(quanta, scale))} {asset}"

    def group_cash(self, bot: str, group: int, quanta: int) -> str:
        """Of the quote asset of what the group trades."""
        return self.cash(self.groups.get((bot, group), ""), quanta)

    def group_price(self, bot: str, group: int, quanta: int) -> str:
        return self.price(self.groups.get((bot, group), ""), quanta)

    def group_size(self, bot: str, group: int, quanta: int) -> str:
        return self.size(self.groups.get((bot, group), ""), quanta)

    def worth(self, quanta: int) -> str:
        """Of the currency that limits count in, where all instruments are quoted in one: it is that one."""
        quotes = {listed.quote for listed in self.instruments.values()}
        return money(quotes.pop(), quanta) if len(quotes) == 1 else _quanta(quanta)


Sentence = Callable[[Any, Units], str]
"""(event, units) -> what happened, in words and with its numbers; no capital, no full stop."""


def grouped(amount: str) -> str:
    """Decimal text with thousands set apart."""
    sign = "-" if amount.startswith("-") else ""
    whole, dot, part = amount.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}{dot}{part}"


def money(asset: str, quanta: int) -> str:
    return f"{grouped(decimal_text(quanta, cash_scale(asset)))} {asset}"


def number(value: Decimal) -> str:
    """A decimal without an exponent or trailing zeros, its thousands set apart."""
    text = format(value, "f")
    return grouped(text.rstrip("0").rstrip(".") if "." in text else text)


def percent(value: Decimal) -> str:
    return f"{number(value)} %"


def rate(value: Decimal) -> str:
    """A fraction as a percentage."""
    return percent(value * _HUNDRED)


def reference(quanta: int) -> str:
    """A price of a reference index."""
    return grouped(decimal_text(quanta, REFERENCE_SCALE))


def moment(at: int) -> str:
    """A time, in microseconds as it lies where it is none."""
    if not 0 <= at < TIME_END:
        return f"{at} microseconds"
    return time_text(at).replace("T", " ").removesuffix("Z") + " UTC"


def span(microseconds: int) -> str:
    """A length of time in its two largest units: `1 d 4 h`, `90 s` as `1 min 30 s`; below a second in milliseconds."""
    parts, left = [], microseconds
    for unit, name in _SPANS:
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or f"{decimal_text(microseconds, 3)} ms"


def plural(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def side_of(direction: Direction) -> Side:
    """What enters that way."""
    return "buy" if direction == "long" else "sell"


def _quanta(quanta: int) -> str:
    return f"{quanta:,} quanta"
