"""How a group ends beside its legs' targets: the stop, the aggregate target, the time limit, what is left behind.

For a long, over the average cost of what is held, without fees: aggregate target = ceil_tick(average x (1 + tp/100)), stop =
the highest of ceil_tick(average x (1 - sl/100)), ceil_tick(average) once a target has been met (break even) and
ceil_tick(best close x (1 - trail/100)). A short mirrors. All of it moves at the end of an instant, for the next one.
"""

from decimal import Decimal
from typing import Literal

from msgspec import structs

from domain.bot.settings import GroupSettings
from domain.decider import Now
from domain.message import Event
from domain.position_group import events as e
from domain.position_group.commands import ExpireGroup, ExpireLegs, LookAtPrice, ReviewGuards
from domain.position_group.plan import target_price
from domain.position_group.state import GroupState, Guard
from domain.values import MINUTE, Price, Quantity, Side, floor_to
from domain.wakes import NOWHERE, Watch

Events = tuple[Event, ...]
_ZERO = Decimal(0)


def ends_of(settings: GroupSettings) -> e.Ends | None:
    """What a group's opening says of its ends; None for targets per leg and nothing else."""
    ends = e.Ends(
        settings.take_profit,
        settings.aggregate_take_profit_pct,
        settings.stop_loss_pct,
        settings.trailing_stop_pct,
        settings.break_even_after_first_target,
        _microseconds(settings.time_limit_minutes),
        _microseconds(settings.leg_expiry_minutes),
        settings.cancel_beyond_pct,
    )
    return None if ends == _NOTHING else ends


def guarded(state: GroupState) -> bool:
    """Whether a change of what is held may move a stop or an aggregate target."""
    ends = state.ends
    return ends is not None and (
        ends.take_profit == "aggregate"
        or ends.stop_loss_pct is not None
        or ends.trailing_stop_pct is not None
        or ends.break_even_after_first_target
    )


def due(state: GroupState) -> Events:
    """Ask for a look at the guards once the instant is recorded."""
    return (e.ReviewDue(state.bot, state.group),) if state.status == "open" and guarded(state) else ()


def review_guards(state: GroupState, _command: ReviewGuards, now: Now) -> Events:
    """Set what should work and does not; withdraw what works and should not, or not so.

    The close of the candle that bought counts for the trailing stop.
    """
    if state.status != "open" or state.closing or state.reducing:
        return ()
    happened: list[Event] = []
    close = now.marks.get(state.instrument.id)
    if state.ends is not None and state.ends.trailing_stop_pct is not None and close is not None and state.held:
        happened += _moved(state, close)
    if happened:
        state = structs.replace(state, best=close)
    if state.ends is not None and state.ends.take_profit == "aggregate" and _empty_with_entries(state):
        happened.append(e.EntriesAbandoned(state.bot, state.group, state.account))
    return (
        *happened,
        *_bring("aggregate", state, state.aggregate, _aggregate(state)),
        *_bring("stop", state, state.stop, _stop(state)),
    )


def look_at_price(state: GroupState, command: LookAtPrice) -> Events:
    """The market has been where the group waited for it, by the levels that were in force when the candle began."""
    if not _may_exit(state):
        return ()
    watch, long = command.watch, state.direction == "long"
    far = command.high if long else command.low
    if watch.target and state.held and (far >= watch.target if long else far <= watch.target):
        return _exit(state, command.close, "aggregate target")
    happened: Events = ()
    moved = _moved(state, command.close) if watch.best and state.held else ()
    if moved:
        happened = (*moved, *due(state))
    if watch.away and (far >= watch.away if long else far <= watch.away):
        happened += _give_up(state, tuple(leg.plan.index for leg in state.legs), "price ran away")
    return happened


def expire_legs(state: GroupState, command: ExpireLegs) -> Events:
    return _give_up(state, command.legs, "expired")


def expire_group(state: GroupState, _command: ExpireGroup) -> Events:
    """It comes once, so it must not be lost on a part that is just being closed."""
    return _exit(state, Price(state.reference), "time limit") if _may_exit(state) else ()


def watch_of(state: GroupState) -> Watch | None:
    """The prices that the group waits for: its hybrid target, a better close to trail, entries left behind."""
    ends = state.ends
    if ends is None or state.status != "open":
        return None
    sign = 1 if state.direction == "long" else -1
    target = best = away = 0
    if ends.take_profit == "hybrid" and state.held:
        target = _price(state, ends.aggregate_take_profit_pct, 1)
    if ends.trailing_stop_pct is not None and state.held:
        best = state.best + sign
    if ends.cancel_beyond_pct is not None and state.entries_work:
        first = state.legs[0].plan.price
        away = target_price(state.instrument, state.direction, first, 1, ends.cancel_beyond_pct)
    levels = [level for level in (target, best, away) if level > 0]
    if not levels:
        return None
    below, above = (NOWHERE[0], min(levels)) if sign > 0 else (max(levels), NOWHERE[1])
    return Watch(state.instrument.id, below, above, target, best, away)


def _moved(state: GroupState, close: Price) -> Events:
    """A close better than the best so far."""
    better = close > state.best if state.direction == "long" else close < state.best
    return (e.BestMoved(state.bot, state.group, state.instrument.id, close),) if better else ()


def closing_side(state: GroupState) -> Side:
    return "sell" if state.direction == "long" else "buy"


def _aggregate(state: GroupState) -> tuple[int, str] | None:
    ends = state.ends
    if ends is None or ends.take_profit != "aggregate":
        return None
    return _price(state, ends.aggregate_take_profit_pct, 1), "aggregate target"


def _stop(state: GroupState) -> tuple[int, str] | None:
    """The stop nearest to the market, and which of them it is."""
    ends = state.ends
    if ends is None:
        return None
    levels: list[tuple[int, str]] = []
    if ends.stop_loss_pct is not None:
        levels.append((_price(state, ends.stop_loss_pct, -1), "stop loss"))
    if ends.break_even_after_first_target and state.target_met:
        levels.append((_price(state, _ZERO, 1), "break even"))
    if ends.trailing_stop_pct is not None:
        best = target_price(state.instrument, state.direction, state.best, 1, -ends.trailing_stop_pct)
        levels.append((best, "trailing"))
    if not levels:
        return None
    nearest = max if state.direction == "long" else min
    return nearest(levels, key=lambda level: level[0])


def _price(state: GroupState, percent: Decimal | None, sign: int) -> Price:
    """A price `sign` x percent from the average, in the group's favour where above 0."""
    assert percent is not None, "the settings were checked"
    worth, count = state.average
    return target_price(state.instrument, state.direction, worth, count, sign * percent)


def _bring(role: e.GuardRole, state: GroupState, works: Guard | None, wanted: tuple[int, str] | None) -> Events:
    """What makes the guard that works the one that is wanted."""
    quantity = floor_to(state.held, state.instrument.step)
    if not quantity:
        wanted = None
    if works is None:
        if wanted is None:
            return ()
        price, reason = wanted
        return (
            e.GuardSet(
                state.bot, state.group, state.account, role, state.instrument.id, closing_side(state), Price(price),
                Quantity(quantity), reason,
            ),
        )  # fmt: skip
    # A stop from which targets have taken is worth less than it says, also where entries have made up for it.
    as_wanted = wanted is not None and (works.price, works.quantity, works.taken) == (wanted[0], quantity, 0)
    if works.going or as_wanted:
        return ()
    return (e.GuardWithdrawn(state.bot, state.group, state.account, role),)


def _give_up(state: GroupState, legs: tuple[int, ...], reason: Literal["expired", "price ran away"]) -> Events:
    working = tuple(index for index in legs if state.legs[index].working)
    if not working or state.status != "open" or state.abandoned:
        return ()
    return (e.LegsExpired(state.bot, state.group, state.account, working, reason),)


def _may_exit(state: GroupState) -> bool:
    """Whether the group goes on: a close that works is that of a part."""
    return state.status == "open" and (not state.closing or state.reducing > 0)


def _exit(state: GroupState, reference: Price, reason: e.ExitReason) -> Events:
    return (e.ExitStarted(state.bot, state.group, state.account, state.instrument.id, reference, reason),)


def _empty_with_entries(state: GroupState) -> bool:
    return state.entered and not state.held and state.entries_work and not state.abandoned


def _microseconds(minutes: int | None) -> int | None:
    return None if minutes is None else minutes * MINUTE


_NOTHING = e.Ends("per_leg", None, None, None, False, None, None, None)  # noqa: FBT003
