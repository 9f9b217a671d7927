"""Who is closed and who pays: exact arithmetic over an account's live groups at the last prices.

For a long, in cash quanta of the quote asset: gain = (mark - average) x held, costs = margin/100 x mark x held. A short's
gain changes sign. A loser needs its loss and its costs; a winner pays its gain less its costs, in proportion to what is
closed of it. A group whose instrument has no price yet is neither.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

from msgspec import Struct

from domain.market import Instrument
from domain.portfolio_risk.events import Loser, Verdict, Winner
from domain.portfolio_risk.settings import OffsetSettings
from domain.portfolio_risk.state import GroupKey, Watched
from domain.position_group.state import GroupState
from domain.values import (
    LARGEST,
    MINUTE,
    POWERS,
    Cash,
    InstrumentId,
    Price,
    Quantity,
    Time,
    divide_half_even,
    floor_to,
    ratio,
)

WINNERS_MAX = 3
SHOWN = 20
"""Losers, and winners, in an event at most."""
_AVERAGE_PLACES = 8
"""Decimal places of an average that is shown, beyond the price's own."""
_PERCENT_PLACES = 4

Marks = Mapping[InstrumentId, Price]


class Valued(Struct, frozen=True):
    """A group at the last price; `basis` is what all it holds has cost. Cash quanta, exact."""

    group: GroupState
    mark: Price
    basis: Fraction
    gain: Fraction
    costs: Fraction

    @property
    def key(self) -> GroupKey:
        return self.group.bot, self.group.group

    @property
    def profit(self) -> Fraction:
        """What closing all of it brings after costs."""
        return self.gain - self.costs

    @property
    def loss_pct(self) -> Fraction:
        """Above 0 for a loss."""
        return -100 * self.gain / self.basis

    @property
    def loss(self) -> Fraction:
        """In units of the quote asset, so that losses in different assets can be put in an order at all."""
        return Fraction(-self.gain, POWERS[self.group.instrument.quote_scale])


def value(group: GroupState, mark: Price, settings: OffsetSettings) -> Valued:
    unit = cash_unit(group.instrument)
    worth, count = group.average
    basis = Fraction(worth * group.held, count) * unit
    now = mark * group.held * unit
    gain = now - basis if group.direction == "long" else basis - now
    numerator, denominator = ratio(settings.cost_margin_pct)
    return Valued(group, mark, basis, gain, now * numerator / (100 * denominator))


def fill_profit(group: GroupState, cash: int, received: int) -> Fraction:
    """What a closing fill brought over the group's average: `cash` moved, `received` is what the group holds less by it."""
    worth, count = group.average
    basis = Fraction(worth * received, count) * cash_unit(group.instrument)
    return cash - basis if group.direction == "long" else basis - cash


def idle(group: GroupState) -> bool:
    """Whether the group is on its way neither out nor to a smaller size."""
    return group.status == "open" and not group.closing and not group.reducing


def is_beyond(group: GroupState, mark: Price, settings: OffsetSettings) -> bool:
    """Whether its loss in percent is beyond the threshold; in integers, for it is asked of every group every time."""
    worth, count = group.average
    gain = mark * count - worth if group.direction == "long" else worth - mark * count
    numerator, denominator = ratio(settings.loss_threshold_pct)
    return group.held > 0 and 100 * gain * denominator < numerator * worth


def rank_losers(
    groups: Iterable[GroupState], watched: Mapping[GroupKey, Watched], marks: Marks, settings: OffsetSettings, at: Time
) -> list[tuple[Valued, Verdict]]:
    """All groups beyond the threshold; the qualified first, worst first: by percent, by amount, by age; the rest by age."""
    found: list[tuple[Valued, Verdict]] = []
    for group in groups:
        mark, known = marks.get(group.instrument.id), watched.get((group.bot, group.group))
        if mark is not None and known is not None and is_beyond(group, mark, settings):
            found.append((value(group, mark, settings), judge(group, known, settings, at)))
    qualified = [each for each in found if each[1] == "qualified"]  # of equals the first is the oldest
    qualified.sort(key=lambda each: (each[0].loss_pct, each[0].loss), reverse=True)
    return qualified + [each for each in found if each[1] != "qualified"]


def judge(group: GroupState, known: Watched, settings: OffsetSettings, at: Time) -> Verdict:
    """What a group beyond the threshold still lacks."""
    if known.blocked:
        return "blocked"
    if not idle(group):
        return "busy"
    if settings.require_full_pyramids and group.pyramids < known.max_pyramids:
        return "pyramids_missing"
    start = known.timer_from(settings)
    if start is None or at < start + settings.post_full_wait_minutes * MINUTE:
        return "waiting"
    least = settings.minimum_age_minutes
    if least is not None and at <= known.opened_at + least * MINUTE:
        return "too_young"
    return "qualified"


def rank_winners(
    groups: Iterable[GroupState], marks: Marks, settings: OffsetSettings, may_pay: Callable[[GroupState], bool]
) -> list[Valued]:
    """Groups that can pay, the one that can pay most first; of equals the oldest."""
    found: list[Valued] = []
    for group in groups:
        mark = marks.get(group.instrument.id)
        if mark is None or not idle(group) or not may_pay(group):
            continue
        valued = value(group, mark, settings)
        if valued.profit > 0 and least_tradable(valued) <= most_tradable(valued):
            found.append(valued)
    return sorted(found, key=can_pay, reverse=True)


def choose_parts(
    needed: Fraction, winners: Sequence[Valued], payers: frozenset[GroupKey] = frozenset()
) -> tuple[list[tuple[Valued, int]], Fraction]:
    """What to close of whom, best first, and what is then still needed: nothing, or there is not enough profit.

    Three may pay in all; `payers` are those of them who already have.
    """
    parts: list[tuple[Valued, int]] = []
    payers_left = WINNERS_MAX - len(payers)
    for winner in winners:
        if needed <= 0:
            break
        if winner.key not in payers:
            if not payers_left:
                continue
            payers_left -= 1
        quantity = smallest_paying(winner, needed)
        parts.append((winner, quantity))
        needed -= pays(winner, quantity)
    return parts, needed


def smallest_paying(winner: Valued, needed: Fraction) -> int:
    """The smallest tradable quantity on the step grid that pays what is needed; all of it where that is not enough."""
    step = winner.group.instrument.step
    enough = ceil(needed * winner.group.held / (winner.profit * step)) * step
    return min(max(enough, least_tradable(winner)), most_tradable(winner))


def pays(winner: Valued, quantity: int) -> Fraction:
    return winner.profit * quantity / winner.group.held


def can_pay(winner: Valued) -> Fraction:
    return pays(winner, most_tradable(winner))


def most_tradable(winner: Valued) -> int:
    return floor_to(winner.group.held, winner.group.instrument.step)


def least_tradable(winner: Valued) -> int:
    """The smallest quantity on the grid, at least a step, that is worth the minimum notional."""
    instrument = winner.group.instrument
    worth = Fraction(winner.mark * instrument.step) * cash_unit(instrument)
    return max(1, ceil(instrument.minimum_notional / worth)) * instrument.step


def shown_loser(valued: Valued, known: Watched, settings: OffsetSettings, verdict: Verdict) -> Loser:
    group = valued.group
    return Loser(
        group.bot, group.group, group.instrument.id, group.direction, Quantity(group.held), average_of(group),
        valued.mark, Decimal(-floor(valued.loss_pct * POWERS[_PERCENT_PLACES])).scaleb(-_PERCENT_PLACES),
        cash(ceil(-valued.gain)), cash(ceil(valued.costs)), group.pyramids, known.max_pyramids, known.opened_at,
        known.timer_from(settings), verdict,
    )  # fmt: skip


def shown_winner(valued: Valued, quantity: int = 0) -> Winner:
    group = valued.group
    return Winner(
        group.bot, group.group, group.instrument.id, group.direction, Quantity(group.held), average_of(group),
        valued.mark, cash(floor(valued.profit)), Quantity(quantity), cash(floor(pays(valued, quantity))),
    )  # fmt: skip


def average_of(group: GroupState) -> Decimal:
    """The average cost for a reader, in the quote asset."""
    worth, count = group.average
    return Decimal(divide_half_even(worth * POWERS[_AVERAGE_PLACES], count)).scaleb(
        -_AVERAGE_PLACES - group.instrument.price_scale
    )


def cash(amount: int) -> Cash:
    """An amount that can be written; it stops at 64 bits, far above what any balance has."""
    return Cash(max(-LARGEST, min(LARGEST, amount)))


def cash_unit(instrument: Instrument) -> Fraction:
    """Cash quanta of the quote asset in a price quantum times a size quantum."""
    return _unit(instrument.quote_scale, instrument.price_scale + instrument.size_scale)


@lru_cache(maxsize=1024)
def _unit(quote_scale: int, scale: int) -> Fraction:
    return Fraction(POWERS[quote_scale], POWERS[scale])
