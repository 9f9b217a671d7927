"""Fills: one row for each trade of an order."""

from typing import ClassVar

from domain.account.events import Liquidity, OrderFilled, Role
from domain.values import Side
from projections.cost_basis import flow_of
from projections.rows import Context, Projection, Row, Rows


class FillRow(Row, frozen=True):
    """A fill under its event's id; `fee` in quanta of its asset, `fee_value` in the quote asset."""

    table: ClassVar[str] = "fills"
    key: ClassVar[tuple[str, ...]] = ("stream", "version")

    stream: int
    version: int
    at: int
    account: str
    order: int
    bot: str
    group: int
    leg: int
    role: Role
    instrument: str
    side: Side
    price: int
    quantity: int
    cash: int
    received: int
    fee: int
    fee_asset: str
    fee_value: int
    liquidity: Liquidity
    trade: str
    venue_at: int
    remaining: int


def _filled(rows: Rows, context: Context, event: OrderFilled) -> None:
    rows.put(
        FillRow(
            stream=context.stream,
            version=context.version,
            at=context.at,
            account=event.account,
            order=event.order,
            bot=event.bot,
            group=event.group,
            leg=event.leg,
            role=event.role,
            instrument=event.instrument,
            side=event.side,
            price=event.price,
            quantity=event.quantity,
            cash=event.cash,
            received=event.received,
            fee=event.fee,
            fee_asset=event.fee_asset,
            fee_value=flow_of(event).fee,
            liquidity=event.liquidity,
            trade=event.trade,
            venue_at=event.venue_at,
            remaining=event.remaining,
        )
    )


FILLS = Projection(name="fills", schema_version=1, tables=(FillRow,), folds={OrderFilled: _filled})
