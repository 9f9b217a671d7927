"""What an intended order is worth, and what a rule says of it."""

from collections.abc import Callable

from msgspec import Struct

from domain.account.events import OrderIntended
from domain.account.state import AccountState, Listing
from domain.decider import Now
from domain.values import Cash, divide_half_even, ratio


class Worth(Struct, frozen=True, gc=False):
    """An order as the rules see it: its listing, its notional at the price it is judged at, and what it holds back.

    `closes` says that it can only make the position smaller. Amounts are cash quanta of the quote asset.
    """

    listing: Listing
    notional: Cash
    held_back: Cash
    closes: bool
    now: Now


Denial = tuple[str, str]
"""(code, the numbers)"""
Rule = Callable[[AccountState, Worth, OrderIntended], Denial | None]


def price_at_risk(order: OrderIntended) -> int:
    """The price an order is judged at, in price quanta: its limit, else its stop, else the reference."""
    if order.limit is not None:
        return order.limit
    return order.stop if order.stop is not None else order.reference


def worth_of(state: AccountState, listing: Listing, order: OrderIntended, now: Now) -> Worth:
    """What opens exposure holds back its notional and fee, what closes it nothing.

    A resting limit pays the maker's fee, anything else the taker's; a fee in the base asset holds back no cash.
    """
    limit, side = order.limit, order.side
    notional = listing.notional(price_at_risk(order) if limit is None else limit, order.quantity)
    if state.closes(side, reduce_only=order.reduce_only):
        return Worth(listing, notional, Cash(0), True, now)  # noqa: FBT003  (by position: an order costs a third less)
    if side == "buy" and listing.instrument.fee_asset == "base":
        return Worth(listing, notional, notional, False, now)  # noqa: FBT003
    numerator, denominator = ratio(listing.maker_fee if order.type == "limit" else listing.taker_fee)
    held_back = Cash(notional + divide_half_even(notional * numerator, denominator))
    return Worth(listing, notional, held_back, False, now)  # noqa: FBT003
