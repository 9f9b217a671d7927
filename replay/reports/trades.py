"""Trades: a row for each fill, and for whatever else moves a position or its cost."""

from collections.abc import Iterator

from domain.account.events import OrderFilled, PositionDeposited
from domain.market import Instrument
from domain.message import Event
from domain.position_group.events import DustWrittenOff
from projections.cost_basis import Flow, Pool, change, flow_of, take
from projections.orders import OrderRow
from projections.positions import UNATTRIBUTED, Owner
from replay.reports.cells import Blank, Place, Row, columns
from replay.reports.known import DECISION, ORIGIN, PLACE, UNDECIDED, Known
from replay.reports.orders import cash_text, client_order_id, fill_cells, group_name, price_text, size_text

_NO_ORDER: Row = dict.fromkeys(("venue_order_id", *(column.name for column in DECISION)), Blank.NOT_APPLICABLE)
"""What a change of a position without an order has none of."""


class TradesReport:
    """A row for each fill of the log, each deposited holding and each write-off, with what it realized before fees.

    So `realized` and `fee_value` sum to the profit, and `position_change` to what is held.
    """

    columns = (
        *PLACE,
        *columns(
            (Blank.NOT_APPLICABLE, "venue_at kind trade_id account client_order_id"),
            (Blank.NOT_YET_KNOWN, "venue_order_id"),
        ),
        *DECISION,
        *columns(
            (Blank.NOT_APPLICABLE, "bot group leg role side price quantity notional price_currency liquidity"),
            (Blank.NOT_APPLICABLE, "fee fee_asset fee_value net_amount position_change position_after realized"),
        ),
        *ORIGIN,
        *columns((Blank.NOT_APPLICABLE, "correlation signal")),
    )

    def __init__(self, known: Known) -> None:
        self._known = known
        self._pools: dict[tuple[str, str, Owner], Pool] = {}

    def take(self, place: Place, event: Event) -> Iterator[Row]:
        if isinstance(event, OrderFilled):
            yield self._known.place(place) | self._filled(event)
        elif isinstance(event, PositionDeposited):
            yield self._known.place(place) | self._deposited(event)
        elif isinstance(event, DustWrittenOff):
            yield self._known.place(place) | self._written_off(event)

    def opening(self) -> Iterator[Row]:
        """`position_after` says what stood before."""
        return iter(())

    def _filled(self, fill: OrderFilled) -> Row:
        known = self._known
        listed = known.instruments.get((fill.account, fill.instrument))
        flow = flow_of(fill)
        owner = (fill.bot, fill.group) if fill.bot else UNATTRIBUTED
        realized = self._change((fill.account, fill.instrument, owner), flow)
        order = known.orders.get(OrderRow, fill.account, fill.order)
        decision = known.orders.decisions.get((fill.account, fill.order), UNDECIDED)
        return {
            **known.decision(fill.account, fill.order, fill.instrument),
            **fill_cells(known, fill, listed),
            **self._holding(fill.account, fill.instrument, flow.quantity, listed),
            "kind": "trade",
            "client_order_id": client_order_id(fill.account, fill.order),
            "venue_order_id": (order and order.venue_order) or Blank.NOT_YET_KNOWN,
            "bot": fill.bot,
            "group": fill.group or Blank.NOT_APPLICABLE,
            "leg": fill.leg if fill.role in {"entry", "target", "strategy"} else Blank.NOT_APPLICABLE,
            "role": fill.role,
            "side": fill.side,
            "price": price_text(listed, fill.price),
            "quantity": size_text(listed, fill.quantity),
            "notional": cash_text(listed, fill.cash),
            "fee_value": cash_text(listed, flow.fee),
            "realized": cash_text(listed, realized),
            "correlation": group_name(fill.bot, fill.group),
            "signal": decision.signal,
        }

    def _deposited(self, event: PositionDeposited) -> Row:
        """A holding from outside may cover a short that belongs to no group; that realizes."""
        listed = self._known.instruments.get((event.account, event.instrument))
        realized = self._change((event.account, event.instrument, UNATTRIBUTED), Flow(event.quantity, event.cost, 0))
        return {
            **_NO_ORDER,
            **self._holding(event.account, event.instrument, event.quantity, listed),
            "kind": "deposit",
            "symbol": event.instrument,
            "quantity": size_text(listed, event.quantity),
            "notional": cash_text(listed, event.cost),
            "realized": cash_text(listed, realized),
        }

    def _written_off(self, event: DustWrittenOff) -> Row:
        """Dust leaves its group for what belongs to none, at its cost: only where that is of the other sign it realizes."""
        listed = self._known.instruments.get((event.account, event.instrument))
        key = (event.account, event.instrument, (event.bot, event.group))
        rest, dust = take(self._pools.get(key, Pool()), event.quantity)
        self._keep(key, rest)
        realized = self._change((event.account, event.instrument, UNATTRIBUTED), Flow(dust.quantity, dust.cost, 0))
        return {
            **_NO_ORDER,
            **self._holding(event.account, event.instrument, 0, listed),
            "kind": "write_off",
            "symbol": event.instrument,
            "bot": event.bot,
            "group": event.group,
            "quantity": size_text(listed, event.quantity),
            "realized": cash_text(listed, realized),
            "correlation": group_name(event.bot, event.group),
        }

    def _holding(self, account: str, instrument: str, moved: int, listed: Instrument | None) -> Row:
        return {
            "account": account,
            "price_currency": Blank.NOT_LISTED if listed is None else listed.quote,
            "position_change": size_text(listed, moved),
            "position_after": size_text(listed, self._known.positions.get((account, instrument), 0)),
        }

    def _change(self, key: tuple[str, str, Owner], flow: Flow) -> int:
        after, realized = change(self._pools.get(key, Pool()), flow.quantity, flow.cost)
        self._keep(key, after)
        return realized

    def _keep(self, key: tuple[str, str, Owner], pool: Pool) -> None:
        """A pool of nothing has no cost either: there is nothing to remember."""
        if pool.quantity:
            self._pools[key] = pool
        else:
            self._pools.pop(key, None)
