"""Halts: what stops trading, by hand or by itself, and what starts it again.

A halt stands until somebody resumes it. One that trading brought about is ended by its number, which only who has looked
at it can say.
"""

from collections.abc import Iterator
from decimal import Decimal
from operator import sub

from domain.account import commands as c
from domain.account import events as e
from domain.account.limits import REFERENCE_SCALE, Breaker, RiskLimits, check_limits
from domain.account.state import AccountState, Session
from domain.decider import Now
from domain.errors import InputError
from domain.message import Event
from domain.risk.exposure import Marks, equity, results
from domain.risk.limits import cash_text, in_quanta
from domain.values import DAY, LARGEST, SECOND, Asset, Cash, Quantity, Time, decimal_text, floor_to, ratio

Events = tuple[Event, ...]


def halt(state: AccountState, command: c.HaltTrading) -> Events:
    """The halt and the cancels of all that works in its scope are one decision; said again, it cancels again."""
    cancels = tuple(_cancels(state, command.bot, command.state, f"halt: {command.reason}"))
    standing = state.halted.get(command.bot)
    if standing is not None and (standing.state == "HALTED" or command.state == "REDUCING"):
        return cancels
    number = state.halts + 1
    return e.TradingHalted(command.account, command.bot, command.reason, command.state, "KILL", number), *cancels


def resume(state: AccountState, command: c.ResumeTrading, now: Now) -> Events:
    """Only who names the halt ends it, unless a person made it. Losses count anew from here."""
    standing = state.halted.get(command.bot)
    if standing is None:
        return ()
    if command.halt != standing.number and (standing.code != "KILL" or command.halt):
        said = f"halt={standing.number}, because={standing.code}, confirmed={command.halt or 'none'}"
        reason = f"{said}; resume it by its number"
        return (e.RiskCommandRefused(command.account, command.bot, "resume", "HALT_UNCONFIRMED", reason),)
    worth = _worth(state, now.marks, command.bot)
    return (e.TradingResumed(command.account, command.bot, standing.number, worth),)


def set_limits(state: AccountState, command: c.SetRiskLimits) -> Events:
    try:
        check_limits(command.limits)
    except InputError as error:
        return (e.RiskCommandRefused(command.account, "", "set_limits", "LIMITS_INVALID", str(error)),)
    if command.limits == state.limits:
        return ()
    return (e.RiskLimitsSet(command.account, state.limits_version + 1, command.limits),)


def record_reference(state: AccountState, command: c.RecordReference) -> Events:
    """A price of the index that is watched; where it leaves its own past, trading stops."""
    breaker = state.limits.breaker
    if breaker is None or breaker.index != command.index or not 0 < command.price <= LARGEST:
        return ()
    priced = e.ReferencePriced(command.account, command.index, command.price)
    beyond = _beyond(breaker, (*state.references, command.price))
    if beyond is None or _stands(state, ""):
        return (priced,)
    return priced, *_halted(state, {}, "", ("VOLATILITY", beyond), state.halts + 1)


def review(state: AccountState, now: Now) -> Events:
    """Start the session where one is due, and stop what has lost too much; nothing where nothing is wrong."""
    limits = state.limits
    begin: e.SessionBegin
    found: list[Event] = []
    session, own = state.session, None
    if limits.limits_losses and limits.currency is not None:
        own = equity(state, now.marks, limits.currency)
        if own is not None and (session is None or _day(limits, session.at) < _day(limits, now.at)):
            bots = results(state, now.marks, limits.currency)
            begin = "limits" if session is None else "day"
            ends = Time((_day(limits, now.at) + 1) * DAY + limits.session_start_seconds * SECOND)
            made = tuple((bot, Cash(sum_)) for bot, sum_ in bots.items())
            found.append(e.SessionStarted(state.account, now.at, begin, Cash(own), made, ends))
            session = Session(now.at, own, bots)
    number = state.halts
    for bot, why in _reasons(state, now, session, own):
        if not _stands(state, bot):
            number += 1
            found += _halted(state, now.marks, bot, why, number)
            if not bot:
                return tuple(found)  # the account's halt is that of all its bots
    found += _event_cancels(state, now)
    return tuple(found)


Why = tuple[str, str]
"""(code, the numbers)"""


def _reasons(state: AccountState, now: Now, session: Session | None, own: int | None) -> Iterator[tuple[str, Why]]:
    """(bot or "" for the account, why it must stop), the account first."""
    limits = state.limits
    currency = limits.currency
    if session is not None and own is not None and currency is not None:
        why = _daily(limits, session, own) or _drawdown(state, own)
        if why is not None:
            yield "", why
        if limits.bot_daily_loss_max is not None or limits.bot_daily_loss_max_pct is not None:
            for bot, made in results(state, now.marks, currency).items():
                why = _bot_daily(limits, session, bot, made)
                if why is not None:
                    yield bot, why
    most = limits.consecutive_losses_max
    if most is not None:
        for bot, count in state.losses.items():
            if bot and count >= most:
                yield bot, ("CONSECUTIVE_LOSSES", f"losses={count}, limit={most}")


def _daily(limits: RiskLimits, session: Session, own: int) -> Why | None:
    loss = session.equity - own
    return _lost(
        "DAILY_LOSS", limits.currency, loss, session.equity, (limits.daily_loss_max, limits.daily_loss_max_pct)
    )


def _bot_daily(limits: RiskLimits, session: Session, bot: str, made: int) -> Why | None:
    """A bot has no equity of its own: its loss is held against the account's."""
    loss = session.bots.get(bot, 0) - made
    most = limits.bot_daily_loss_max, limits.bot_daily_loss_max_pct
    return _lost("BOT_DAILY_LOSS", limits.currency, loss, session.equity, most)


def _drawdown(state: AccountState, own: int) -> Why | None:
    if state.peak is None:
        return None
    limits = state.limits
    return _lost(
        "DRAWDOWN", limits.currency, state.peak - own, state.peak, (limits.drawdown_max, limits.drawdown_max_pct)
    )


def _lost(
    code: str, currency: Asset | None, loss: int, base: int, most: tuple[Decimal | None, Decimal | None]
) -> Why | None:
    """A loss that reaches its amount, or so many percent of its base, is too much."""
    amount, percent = most
    if loss <= 0:
        return None
    said = f"loss={cash_text(loss, currency)}, from={cash_text(base, currency)}"
    if amount is not None and loss >= in_quanta(amount, currency):
        return code, f"{said}, limit={cash_text(in_quanta(amount, currency), currency)}"
    if percent is not None:
        numerator, denominator = ratio(percent)
        if loss * 100 * denominator >= numerator * base:
            return code, f"{said}, limit={percent:f}%"
    return None


def _beyond(breaker: Breaker, prices: tuple[int, ...]) -> str | None:
    """How far the newest value is out, None where it is not or the past is too short.

    |x - mean| > k x deviation, squared and times the samples' square, in integers:
    (n x - sum)^2 > k^2 (n sum of squares - sum^2).
    """
    values = prices if breaker.series == "level" else tuple(map(sub, prices[1:], prices))
    count = breaker.samples
    if len(values) <= count:
        return None
    past, newest = values[-count - 1 : -1], values[-1]
    total = sum(past)
    spread = count * sum(value * value for value in past) - total * total
    numerator, denominator = ratio(breaker.sigmas)
    if (count * newest - total) ** 2 * denominator**2 <= numerator**2 * spread:
        return None
    mean = decimal_text(total // count, REFERENCE_SCALE)
    variance = decimal_text(spread // count**2, 2 * REFERENCE_SCALE)
    value = decimal_text(newest, REFERENCE_SCALE)
    said = f"index={breaker.index}, {breaker.series}={value}, mean={mean}, variance={variance}, samples={count}"
    return f"{said}, limit={breaker.sigmas:f} sigma"


def _halted(state: AccountState, marks: Marks, bot: str, why: Why, number: int) -> Iterator[Event]:
    """The halt with what it closes, and the cancels of what works in its scope."""
    code, reason = why
    flatten = tuple(_holdings(state, marks, bot)) if state.limits.flatten and code in _FLATTENS else ()
    yield e.TradingHalted(state.account, bot, reason, "HALTED", code, number, flatten)
    yield from _cancels(state, bot, "HALTED", f"halt: {code}")


_FLATTENS = frozenset({"DAILY_LOSS", "BOT_DAILY_LOSS", "DRAWDOWN"})


def _holdings(state: AccountState, marks: Marks, scope: str) -> Iterator[e.Holding]:
    for (bot, name), book in state.books.items():
        step = state.listings[name].instrument.step
        size = floor_to(abs(book.quantity), step)
        if size and name in marks and scope in {"", bot}:
            yield e.Holding(bot, name, Quantity(size if book.quantity > 0 else -size), marks[name])


def _cancels(state: AccountState, scope: str, state_: e.TradingState, reason: str) -> Iterator[Event]:
    for order in state.orders.values():
        stays = (
            order.role in {"close", "stop"}
            if state_ == "HALTED"
            else state.closes(order.side, reduce_only=order.reduce_only)
        )
        if not stays and not order.cancel_wanted and scope in {"", order.bot}:
            yield e.CancelRequested(state.account, order.id, reason)


def _event_cancels(state: AccountState, now: Now) -> Iterator[Event]:
    """While an event of the calendar is on, nothing that would raise exposure may rest."""
    window = next((each for each in state.limits.event_windows if each.start <= now.at < each.end), None)
    if window is not None:
        yield from _cancels(state, "", "REDUCING", f"event: {window.name}")


def _stands(state: AccountState, bot: str) -> bool:
    """Whether the bot, or the account where `bot` is "", is killed already."""
    return any(scope in state.halted and state.halted[scope].state == "HALTED" for scope in ("", bot))


def _worth(state: AccountState, marks: Marks, bot: str) -> Cash | None:
    currency = state.limits.currency
    own = None if currency is None else equity(state, marks, currency)
    if own is None or currency is None:
        return None
    return Cash(results(state, marks, currency).get(bot, 0) if bot else own)


def _day(limits: RiskLimits, at: Time) -> int:
    return (at - limits.session_start_seconds * SECOND) // DAY
