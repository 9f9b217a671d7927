"""Logs made by hand: what the engine would have recorded, and random ones that keep to its rules."""

from decimal import Decimal
from random import Random

from domain.account.events import (
    AccountOpened,
    AccountValued,
    CashDeposited,
    InstrumentListed,
    OrderFilled,
    OrderIntended,
    PositionDeposited,
    RiskPassed,
    Role,
)
from domain.market import Instrument, make_instrument
from domain.message import Event, Record
from domain.position_group.events import DustWrittenOff, GroupOpened, Leg
from domain.values import Asset, Cash, Direction, Fee, Price, Quantity, Side, Time

START = 1_640_995_200_000_000  # 2022-01-01
HOUR = 3_600_000_000
ACCOUNT = 1
"""The account's stream."""

# A quote finer than price x size, and one coarser, where the worth of a position is rounded.
BTC = make_instrument("BTC/USDT", Decimal("0.01"), Decimal("0.00001"), Decimal(5))
ETH = make_instrument("ETH/INR", Decimal("0.05"), Decimal("0.0001"), Decimal(100), fee_asset="base")
GROUPS: dict[int, Instrument] = {1: BTC, 2: BTC, 3: ETH}


class Story:
    """Records as they come, with dense versions in each stream."""

    def __init__(self) -> None:
        self.records: list[Record[Event]] = []
        self.at = START
        self._versions: dict[int, int] = {}

    def tell(self, stream: int, *events: Event) -> None:
        version = self._versions.get(stream, 0) + 1
        self._versions[stream] = version + len(events) - 1
        key = f"stream/{stream}" if version == 1 else None
        self.records.append(Record(stream, version, Time(self.at), "test", None, events, key))


def opened(*instruments: Instrument) -> Story:
    story = Story()
    story.tell(ACCOUNT, AccountOpened("main", "margin"))
    for instrument in instruments:
        story.tell(ACCOUNT, InstrumentListed("main", instrument, Decimal("0.0002"), Decimal("0.001"), Decimal(0)))
    return story


def group_opened(group: int, instrument: Instrument, *legs: Leg, short: bool = False) -> GroupOpened:
    direction: Direction = "short" if short else "long"
    return GroupOpened("dca", group, "main", direction, Decimal("1E+2"), instrument, legs, "keep")


def leg(index: int, price: int = 100, quantity: int = 10) -> Leg:
    return Leg(index, "limit", Price(price), Quantity(quantity), Decimal("1.0"))


def intended(
    order: int,
    group: int = 0,
    role: Role = "manual",
    side: Side = "buy",
    quantity: int = 10,
    instrument: Instrument = BTC,
    leg: int = 0,
) -> OrderIntended:
    return OrderIntended(
        account="main",
        order=order,
        bot="dca" if group else "",
        group=group,
        leg=leg,
        role=role,
        instrument=instrument.id,
        side=side,
        type="limit",
        quantity=Quantity(quantity),
        limit=Price(100),
        stop=None,
        reference=Price(100),
        reduce_only=False,
    )


def fill_of(
    order: OrderIntended,
    price: int = 100,
    quantity: int = 10,
    remaining: int = 0,
    fee: int = 0,
    fee_asset: str = "USDT",
    instrument: Instrument = BTC,
) -> OrderFilled:
    base_fee = fee if fee_asset == instrument.base else 0
    return OrderFilled(
        account=order.account,
        order=order.order,
        bot=order.bot,
        group=order.group,
        leg=order.leg,
        role=order.role,
        instrument=order.instrument,
        side=order.side,
        price=Price(price),
        quantity=Quantity(quantity),
        cash=instrument.notional(price, quantity),
        received=Quantity(quantity - base_fee if order.side == "buy" else quantity + base_fee),
        fee=Fee(fee),
        fee_asset=Asset(fee_asset),
        liquidity="maker",
        trade=f"t{order.order}",
        venue_at=Time(START),
        remaining=Quantity(remaining),
    )


def random_story(random: Random, steps: int) -> Story:
    """Deposits, fills of three groups and of none, with fees in quote, base or a third asset, dust, valuations."""
    story = opened(BTC, ETH)
    for group, instrument in GROUPS.items():
        story.tell(10 + group, group_opened(group, instrument, leg(0), short=group == 2))
    for step in range(1, steps + 1):
        story.at += random.choice((0, 1, HOUR, 20 * HOUR))
        kind = random.choice(("fill",) * 7 + ("cash", "position", "dust", "value"))
        instrument = random.choice((BTC, ETH))
        if kind == "fill":
            _tell_fill(story, random, step)
        elif kind == "cash":
            story.tell(ACCOUNT, CashDeposited("main", instrument.quote, Cash(random.randint(1, 10**12))))
        elif kind == "position":
            quantity, cost = random.randint(1, 10**9), random.randint(0, 10**13)
            story.tell(ACCOUNT, PositionDeposited("main", instrument.id, Quantity(quantity), Cash(cost)))
        elif kind == "dust":
            group = random.choice((1, 2, 3))
            quantity = Quantity(random.randint(1, 10**6))
            dust = DustWrittenOff("dca", group, "main", GROUPS[group].id, quantity, "below step")
            story.tell(10 + group, dust)
        else:
            marks = (BTC.id, Price(random.randint(1, 10**7))), (ETH.id, Price(random.randint(1, 10**7)))
            story.tell(ACCOUNT, AccountValued("main", marks, ((BTC.quote, Cash(step)), (ETH.quote, Cash(step)))))
    return story


def _tell_fill(story: Story, random: Random, order: int) -> None:
    group = random.choice((0, 1, 2, 3))
    instrument = GROUPS.get(group) or random.choice((BTC, ETH))
    side: Side = random.choice(("buy", "sell"))
    quantity = random.choice((1, 3, 7, 1000, random.randint(1, 10**9)))
    price = random.randint(1, 10**7)
    enters = group and (side == "sell") == (group == 2)
    role: Role = "entry" if enters else "close" if group else "manual"
    wanted = intended(order, group, role, side, quantity, instrument)
    fee_asset = random.choice((instrument.quote, instrument.base, "BNB"))
    fee = random.randint(0, quantity // 2) if fee_asset == instrument.base else random.randint(-10, 10**6)
    story.tell(ACCOUNT, wanted, RiskPassed("main", order, instrument.id, Cash(0), Cash(0)))
    parts = (1, quantity - 1) if quantity > 1 and random.choice((True, False)) else (quantity,)
    left = quantity
    for part in parts:
        left -= part
        paid = fee * part // quantity
        story.tell(ACCOUNT, fill_of(wanted, price, part, left, paid, fee_asset, instrument))
