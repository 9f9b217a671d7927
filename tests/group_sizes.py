"""How much a pyramid may cost, told a second time from its specification alone: the groups' oracle buys for it.

Where the specification leaves a choice, this was chosen:

- The equity is cash and position at the last close. A percent of it, and the capital of a risk, floor to 10^-8.
- A risk's stop is the fixed one: as far from each leg's planned price as its percent says.
"""

from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.group_book import Book
from tests.oracle import floor

FLIPS = tuple(
    """
    equity_is_cash equity_at_the_entry equity_of_the_opening equity_of_the_beginning
    risk_is_capital risk_for_all_pyramids risk_to_the_trailing_stop
    """.split()
)
"""Rules told wrong on purpose, one at a time."""
DEFAULTS = {
    "entry": "market",
    "max_pyramids": 1,
    "when_flat": "keep",
    "take_profit": "per_leg",
    "break_even_after_first_target": False,
    "reverse": False,
    **dict.fromkeys(("aggregate_take_profit_pct", "stop_loss_pct", "trailing_stop_pct", "cancel_beyond_pct")),
    **dict.fromkeys(("time_limit_minutes", "leg_expiry_minutes")),
    **dict.fromkeys(("capital", "capital_pct_of_equity", "risk_pct_of_equity", "risk_amount")),
}
"""What settings say that say nothing."""
CASH = Decimal("0.00000001")


def equity_of(
    book: Book, last_close: Fraction | None, entry: Fraction, opening: Fraction | None, flip: str
) -> Fraction:
    """What the account is worth when a pyramid is taken at `entry`; `opening` is what it was when its group opened."""
    if flip == "equity_of_the_beginning":
        return Fraction(book.terms.balance)
    if flip == "equity_of_the_opening" and opening is not None:
        return opening
    mark = entry if flip == "equity_at_the_entry" else last_close
    if flip == "equity_is_cash" or not book.position:
        return book.cash
    assert mark is not None, "what is held was bought in a candle"
    return book.cash + book.position * mark


def capital_of(settings: dict[str, Any], equity: Fraction, flip: str) -> Fraction:
    """What all legs of a pyramid may cost together."""
    if settings["capital"] is not None:
        return Fraction(settings["capital"])
    if settings["capital_pct_of_equity"] is not None:
        return floor(equity * Fraction(settings["capital_pct_of_equity"]) / 100, CASH)
    if settings["risk_amount"] is not None:
        risk = Fraction(settings["risk_amount"])
    else:
        risk = floor(equity * Fraction(settings["risk_pct_of_equity"]) / 100, CASH)
    if flip == "risk_is_capital":
        return risk
    if flip == "risk_for_all_pyramids":
        risk /= settings["max_pyramids"]
    stop = settings["stop_loss_pct"]
    if flip == "risk_to_the_trailing_stop":
        stop = settings["trailing_stop_pct"] or stop
    return floor(risk * 100 / Fraction(stop), CASH)
