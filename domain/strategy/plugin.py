"""What a strategy is: parameters, features, and decisions from (features, its own memory, its position) to intents.

A strategy holds no clock, no I/O and no hidden state. What it must remember it gives back as its memory, which the log
keeps with the decision; so the same candles and fills always give the same intents, live, on paper and in a backtest.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from domain.account.events import OrderFilled
from domain.account.state import AccountState, Book, Order
from domain.errors import InputError
from domain.market import Instrument
from domain.strategy.feature import Values
from domain.strategy.intents import Intent
from domain.values import Cash, Price, Time

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.indicators import Indicator

Bounds = tuple[int, int]

FLAT = Book()


class Act(Struct, frozen=True, gc=False):
    """A decision: what to place and cancel, in order, and the new memory where it changes. `reason` is for the reader."""

    intents: tuple[Intent, ...] = ()
    memory: Struct | None = None
    reason: str = ""


class View(Struct, gc=False):
    """What a strategy sees when it decides, at a candle's close or at a fill.

    `at` is the candle's open time, `close` its close in price quanta; `features` are its values at that candle in the
    order of their names, empty at a fill. `book` is what its fills sum to: quantity, and cash with fees, in quanta;
    `position` is that quantity, signed.
    """

    at: Time
    bot: str
    instrument: Instrument
    close: Price
    features: Values
    memory: Any
    account: AccountState
    book: Book = FLAT

    @property
    def position(self) -> int:
        return self.book.quantity

    @property
    def result(self) -> Cash:
        """What it has made so far, open position at the close, in cash quanta."""
        book, instrument = self.book, self.instrument
        return Cash(book.cash + instrument.notional(self.close, book.quantity))

    def orders(self) -> Iterator[Order]:
        """Its orders that have not ended, oldest first."""
        return (order for order in self.account.orders.values() if order.bot == self.bot)

    def is_working(self) -> bool:
        """Whether any of its orders has not ended."""
        return any(order.bot == self.bot for order in self.account.orders.values())


OnCandle = Callable[[Any, View], Act | None]
OnFill = Callable[[Any, View, OrderFilled], Act | None]


class NoParameters(Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy without parameters."""


def no_features(_parameters: object) -> Mapping[str, "Indicator"]:
    """A strategy that looks at the close alone."""
    return {}


def unchecked(_parameters: object, _instrument: Instrument | None) -> None:
    """Whatever its type allows makes sense."""


class Strategy(Struct, frozen=True):
    """A strategy by its name: one file has one, under the name `STRATEGY`.

    `parameters` is a frozen struct with `forbid_unknown_fields`; its docstring and types are the form's. `check` raises
    InputError for values that make no sense together, or on an instrument where one is given. `features` are named
    indicators; `on_candle` decides at a close, `on_fill` at each fill of its own orders.

    `may_act` gives, from all features' columns by name, a mask of the candles at which `on_candle` may do something:
    it may name too many, never too few. Without it every candle is asked. `watch` gives, from the memory, prices: a
    candle that reaches down to the first or up to the second is asked too. `memory` is the type of what it remembers.
    """

    name: str
    title: str
    parameters: type[Struct]
    on_candle: OnCandle
    on_fill: OnFill | None = None
    features: Callable[[Any], Mapping[str, "Indicator"]] = no_features
    may_act: Callable[[Any, Mapping[str, "NDArray[Any]"]], "NDArray[np.bool_]"] | None = None
    watch: Callable[[Any, Any], Bounds | None] | None = None
    memory: type[Struct] | None = None
    check: Callable[[Any, Instrument | None], None] = unchecked


def feature_names(features: Mapping[str, "Indicator"]) -> tuple[str, ...]:
    """The names of all columns: the feature's own, with `.output` where it has several."""
    return tuple(
        name if len(each.outputs) == 1 else f"{name}.{output}"
        for name, each in features.items()
        for output in each.outputs
    )


def required(holds: bool, key: str, value: object, allowed: str) -> None:  # noqa: FBT001  (reads as a sentence)
    """Refuse a parameter that makes no sense, saying what is allowed."""
    if not holds:
        raise InputError(f"parameter {key} is {value}; allowed: {allowed}")
