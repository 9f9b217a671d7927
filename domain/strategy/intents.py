"""What a strategy wants: orders placed, orders cancelled, its position closed."""

from msgspec import Struct

from domain.account.events import OrderType
from domain.values import Price, Quantity, Side


class Place(Struct, frozen=True, array_like=True, tag=1, tag_field="intent", gc=False):
    """Place an order. `leg` is the strategy's own number for it, which its fills name again."""

    side: Side
    type: OrderType
    quantity: Quantity
    limit: Price | None = None
    stop: Price | None = None
    reduce_only: bool = False
    leg: int = 0


class Cancel(Struct, frozen=True, array_like=True, tag=2, tag_field="intent", gc=False):
    """Cancel what works: of these legs only, where they are named."""

    legs: tuple[int, ...] | None = None


class Close(Struct, frozen=True, array_like=True, tag=3, tag_field="intent", gc=False):
    """Cancel all that works; once that is gone, close the position at market. Until then nothing else is decided."""


Intent = Place | Cancel | Close
CLOSE = Close()
