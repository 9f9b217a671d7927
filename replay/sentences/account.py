"""What happens to an account and its orders, in words."""

from collections.abc import Iterator, Mapping

import msgspec

from domain.account import events as e
from domain.account.limits import NO_LIMITS
from domain.message import Event
from replay.sentences.units import Sentence, Units, moment, money, plural, rate, reference

_DONE = {"buy": "bought", "sell": "sold"}
_REASONS = {
    "canceled": "as asked",
    "flat": "nothing is held any more",
    "exit": "the group exits",
    "stop": "the stop has been met",
    "aggregate target": "the group's target has been met",
    "time limit": "the group's time is over",
    "offset": "its loss is paid for by an offset",
    "bracket": "another order of its bracket was met",
    "replaced": "another takes its place",
    "reduction": "a part of what is held is closed first",
    "expired": "it is too old",
    "price ran away": "the price has run away from it",
    "strategy": "its strategy wants it so",
}
"""Why our own side cancels, by what the log calls it."""


def why(reason: str) -> str:
    """A reason in words, where it is one of ours; as it stands, where it is the venue's or a person's."""
    return _REASONS.get(reason, reason)


def _opened(event: e.AccountOpened, units: Units) -> str:
    return f"account {event.account} opened, {event.kind}, its orders {event.mode}"


def _listed(event: e.InstrumentListed, units: Units) -> str:
    listed = event.instrument
    return (
        f"{listed.id} can be traded on {event.account}: tick {listed.price_text(listed.tick)}, "
        f"step {listed.size_text(listed.step)}, {listed.cash_text(listed.minimum_notional)} {listed.quote} an order at "
        f"least; fees {rate(event.maker_fee)} maker, {rate(event.taker_fee)} taker"
    )


def _deposited(event: e.CashDeposited, units: Units) -> str:
    return f"{money(event.asset, event.amount)} came into account {event.account}"


def _holding(event: e.PositionDeposited, units: Units) -> str:
    size, cost = units.size(event.instrument, event.quantity), units.cash(event.instrument, event.cost)
    return f"{size} came into account {event.account} at a cost of {cost}"


def _intended(event: e.OrderIntended, units: Units) -> str:
    size = units.size(event.instrument, event.quantity)
    whose = f"{event.role} of {event.bot}/{event.group}" if event.group else "by hand"
    leg = f", leg {event.leg}" if event.role in {"entry", "target"} and event.bot else ""
    if event.role == "strategy":
        whose = f"of strategy {event.bot}"
        leg = f", leg {event.leg}" if event.leg else ""
    only = ", only to reduce" if event.reduce_only else ""
    return f"order {event.order}, {whose}{leg}: {event.side} {size} {_terms(event, units)}{only}"


def _terms(event: e.OrderIntended, units: Units) -> str:
    prices = []
    if event.stop is not None:
        prices.append(f"once the price comes to {units.price(event.instrument, event.stop)}")
    if event.limit is not None:
        prices.append(f"at {units.price(event.instrument, event.limit)} or better")
    if event.type == "market":
        prices.append(f"at market, now about {units.price(event.instrument, event.reference)}")
    return ", ".join(prices)


def _passed(event: e.RiskPassed, units: Units) -> str:
    worth = units.cash(event.instrument, event.notional)
    held = f", holds back {units.cash(event.instrument, event.reserved)}" if event.reserved else ""
    limits = f"limits version {event.settings}" if event.settings else "no limits set"
    return f"risk lets order {event.order} pass: worth {worth}{held}; {limits}"


def _denied(event: e.OrderDenied, units: Units) -> str:
    limits = f"limits version {event.settings}" if event.settings else "no limits set"
    size = units.size(event.instrument, event.quantity)
    return f"risk denies order {event.order}, {event.code}: {event.reason}; {size} not traded, never sent; {limits}"


def _accepted(event: e.OrderAccepted, units: Units) -> str:
    return f"the venue has order {event.order}, as its {event.venue_order}"


def _rejected(event: e.OrderRejected, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"the venue refuses order {event.order}, {event.code}: {event.reason}; {left} not traded"


def _unknown(event: e.OrderUnknown, units: Units) -> str:
    return f"what became of order {event.order} is not known: {event.reason}; until it is, nothing new on {event.instrument}"


def _triggered(event: e.OrderTriggered, units: Units) -> str:
    return f"the stop of order {event.order} is met: it rests as a limit now"


def _filled(event: e.OrderFilled, units: Units) -> str:
    what = "the stop, order" if event.role == "stop" else "order"
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    cash, fee = units.cash(event.instrument, event.cash), units.fee(event.instrument, event.fee_asset, event.fee)
    left = f"{units.size(event.instrument, event.remaining)} to go" if event.remaining else "all of it"
    return (
        f"{what} {event.order} {_DONE[event.side]} {size} at {price} for {cash}, fee {fee} ({event.liquidity}); {left}"
    )


def _overfilled(event: e.Overfilled, units: Units) -> str:
    return f"the venue filled {units.size(event.instrument, event.excess)} more than order {event.order} asked for"


def _unmatched(event: e.FillUnmatched, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    return (
        f"the venue reports {size} at {price} of order {event.order}, which ended too long ago to tell a repeat from a "
        "new fill: not counted"
    )


def _cancel_requested(event: e.CancelRequested, units: Units) -> str:
    return f"order {event.order} is to be cancelled: {why(event.reason)}"


def _cancel_rejected(event: e.CancelRejected, units: Units) -> str:
    return f"the venue does not cancel order {event.order}: {event.reason}"


def _canceled(event: e.OrderCanceled, units: Units) -> str:
    left = units.size(event.instrument, event.remaining)
    return f"order {event.order} is cancelled with {left} not traded: {why(event.reason)}"


def _missing(event: e.FillsMissing, units: Units) -> str:
    filled, told = units.size(event.instrument, event.filled), units.size(event.instrument, event.reported)
    return (
        f"the venue ended order {event.order} ({event.reason}) with {filled} filled, and {told} is reported: it waits"
    )


def _halted(event: e.TradingHalted, units: Units) -> str:
    whose = f"bot {event.bot}" if event.bot else f"account {event.account}"
    held = ", ".join(units.size(each.instrument, each.quantity) for each in event.flatten)
    closing = f"; to be closed: {held}" if held else ""
    return f"halt {event.number} of {whose}, {event.state}, {event.code}: {event.reason}{closing}"


def _resumed(event: e.TradingResumed, units: Units) -> str:
    whose = f"bot {event.bot}" if event.bot else f"account {event.account}"
    worth = f"; losses count anew from {units.worth(event.worth)}" if event.worth is not None else ""
    return f"{whose} may trade again after halt {event.number}{worth}"


def _command_refused(event: e.RiskCommandRefused, units: Units) -> str:
    return f"{event.command} refused, {event.code}: {event.reason}"


def _limits_set(event: e.RiskLimitsSet, units: Units) -> str:
    named = ", ".join(_limits(event))
    return f"limits version {event.version} of account {event.account}: {named or 'none'}"


def _limits(event: e.RiskLimitsSet) -> Iterator[str]:
    """Those that are set, by the names that they are set under."""
    plain, none = msgspec.to_builtins(event.limits), msgspec.to_builtins(NO_LIMITS)
    for name, value in plain.items():
        if value != none[name]:
            yield f"{name} {value}" if isinstance(value, str | int) else f"{name} ({plural(len(value), 'part')})"


def _session(event: e.SessionStarted, units: Units) -> str:
    return f"losses of {event.account} count from an equity of {units.worth(event.equity)} until {moment(event.ends)}"


def _priced(event: e.ReferencePriced, units: Units) -> str:
    return f"{event.index} stands at {reference(event.price)}"


def _valued(event: e.AccountValued, units: Units) -> str:
    equity = ", ".join(money(asset, cash) for asset, cash in event.equity)
    marks = ", ".join(f"{instrument} {units.price(instrument, price)}" for instrument, price in event.marks)
    return f"account {event.account} is worth {equity or 'nothing'}" + (f" at {marks}" if marks else "")


SENTENCES: Mapping[type[Event], Sentence] = {
    e.AccountOpened: _opened,
    e.InstrumentListed: _listed,
    e.CashDeposited: _deposited,
    e.PositionDeposited: _holding,
    e.OrderIntended: _intended,
    e.RiskPassed: _passed,
    e.OrderDenied: _denied,
    e.OrderAccepted: _accepted,
    e.OrderRejected: _rejected,
    e.OrderUnknown: _unknown,
    e.OrderTriggered: _triggered,
    e.OrderFilled: _filled,
    e.Overfilled: _overfilled,
    e.FillUnmatched: _unmatched,
    e.CancelRequested: _cancel_requested,
    e.CancelRejected: _cancel_rejected,
    e.OrderCanceled: _canceled,
    e.FillsMissing: _missing,
    e.TradingHalted: _halted,
    e.TradingResumed: _resumed,
    e.RiskCommandRefused: _command_refused,
    e.RiskLimitsSet: _limits_set,
    e.SessionStarted: _session,
    e.ReferencePriced: _priced,
    e.AccountValued: _valued,
}
