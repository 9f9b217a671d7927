"""A risk offset at its desk: groups that stand as a test says, prices, a clock, and a log."""

from decimal import Decimal
from typing import Any

from msgspec import structs

from domain.decider import Now
from domain.market import Instrument, make_instrument
from domain.message import Command, Event
from domain.policies import POLICIES
from domain.portfolio_risk import commands as c
from domain.portfolio_risk import events as e
from domain.portfolio_risk.decider import DECIDER
from domain.portfolio_risk.settings import OffsetSettings
from domain.portfolio_risk.state import FOLDS, RiskState
from domain.position_group.commands import ExitGroup, ReduceGroup
from domain.position_group.state import GroupState
from domain.values import InstrumentId, Price, Time

MINUTE = 60_000_000
START = 1_767_225_600_000_000
CENT = 1000
"""Cash quanta in a price quantum times a size quantum."""
DOLLAR = 10**8


def listed(name: str, quote: str = "USDT", step: str = "0.001", minimum: str = "5") -> Instrument:
    return make_instrument(f"{name}/{quote}", Decimal("0.01"), Decimal(step), Decimal(minimum))


def group_of(name: str, held: int, price: int, *, worth: int | None = None, **changes: Any) -> GroupState:
    """Group 1 of the bot and instrument of that name, which holds so many thousandths at an average in cents."""
    instrument = changes.pop("instrument", None) or listed(name)
    fields: dict[str, Any] = {"direction": "long", "group": 1, "entered": True, **changes}
    return GroupState(
        bot=name, account="main", instrument=instrument, legs=(), when_flat="keep", reference=price, held=held,
        average=(price * held if worth is None else worth, held), **fields,
    )  # fmt: skip


class Desk:
    """The aggregate, what its policies ask for, and groups that do as they are told."""

    def __init__(self, *, configured: bool = True, **settings: Any) -> None:
        self.state: RiskState = DECIDER.initial()
        self.past: list[Event] = []
        self.groups: dict[str, GroupState] = {}
        self.marks: dict[InstrumentId, Price] = {}
        self.at = START
        self.settings = OffsetSettings(**{"cost_margin_pct": Decimal(0), **settings})
        if configured:
            self.when(c.ConfigureOffset("main", self.settings))

    def when(self, command: Command) -> tuple[Any, ...]:
        timed = DECIDER.timed.get(type(command))
        if timed is None:
            happened = DECIDER.rules[type(command)](self.state, command)
        else:
            now = Now(
                Time(self.at), self.marks, lambda account: list(self.groups.values()) if account == "main" else []
            )
            happened = timed(self.state, command, now)
        self.past += happened
        for event in happened:
            self.state = FOLDS[type(event)](self.state, event)
        for event in happened:
            self._react(event)
        return happened

    def _react(self, event: Event) -> None:
        """What the groups do of what is asked of them at once."""
        for policy in POLICIES.get(type(event), ()):
            for command in policy(event):
                if isinstance(command, ReduceGroup):
                    assert command.reason == "offset"
                    self.change(command.bot, reducing=int(command.quantity))
                elif isinstance(command, ExitGroup):
                    assert command.reason == "offset"
                    assert command.last_close == self.marks[self.groups[command.bot].instrument.id]
                    self.change(command.bot, status="exiting", closing=True)

    def opens(
        self, name: str, held: int, price: int, mark: int | None = None, *, most: int = 1, **changes: Any
    ) -> None:
        """A group opens, of `most` pyramids at most; `mark` is the market's last price."""
        group = group_of(name, held, price, **changes)
        self.groups[name] = group
        if mark is not None:
            self.marks[group.instrument.id] = Price(mark)
        self.when(c.WatchGroup("main", name, group.group, most))

    def change(self, name: str, **changes: Any) -> None:
        self.groups[name] = structs.replace(self.groups[name], **changes)

    def moves(self, name: str, mark: int) -> None:
        self.marks[self.groups[name].instrument.id] = Price(mark)

    def passes(self, minutes: int, microseconds: int = 0) -> None:
        self.at += minutes * MINUTE + microseconds

    def looks(self) -> tuple[Any, ...]:
        """A period is over."""
        return self.when(c.EvaluateOffset("main"))

    def waits(self) -> tuple[Any, ...]:
        """An hour passes, and the desk looks."""
        self.passes(60)
        return self.looks()

    def runs(self) -> tuple[Any, ...]:
        return self.when(c.RunOffset("main"))

    def fills(self, name: str, quantity: int, price: int, *, fee: int = 0, fee_asset: str = "USDT", remaining: int = 0,
              base_fee: int = 0) -> tuple[Any, ...]:  # fmt: skip
        """A group's closing order fills; the offset hears of it first, then the group, then it is reviewed."""
        group = self.groups[name]
        received = quantity + base_fee if group.direction == "long" else quantity - base_fee
        noted: Any = c.NoteClose(
            "main", name, group.group, group.instrument.id, price, quantity, group.instrument.notional(price, quantity),  # type: ignore[arg-type]
            received, fee or base_fee, fee_asset, remaining,  # type: ignore[arg-type]
        )  # fmt: skip
        happened = self.when(noted)
        self.change(name, held=group.held - received, reducing=group.reducing if remaining else 0)
        return (*happened, *self._reviewed(happened))

    def fails(self, name: str, remaining: int) -> tuple[Any, ...]:
        """A group's closing order is refused, or cancelled."""
        happened = self.when(c.NoteCloseEnd("main", name, self.groups[name].group, remaining, "refused"))  # type: ignore[arg-type]
        self.change(name, status="open", closing=False, reducing=0)
        return (*happened, *self._reviewed(happened))

    def _reviewed(self, happened: tuple[Any, ...]) -> tuple[Any, ...]:
        later: tuple[Any, ...] = ()
        for event in happened:
            for policy in POLICIES.get(type(event), ()):
                for command in policy(event):
                    if isinstance(command, c.ReviewOffset):
                        later += self.when(command)
        return later

    def closes(self, name: str) -> tuple[Any, ...]:
        group = self.groups.pop(name)
        return self.when(c.ForgetGroup("main", name, group.group))

    def events(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.past if isinstance(event, kind)]


def only(happened: tuple[Any, ...], kind: type[Any]) -> Any:
    (found,) = (event for event in happened if isinstance(event, kind))
    return found


def loser_of(happened: tuple[Any, ...]) -> str:
    """Which bot's group is to be closed."""
    return str(only(happened, e.OffsetChosen).bot)


def verdicts(happened: tuple[Any, ...]) -> dict[str, str]:
    return {loser.bot: loser.verdict for loser in only(happened, e.OffsetEvaluated).losers}


def parts(happened: tuple[Any, ...]) -> list[tuple[str, int]]:
    return [(part.bot, part.quantity) for part in only(happened, e.OffsetChosen).parts]
