"""Who gets the next slot: put first by hand, else continuation, deepest discount, most replacements, oldest."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from domain.execution_pool.events import Candidate
from domain.execution_pool.state import PoolState, Waiting
from domain.values import Direction, InstrumentId, Price


def rank(state: PoolState, marks: Mapping[InstrumentId, Price]) -> list[Candidate]:
    """All that wait, best first, with what they are ranked by; no two of them are equal."""
    candidates = (_candidate(state, signal, marks.get(signal.instrument)) for signal in state.waiting.values())
    return sorted(candidates, key=_order)


def discount(direction: Direction, price: Decimal, mark: Decimal) -> Fraction:
    """How far the market is better than the signal's price, as a share of that: below it for a long, above for a short.

    Exact, so that no rounding decides between two signals.
    """
    ratio = Fraction(mark) / Fraction(price)
    return 1 - ratio if direction == "long" else ratio - 1


def continues(state: PoolState, signal: Waiting) -> bool:
    """Whether it goes on with what is live: as a pyramid, or on the side that its instrument and timeframe are on."""
    return any(
        (slot.instrument, slot.timeframe, slot.direction) == (signal.instrument, signal.timeframe, signal.direction)
        or (signal.group > 0 and (bot, slot.group) == (signal.bot, signal.group))
        for (bot, _, _), slot in state.slots.items()
    )


def _order(candidate: Candidate) -> tuple[int, bool, bool, Fraction, int, int]:
    """A market that is not known gives no discount: such a signal comes behind those whose discount is known."""
    known = candidate.mark is not None
    depth = discount(candidate.direction, candidate.price, candidate.mark) if candidate.mark is not None else Fraction()
    return (
        -candidate.preferred, not candidate.continues, not known, -depth, -candidate.replacements, candidate.place
    )  # fmt: skip


def _candidate(state: PoolState, signal: Waiting, mark: Price | None) -> Candidate:
    return Candidate(
        signal.bot, signal.source, signal.number, signal.instrument, signal.timeframe, signal.direction,
        signal.preferred, continues(state, signal), signal.price,
        None if mark is None else Decimal(mark).scaleb(-signal.price_scale), signal.replacements, signal.place,
    )  # fmt: skip
