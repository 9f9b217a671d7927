"""Completed round trips of fills: first in, first out, in integer quanta that lose nothing."""

from collections import deque
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from domain.account.events import OrderFilled, PositionDeposited
from domain.values import Asset, Cash, Direction, InstrumentId, Quantity, Time
from projections.cost_basis import fee_in_third_asset, flow_of, share
from projections.positions import UNATTRIBUTED

DEPOSIT = 0
"""The opening order of what came in from outside."""


class RoundTrip(Struct, frozen=True):
    """What one order closed of what another had opened, all parts of both together; a short mirrors a long.

    Cash is unsigned and without fees. `profit` is net: what the cash gained, less the fees of both ends, a value in the
    quote asset.
    """

    account: str
    bot: str
    group: int
    instrument: InstrumentId
    side: Direction
    quantity: Quantity
    opened_at: Time
    closed_at: Time
    entry_cash: Cash
    exit_cash: Cash
    fees: Cash
    profit: Cash
    opening_order: int
    closing_order: int


class Lot(Struct):
    """What is left of one fill that opened: its quantity, cash and fees, none of them signed by the side."""

    quantity: int
    cash: int
    fees: int
    order: int
    at: int


class Book(Struct):
    """The open lots of one owner in one instrument, oldest first, all of one side."""

    account: str
    bot: str
    group: int
    instrument: InstrumentId
    quote: str
    long: bool = True
    lots: deque[Lot] = msgspec.field(default_factory=deque)


class Trades(Struct, frozen=True):
    """All round trips in the order in which they were first closed, what is still open, and the sums over all fills.

    `fees` and `turnover` are in the quote asset; fees in a third asset have no value here and stand in `other_fees`.
    """

    trips: list[RoundTrip]
    books: list[Book]
    fills: int = 0
    turnover: int = 0
    fees: int = 0
    other_fees: dict[Asset, int] = msgspec.field(default_factory=dict)


_Trips = dict[tuple[str, int, int], RoundTrip]
"""By account, opening and closing order: an order belongs to one owner and one instrument."""
_Held = dict[tuple[str, InstrumentId], Book]
"""What came in from outside, by account and instrument."""


def round_trips(fills: Iterable[OrderFilled], deposits: Iterable[PositionDeposited] = (), start: int = 0) -> Trades:
    """Fold fills, in the order of the log, into round trips for each account, bot, group and instrument.

    A closing fill takes the oldest lots first; what it closes beyond them opens the other side. Cash and fees of a part
    are cut towards zero, and the last part takes what is left, so that sums over trips and lots are those of the fills.
    Dust that was written off stays a lot of its group. `deposits` were held before, from `start` on, and belong to nobody:
    whoever sells more than it bought sells of them first, and is short only beyond them.
    """
    books: dict[tuple[str, str, int, str], Book] = {}
    trips: _Trips = {}
    other_fees: dict[Asset, int] = {}
    count = turnover = total_fees = 0
    for deposit in deposits:
        _deposit(books, deposit, start)
    held = {(book.account, book.instrument): book for book in books.values()}
    for fill in fills:
        key = (fill.account, fill.bot, fill.group, fill.instrument)
        book = books.get(key) or _book(books, *key)
        quantity: int = fill.received
        if quantity == fill.quantity and fill.fee_asset == book.quote:
            # What `flow_of` would say, without its cost: nearly every fill is such a one.
            cash: int = fill.cash
            fees: int = fill.fee
        else:
            flow = flow_of(fill)
            cash, fees = abs(flow.cost), flow.fee
            if fee_in_third_asset(fill):
                other_fees[fill.fee_asset] = other_fees.get(fill.fee_asset, 0) + fill.fee
        count += 1
        turnover += fill.cash
        total_fees += fees
        lots, long = book.lots, fill.side == "buy"
        if held and not long:
            sold = _beyond(book, held, trips, Lot(quantity, cash, fees, fill.order, fill.venue_at))
            if sold is None:
                continue
            quantity, cash, fees = sold.quantity, sold.cash, sold.fees
        if not lots:
            book.long = long
        if book.long == long or not quantity:
            lots.append(Lot(quantity, cash, fees, fill.order, fill.venue_at))
        else:
            _close(book, trips, Lot(quantity, cash, fees, fill.order, fill.venue_at))
    return Trades(list(trips.values()), list(books.values()), count, turnover, total_fees, other_fees)


def _book(books: dict[tuple[str, str, int, str], Book], account: str, bot: str, group: int, instrument: str) -> Book:
    quote = instrument.partition("/")[2]
    book = books[account, bot, group, instrument] = Book(account, bot, group, InstrumentId(instrument), quote)
    return book


def _deposit(books: dict[tuple[str, str, int, str], Book], deposit: PositionDeposited, start: int) -> None:
    key = (deposit.account, *UNATTRIBUTED, deposit.instrument)
    book = books.get(key) or _book(books, *key)
    book.lots.append(Lot(deposit.quantity, deposit.cost, 0, DEPOSIT, start))


def _beyond(book: Book, held: _Held, trips: _Trips, sold: Lot) -> Lot | None:
    """Sell of what nobody owns that which its seller has not bought; what is to be sold of the seller's own, or short."""
    common = held.get((book.account, book.instrument))
    if common is None or common is book or not common.lots:
        return sold
    own = sum(lot.quantity for lot in book.lots) if book.long else 0
    wanted = min(sold.quantity - own, sum(lot.quantity for lot in common.lots))
    if wanted <= 0:
        return sold
    part, rest = (sold, None) if wanted == sold.quantity else _cut(sold, wanted)
    seller = Book(book.account, book.bot, book.group, book.instrument, book.quote, long=True, lots=common.lots)
    _close(seller, trips, part)
    return rest


def _close(book: Book, trips: _Trips, fill: Lot) -> None:
    """Close the oldest lots with a fill; what is left of it then opens the other side."""
    lots = book.lots
    while lots:
        lot = lots[0]
        if lot.quantity <= fill.quantity:
            lots.popleft()
            part, rest = (fill, None) if lot.quantity == fill.quantity else _cut(fill, lot.quantity)
            _add(book, trips, lot, part)
            if rest is None:
                return
            fill = rest
        else:
            part, lots[0] = _cut(lot, fill.quantity)
            _add(book, trips, part, fill)
            return
    book.long = not book.long
    lots.append(fill)


def _cut(lot: Lot, quantity: int) -> tuple[Lot, Lot]:
    """Cut a smaller quantity off a lot with its share of cash and fees; return (part, rest)."""
    cash = lot.cash * quantity // lot.quantity
    fees = share(lot.fees, quantity, lot.quantity)
    part = Lot(quantity, cash, fees, lot.order, lot.at)
    return part, Lot(lot.quantity - quantity, lot.cash - cash, lot.fees - fees, lot.order, lot.at)


def _add(book: Book, trips: _Trips, opening: Lot, closing: Lot) -> None:
    """Add a part that was closed to the trip between its two orders."""
    key = (book.account, opening.order, closing.order)
    before = trips.get(key)
    quantity, opened_at = opening.quantity, opening.at
    entry, left = opening.cash, closing.cash
    fees = opening.fees + closing.fees
    if before is not None:
        quantity, opened_at = quantity + before.quantity, before.opened_at
        entry, left, fees = entry + before.entry_cash, left + before.exit_cash, fees + before.fees
    trips[key] = RoundTrip(
        book.account,
        book.bot,
        book.group,
        book.instrument,
        "long" if book.long else "short",
        Quantity(quantity),
        Time(opened_at),
        Time(closing.at),
        Cash(entry),
        Cash(left),
        Cash(fees),
        Cash((left - entry if book.long else entry - left) - fees),
        opening.order,
        closing.order,
    )
