"""Given events, when a command, then events: how rules of money and order are specified."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

from msgspec import UNSET

from domain.account import commands, events
from domain.account.decider import DECIDER as ACCOUNT
from domain.bot.commands import ActOnSignal, TakeEntry
from domain.bot.events import EntryWanted
from domain.bot.settings import GroupSettings, LegSettings, SizedBy, Sizing
from domain.decider import Decider, Now
from domain.market import Instrument, make_instrument
from domain.message import Command, Event
from domain.values import Asset, Cash, InstrumentId, Price, Time

BTC = InstrumentId("BTC/USDT")
USDT = Asset("USDT")


def instrument(fee_asset: Any = "quote", tick: str = "0.01", step: str = "0.001", minimum: str = "5") -> Instrument:
    return make_instrument(BTC, Decimal(tick), Decimal(step), Decimal(minimum), fee_asset=fee_asset)


def settings(*legs: tuple[str, str, str], **changes: Any) -> GroupSettings:
    """Group settings from legs of (gap, weight, take profit) percent; `capital` unless another size is given."""
    planned = legs or (("0", "40", "1"), ("-0.5", "60", "1"))
    sizings = [Sizing(by, Decimal(changes.pop(by))) for by in get_args(SizedBy) if by in changes]
    return GroupSettings(
        capital=None if sizings else Decimal(changes.pop("capital", "1000")),
        sizing=sizings[0] if sizings else UNSET,
        legs=tuple(LegSettings(*map(Decimal, leg)) for leg in planned),
        **changes,
    )


class Story:
    """An aggregate with a past; each `when` adds to it."""

    def __init__(self, decider: Decider, past: Iterable[Event]) -> None:
        self._decider = decider
        self.state = decider.initial()
        self._evolve(past)

    def when(
        self,
        command: Command,
        at: int = 0,
        marks: Mapping[Any, int] | None = None,
        groups: Sequence[Any] = (),
        account: Any = None,
    ) -> tuple[Event, ...]:
        """Decide and evolve; return what happened. All but the command is for rules that look at the moment."""
        rule = self._decider.rules.get(type(command))
        if rule is None:
            seen = {InstrumentId(name): Price(price) for name, price in (marks or {}).items()}
            now = Now(Time(at), seen, lambda _account: groups, lambda _account: account)
            happened = self._decider.timed[type(command)](self.state, command, now)
        else:
            happened = rule(self.state, command)
        self._evolve(happened)
        return happened

    def _evolve(self, past: Iterable[Event]) -> None:
        for event in past:
            self.state = self._decider.folds[type(event)](self.state, event)


def given(decider: Decider, *past: Event) -> Story:
    return Story(decider, past)


def opened_account(
    cash: str = "10000", kind: Any = "spot", listed: Instrument | None = None, position: int = 0
) -> Story:
    """An account with cash, an instrument, fees of 0.02 % and 0.1 %, and perhaps a holding."""
    listing = listed or instrument()
    past: list[Event] = [
        events.AccountOpened("main", kind),
        events.InstrumentListed("main", listing, Decimal("0.0002"), Decimal("0.001"), Decimal(0)),
        events.CashDeposited("main", USDT, Cash(int(Decimal(cash) * 10**8))),
    ]
    if position:
        past.append(events.PositionDeposited("main", BTC, position, Cash(0)))  # type: ignore[arg-type]
    return Story(ACCOUNT, past)


def order(**changes: Any) -> commands.PlaceOrder:
    """An entry of group 1: buy 1.000 at 100.00, unless told otherwise; amounts in quanta."""
    fields: dict[str, Any] = {
        "account": "main", "bot": "dca", "group": 1, "leg": 0, "role": "entry", "instrument": BTC, "side": "buy",
        "type": "limit", "quantity": 1000, "limit": 10000, "stop": None, "reference": 10000, "reduce_only": False,
    }  # fmt: skip
    fields.update(changes)
    if fields["type"] == "market":
        fields["limit"] = None
    return commands.PlaceOrder(**fields)


def fill(number: int, trade: str, quantity: int, price: int = 10000, **changes: Any) -> commands.FillReported:
    fields: dict[str, Any] = {
        "account": "main", "order": number, "instrument": BTC, "trade": trade, "price": price, "quantity": quantity,
        "fee": 0, "fee_asset": USDT, "liquidity": "maker", "venue_at": 0,
    }  # fmt: skip
    return commands.FillReported(**{**fields, **changes})


def kinds(happened: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in happened]


def let_in(story: Story, signal: ActOnSignal) -> Event:
    """What a signal comes to where the pool has room: the last thing that happens."""
    happened = story.when(signal)
    last = happened[-1]
    if isinstance(last, EntryWanted):
        *_, last = story.when(TakeEntry(last.bot, last.source, last.number, last.direction, last.price, last.group))
    return last
