"""Position groups and their legs: what was planned, what works, what is held, what it made.

Amounts come from the account's fills, which know their fees; the group's own events say what became of its plans.
"""

from typing import ClassVar, Literal

from msgspec import structs

from domain.account.events import OrderFilled, OrderIntended
from domain.bot.settings import TakeProfit, WhenFlat
from domain.position_group.events import (
    CloseFailed,
    DustWrittenOff,
    ExitStarted,
    GroupClosed,
    GroupOpened,
    GuardEnded,
    GuardFilled,
    GuardSet,
    Leg,
    LegEnded,
    LegFilled,
    PyramidAdded,
    TargetEnded,
    TargetFilled,
    TargetSet,
)
from domain.values import Direction
from projections import cost_basis
from projections.cost_basis import Pool
from projections.rows import Context, Projection, Row, Rows, need

GroupStatus = Literal["open", "exiting", "closed"]
LegStatus = Literal["planned", "working", "filled", "ended"]


class GroupRow(Row, frozen=True):
    """A group. `held` and `cost` count in its direction: above 0 for a long that is long and a short that is short.

    `realized` is before fees; fees are in the quote asset. `stop_price` and `target_price` are of the orders that work
    for all of it.
    """

    table: ClassVar[str] = "position_groups"
    key: ClassVar[tuple[str, ...]] = ("bot", "group")

    bot: str
    group: int
    account: str
    instrument: str
    direction: Direction
    entry: str
    legs: int
    when_flat: WhenFlat
    opened_at: int
    status: GroupStatus = "open"
    held: int = 0
    cost: int = 0
    realized: int = 0
    fees: int = 0
    closed_at: int | None = None
    reason: str | None = None
    pyramids: int = 1
    take_profit: TakeProfit = "per_leg"
    stop_price: int | None = None
    target_price: int | None = None


class LegRow(Row, frozen=True):
    """A leg: its plan, its entry's fills (`filled` for `cost` in cash), what is still held of them, its targets.

    A close takes from the legs in their order.
    """

    table: ClassVar[str] = "position_group_legs"
    key: ClassVar[tuple[str, ...]] = ("bot", "group", "leg")

    bot: str
    group: int
    leg: int
    type: Literal["market", "limit"]
    price: int
    quantity: int
    take_profit_pct: str | None
    status: LegStatus = "planned"
    filled: int = 0
    cost: int = 0
    held: int = 0
    target_price: int | None = None
    target_working: int = 0
    target_filled: int = 0
    reason: str | None = None


def _opened(rows: Rows, context: Context, event: GroupOpened) -> None:
    rows.put(
        GroupRow(
            bot=event.bot,
            group=event.group,
            account=event.account,
            instrument=event.instrument.id,
            direction=event.direction,
            entry=f"{event.entry:f}",
            legs=len(event.legs),
            when_flat=event.when_flat,
            opened_at=context.at,
            take_profit="per_leg" if event.ends is None else event.ends.take_profit,
        )
    )
    _planned(rows, event, event.legs)


def _pyramid_added(rows: Rows, context: Context, event: PyramidAdded) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    rows.put(structs.replace(group, legs=group.legs + len(event.legs), pyramids=event.pyramid))
    _planned(rows, event, event.legs)


def _planned(rows: Rows, event: GroupOpened | PyramidAdded, legs: tuple[Leg, ...]) -> None:
    for leg in legs:
        rows.put(
            LegRow(
                bot=event.bot,
                group=event.group,
                leg=leg.index,
                type=leg.type,
                price=leg.price,
                quantity=leg.quantity,
                take_profit_pct=None if leg.take_profit_pct is None else f"{leg.take_profit_pct:f}",
            )
        )


def _guard_set(rows: Rows, context: Context, event: GuardSet) -> None:
    _put_guard(rows, event, event.price)


def _guard_filled(rows: Rows, context: Context, event: GuardFilled) -> None:
    if not event.remaining:
        _put_guard(rows, event, None)


def _guard_ended(rows: Rows, context: Context, event: GuardEnded) -> None:
    _put_guard(rows, event, None)


def _put_guard(rows: Rows, event: GuardSet | GuardFilled | GuardEnded, price: int | None) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    stops = event.role == "stop"
    rows.put(structs.replace(group, stop_price=price) if stops else structs.replace(group, target_price=price))


def _intended(rows: Rows, context: Context, event: OrderIntended) -> None:
    if event.group and event.role == "entry":
        leg = need(rows, LegRow, event.bot, event.group, event.leg)
        rows.put(structs.replace(leg, status="working"))


def _filled(rows: Rows, context: Context, event: OrderFilled) -> None:
    if not event.group:
        return  # by hand, or a strategy's
    group = need(rows, GroupRow, event.bot, event.group)
    sign = _sign(group)
    flow = cost_basis.flow_of(event)
    pool, realized = cost_basis.change(Pool(sign * group.held, sign * group.cost), flow.quantity, flow.cost)
    rows.put(
        structs.replace(
            group,
            held=sign * pool.quantity,
            cost=sign * pool.cost,
            realized=group.realized + realized,
            fees=group.fees + flow.fee,
        )
    )
    if event.role == "entry":
        leg = need(rows, LegRow, event.bot, event.group, event.leg)
        leg = structs.replace(leg, filled=leg.filled + event.quantity, cost=leg.cost + event.cash)
        rows.put(structs.replace(leg, held=leg.held + event.received))
    elif event.role == "target":
        leg = need(rows, LegRow, event.bot, event.group, event.leg)
        rows.put(structs.replace(leg, held=leg.held - event.received))
    else:
        _take_from_legs(rows, group, -sign * flow.quantity)


def _leg_filled(rows: Rows, context: Context, event: LegFilled) -> None:
    if not event.remaining:
        leg = need(rows, LegRow, event.bot, event.group, event.leg)
        rows.put(structs.replace(leg, status="filled"))


def _leg_ended(rows: Rows, context: Context, event: LegEnded) -> None:
    leg = need(rows, LegRow, event.bot, event.group, event.leg)
    rows.put(structs.replace(leg, status="ended", reason=event.reason))


def _target_set(rows: Rows, context: Context, event: TargetSet) -> None:
    leg = need(rows, LegRow, event.bot, event.group, event.leg)
    rows.put(structs.replace(leg, target_price=event.price, target_working=leg.target_working + event.quantity))


def _target_filled(rows: Rows, context: Context, event: TargetFilled) -> None:
    leg = need(rows, LegRow, event.bot, event.group, event.leg)
    rows.put(
        structs.replace(
            leg,
            target_working=max(0, leg.target_working - event.quantity),
            target_filled=leg.target_filled + event.quantity,
        )
    )


def _target_ended(rows: Rows, context: Context, event: TargetEnded) -> None:
    leg = need(rows, LegRow, event.bot, event.group, event.leg)
    working = max(0, leg.target_working - event.remaining)
    rows.put(structs.replace(leg, target_working=working, reason=event.reason))


def _exit_started(rows: Rows, context: Context, event: ExitStarted) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    rows.put(structs.replace(group, status="exiting"))


def _close_failed(rows: Rows, context: Context, event: CloseFailed) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    rows.put(structs.replace(group, status="open", reason=event.reason))


def _dust_written_off(rows: Rows, context: Context, event: DustWrittenOff) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    rest, dust = cost_basis.take(Pool(group.held, group.cost), event.quantity)
    rows.put(structs.replace(group, held=rest.quantity, cost=rest.cost))
    _take_from_legs(rows, group, dust.quantity)


def _closed(rows: Rows, context: Context, event: GroupClosed) -> None:
    group = need(rows, GroupRow, event.bot, event.group)
    rows.put(structs.replace(group, status="closed", closed_at=context.at, reason=event.reason))


def _sign(group: GroupRow) -> int:
    return 1 if group.direction == "long" else -1


def _take_from_legs(rows: Rows, group: GroupRow, quantity: int) -> None:
    for index in range(group.legs):
        if quantity <= 0:
            return
        leg = need(rows, LegRow, group.bot, group.group, index)
        taken = min(quantity, max(0, leg.held))
        if taken:
            rows.put(structs.replace(leg, held=leg.held - taken))
            quantity -= taken


POSITION_GROUPS = Projection(
    name="position_groups",
    schema_version=2,
    tables=(GroupRow, LegRow),
    folds={
        GroupOpened: _opened,
        PyramidAdded: _pyramid_added,
        GuardSet: _guard_set,
        GuardFilled: _guard_filled,
        GuardEnded: _guard_ended,
        OrderIntended: _intended,
        OrderFilled: _filled,
        LegFilled: _leg_filled,
        LegEnded: _leg_ended,
        TargetSet: _target_set,
        TargetFilled: _target_filled,
        TargetEnded: _target_ended,
        ExitStarted: _exit_started,
        CloseFailed: _close_failed,
        DustWrittenOff: _dust_written_off,
        GroupClosed: _closed,
    },
)
