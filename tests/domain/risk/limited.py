"""An account under limits, and the verdicts it gives."""

from decimal import Decimal
from typing import Any

from msgspec import structs

from domain.account import events
from domain.account.decider import DECIDER
from domain.account.limits import RiskLimits
from domain.market import Instrument, make_instrument
from domain.values import Asset, InstrumentId, Price
from tests.spec import BTC, USDT, Story, fill, instrument, order

ETH = InstrumentId("ETH/USDT")
INR = Asset("INR")
SHARE = InstrumentId("SHARE/INR")
SECOND = 1_000_000
DAY = 86_400 * SECOND
MARKS = {BTC: Price(10000), ETH: Price(10000)}
CENT = 10**6
"""Cash quanta."""


def limits(**changes: Any) -> RiskLimits:
    """Limits in USDT; text and whole numbers of amounts become decimals."""
    fields: dict[str, Any] = {"currency": USDT}
    for name, value in changes.items():
        exact = isinstance(value, str) and name != "currency"
        fields[name] = Decimal(value) if exact else value
    return RiskLimits(**fields)


def listed(symbol: str, **changes: Any) -> Instrument:
    made = make_instrument(symbol, Decimal("0.01"), Decimal("0.001"), Decimal(5))
    return structs.replace(made, **changes)


def limited(cash: str = "10000", kind: Any = "spot", mode: Any = "simulated", **changes: Any) -> Story:
    """An account with 10,000 USDT, BTC and ETH without fees, under limits of version 1."""
    past: list[Any] = [
        events.AccountOpened("main", kind, mode),
        events.InstrumentListed("main", instrument(), Decimal(0), Decimal(0), Decimal(0)),
        events.InstrumentListed("main", listed("ETH/USDT"), Decimal(0), Decimal(0), Decimal(0)),
        events.CashDeposited("main", USDT, int(Decimal(cash) * 10**8)),  # type: ignore[arg-type]
        events.RiskLimitsSet("main", 1, limits(**changes)),
    ]
    return Story(DECIDER, past)


def in_rupees(**changes: Any) -> Story:
    """An account with 1,000 rupees and shares at whole lots of one: cash of two decimal places."""
    share = make_instrument("SHARE/INR", Decimal("0.05"), Decimal(1), Decimal(0))
    past: list[Any] = [
        events.AccountOpened("main", "spot"),
        events.InstrumentListed("main", share, Decimal(0), Decimal(0), Decimal(0)),
        events.CashDeposited("main", INR, 100_000),  # type: ignore[arg-type]
        events.RiskLimitsSet("main", 1, limits(**{"currency": INR, **changes})),
    ]
    return Story(DECIDER, past)


def judged(story: Story, at: int = 0, marks: Any = None, **changes: Any) -> Any:
    """The verdict on an order, the last event of its decision."""
    return story.when(order(**changes), at, MARKS if marks is None else marks)[-1]


def verdict(story: Story, at: int = 0, marks: Any = None, **changes: Any) -> str:
    """`passed`, or the denial with its numbers."""
    found = judged(story, at, marks, **changes)
    if isinstance(found, events.RiskPassed):
        assert found.settings == story.state.limits_version
        return "passed"
    assert isinstance(found, events.OrderDenied)
    assert found.settings == story.state.limits_version
    return f"{found.code}: {found.reason}"


def trade(story: Story, price: int = 10000, at: int = 0, marks: Any = None, **changes: Any) -> tuple[Any, ...]:
    """An order at the market that is filled at once; what happened at the fill."""
    story.when(order(type="market", reference=price, **changes), at, MARKS if marks is None else marks)
    number = story.state.orders_placed
    made = story.state.orders[number]
    report = fill(number, f"t{number}", made.quantity, price, instrument=made.instrument, venue_at=at)
    return story.when(report, at, MARKS if marks is None else marks)
