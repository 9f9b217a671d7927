"""When rounds of the offset would say what has been said already: nobody can have crossed the threshold or be done waiting.

An evaluation is a function of the offset's state, the groups, the prices and the time. The first two wake it themselves.
"""

from collections.abc import Iterator
from itertools import chain

from domain.decider import Now, Quiet
from domain.portfolio_risk.choosing import Valued, rank_losers
from domain.portfolio_risk.events import Verdict
from domain.portfolio_risk.offsetting import evaluate
from domain.portfolio_risk.settings import OffsetSettings
from domain.portfolio_risk.state import RiskState
from domain.position_group.state import GroupState
from domain.values import LARGEST, MINUTE, InstrumentId, Price, Time, ratio

Bounds = tuple[int, int]
_ANY = (LARGEST, -LARGEST)
"""Whatever price comes is news."""


def quiet(state: RiskState, now: Now) -> Quiet | None:
    """Where a loser qualifies, every price can change what winners pay; else only the threshold and the wait count."""
    if state.plan is not None or evaluate(state, now, by_hand=False):
        return None
    groups = [group for group in now.groups(state.account) if (group.bot, group.group) in state.watched]
    losers = rank_losers(groups, state.watched, now.marks, state.settings, now.at)
    qualified = bool(losers) and losers[0][1] == "qualified"
    inside: dict[InstrumentId, Bounds] = {}
    for group in groups:
        instrument = group.instrument.id
        mark = now.marks.get(instrument)
        bounds = (mark, mark) if qualified and mark is not None else _threshold(group, mark, state.settings)
        if bounds is not None:
            known = inside.get(instrument, bounds)
            inside[instrument] = max(known[0], bounds[0]), min(known[1], bounds[1])
    return Quiet(min(chain.from_iterable(_ends(state, *loser) for loser in losers), default=None), inside)


def _threshold(group: GroupState, mark: Price | None, settings: OffsetSettings) -> Bounds | None:
    """The prices at which the group is beyond the threshold, or no longer; None where it holds nothing to lose.

    For a long: mark < average x (1 + threshold/100); a short mirrors it.
    """
    if group.held <= 0:
        return None
    if mark is None:
        return _ANY
    worth, count = group.average
    numerator, denominator = ratio(settings.loss_threshold_pct)
    whole = 100 * denominator
    if group.direction == "long":
        edge = -(worth * (whole + numerator) // -(whole * count))
        return (-LARGEST, edge) if mark < edge else (edge - 1, LARGEST)
    edge = worth * (whole - numerator) // (whole * count)
    return (edge, LARGEST) if mark > edge else (-LARGEST, edge + 1)


def _ends(state: RiskState, loser: Valued, verdict: Verdict) -> Iterator[Time]:
    """When the verdict changes by time alone."""
    known, settings = state.watched[loser.key], state.settings
    if verdict == "waiting":
        start = known.timer_from(settings)
        if start is not None:
            yield Time(start + settings.post_full_wait_minutes * MINUTE)
    elif verdict == "too_young":
        assert settings.minimum_age_minutes is not None, "it is what makes a group too young"
        yield Time(known.opened_at + settings.minimum_age_minutes * MINUTE + 1)
