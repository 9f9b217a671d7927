"""What happens to a position group, in words."""

from collections.abc import Iterator, Mapping, Sequence

from domain.message import Event
from domain.position_group import events as e
from replay.sentences.account import why
from replay.sentences.units import Sentence, Units, number, percent, side_of, span

_GUARDS: Mapping[e.GuardRole, str] = {"aggregate": "the target of the whole group", "stop": "the stop"}


def _opened(event: e.GroupOpened, units: Units) -> str:
    legs = _legs(event.instrument.id, event.legs, units)
    side = side_of(event.direction)
    ends = "".join(f", {each}" for each in _ends(event.ends)) if event.ends is not None else ""
    return f"group {event.bot}/{event.group} opens {event.direction} from {number(event.entry)}{ends}: {side} {legs}"


def _pyramid_added(event: e.PyramidAdded, units: Units) -> str:
    legs = _legs(event.instrument, event.legs, units)
    side = side_of(event.direction)
    return f"pyramid {event.pyramid} of group {event.bot}/{event.group} from {number(event.entry)}: {side} {legs}"


def _legs(instrument: str, legs: Sequence[e.Leg], units: Units) -> str:
    return "; ".join(_leg(instrument, leg, units) for leg in legs)


def _leg(instrument: str, leg: e.Leg, units: Units) -> str:
    price, size = units.price(instrument, leg.price), units.size(instrument, leg.quantity)
    where = f"at market, now about {price}" if leg.type == "market" else f"at {price}"
    target = "" if leg.take_profit_pct is None else f", target {percent(leg.take_profit_pct)}"
    return f"leg {leg.index} {size} {where}{target}"


def _ends(ends: e.Ends) -> Iterator[str]:
    for name, value in (
        ("target of the whole", ends.aggregate_take_profit_pct),
        ("stop", ends.stop_loss_pct),
        ("trailing stop", ends.trailing_stop_pct),
        ("entries go when the price is past by", ends.cancel_beyond_pct),
    ):
        if value is not None:
            yield f"{name} {percent(value)}"
    if ends.break_even_after_first_target:
        yield "break-even after the first target"
    if ends.time_limit_us is not None:
        yield f"for {span(ends.time_limit_us)} at most"
    if ends.leg_expiry_us is not None:
        yield f"entries for {span(ends.leg_expiry_us)}"


def _pyramid_refused(event: e.PyramidRefused, units: Units) -> str:
    return f"group {event.bot}/{event.group} takes no further entry, {event.code}: {event.reason}"


def _leg_filled(event: e.LegFilled, units: Units) -> str:
    size, price = units.size(event.instrument, event.received), units.price(event.instrument, event.price)
    left = f"; {units.size(event.instrument, event.remaining)} still to fill" if event.remaining else ""
    return f"leg {event.leg} holds {size} from {price}{left}"


def _leg_ended(event: e.LegEnded, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"the entry of leg {event.leg} ends with {left} not filled: {why(event.reason)}"


def _target_set(event: e.TargetSet, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    return f"leg {event.leg} takes its profit: {event.side} {size} at {price}"


def _target_filled(event: e.TargetFilled, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    return f"leg {event.leg} took its profit: {size} at {price}; {_held(event.instrument, event.held, units)}"


def _held(instrument: str, held: int, units: Units) -> str:
    return f"the group holds {units.size(instrument, held)}" if held else "the group holds nothing"


def _target_ended(event: e.TargetEnded, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"the target of leg {event.leg} ends with {left} not sold: {why(event.reason)}"


def _legs_expired(event: e.LegsExpired, units: Units) -> str:
    legs = ", ".join(map(str, event.legs))
    return f"the entries of legs {legs} are given up: {why(event.reason)}"


def _reduction_started(event: e.ReductionStarted, units: Units) -> str:
    size = units.size(event.instrument, event.quantity)
    reason = "it pays for an offset" if event.reason == "offset" else why(event.reason)
    return f"{size} of group {event.bot}/{event.group} is to be closed at market: {reason}"


def _reduction_dropped(event: e.ReductionDropped, units: Units) -> str:
    return f"the part that was to be closed is not held any more: {event.reason}"


def _review_due(event: e.ReviewDue, units: Units) -> str:
    return "what is held has changed: the stop and the target of the whole are looked at again"


def _guard_set(event: e.GuardSet, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    return f"{_GUARDS[event.role]} is set, {event.reason}: {event.side} {size} at {price}"


def _guard_withdrawn(event: e.GuardWithdrawn, units: Units) -> str:
    return f"{_GUARDS[event.role]} no longer fits and goes"


def _guard_filled(event: e.GuardFilled, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    return f"{_GUARDS[event.role]} closed {size} at {price}; {_held(event.instrument, event.held, units)}"


def _guard_ended(event: e.GuardEnded, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"{_GUARDS[event.role]} ends with {left} not closed: {why(event.reason)}"


def _best_moved(event: e.BestMoved, units: Units) -> str:
    return f"the best close so far is {units.price(event.instrument, event.best)}: the trailing stop hangs from it"


def _entries_abandoned(event: e.EntriesAbandoned, units: Units) -> str:
    return f"group {event.bot}/{event.group} holds nothing: the entries that rest go"


def _exit_started(event: e.ExitStarted, units: Units) -> str:
    price = units.price(event.instrument, event.reference)
    because = "" if event.reason == "exit" else f", {why(event.reason)}"
    return f"group {event.bot}/{event.group} is to close{because}; the price is about {price}"


def _close_decided(event: e.CloseDecided, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.reference)
    return f"nothing works any more, the rest is closed: {event.side} {size} at market, now about {price}"


def _close_filled(event: e.CloseFilled, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    left = f"; {units.size(event.instrument, event.remaining)} to go" if event.remaining else ""
    return f"the group closed {size} at {price}{left}"


def _close_failed(event: e.CloseFailed, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"the close ends with {left} still held: {why(event.reason)}; the group waits for the next exit"


def _dust(event: e.DustWrittenOff, units: Units) -> str:
    return f"{units.size(event.instrument, event.quantity)} is too little to trade and is nobody's now: {event.reason}"


def _closed(event: e.GroupClosed, units: Units) -> str:
    return f"group {event.bot}/{event.group} is over: {event.reason}"


SENTENCES: Mapping[type[Event], Sentence] = {
    e.GroupOpened: _opened,
    e.PyramidAdded: _pyramid_added,
    e.PyramidRefused: _pyramid_refused,
    e.LegFilled: _leg_filled,
    e.LegEnded: _leg_ended,
    e.TargetSet: _target_set,
    e.TargetFilled: _target_filled,
    e.TargetEnded: _target_ended,
    e.LegsExpired: _legs_expired,
    e.ReductionStarted: _reduction_started,
    e.ReductionDropped: _reduction_dropped,
    e.ReviewDue: _review_due,
    e.GuardSet: _guard_set,
    e.GuardWithdrawn: _guard_withdrawn,
    e.GuardFilled: _guard_filled,
    e.GuardEnded: _guard_ended,
    e.BestMoved: _best_moved,
    e.EntriesAbandoned: _entries_abandoned,
    e.ExitStarted: _exit_started,
    e.CloseDecided: _close_decided,
    e.CloseFilled: _close_filled,
    e.CloseFailed: _close_failed,
    e.DustWrittenOff: _dust,
    e.GroupClosed: _closed,
}
