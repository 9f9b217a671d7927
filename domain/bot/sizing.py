"""How much a group or a pyramid may cost: a fixed capital, a part of the account's equity, or what its stop may lose.

capital = floor(equity x percent/100), or floor(risk x 100/stop), in cash quanta, with risk = floor(equity x percent/100)
or the amount that is set. A leg of weight w buys q = floor_step(capital x w/100 / price), so that all legs together cost
at most the capital. A group's fixed stop lies at ceil_tick(average x (1 - stop/100)) for a long, at floor_tick(average x
(1 + stop/100)) for a short: never further from the average than stop percent. So it loses at most cost x stop/100, which
is at most the risk; and since a group's cost is the sum of its pyramids', it loses at most the sum of their risks.
"""

from decimal import Decimal

from msgspec import UNSET, Struct, structs

from domain.bot.commands import TakeEntry
from domain.bot.events import EntrySized
from domain.bot.settings import GroupSettings
from domain.bot.state import BotState
from domain.decider import Now
from domain.risk.exposure import equity, unvalued
from domain.values import LARGEST, POWERS, Cash, InstrumentId, Price, ratio

Refusal = tuple[str, str]
"""(code, the numbers)"""


class Equity(Struct, frozen=True):
    """What an account is worth in the quote currency, at the last prices of what it holds."""

    cash: Cash
    marks: tuple[tuple[InstrumentId, Price], ...]


def size_entry(state: BotState, command: TakeEntry, now: Now) -> EntrySized | Refusal | None:
    """What the entry that is being taken may cost, or why that cannot be said; None where the capital is fixed."""
    sizing, instrument = state.settings.sizing, state.instrument
    if sizing is UNSET:
        return None
    stop = None
    if sizing.by != "capital_pct_of_equity":
        stop = _stop(state, command, now)
        if stop is None:
            return "STOP_UNKNOWN", f"group={command.group}, stop_loss_pct=none"
    own = None if sizing.by == "risk_amount" else _equity(state, now)
    if isinstance(own, tuple):
        return own
    cash = _times(POWERS[instrument.quote_scale], sizing.size) if own is None else _times(own.cash, sizing.size, 100)
    capital = cash if stop is None else _at_stop(cash, stop)
    if capital > LARGEST:
        return "CAPITAL_TOO_LARGE", f"capital={instrument.cash_text(capital)}"
    return EntrySized(
        state.bot, command.group or state.groups + 1, state.account, command.source, command.number, instrument.quote,
        sizing, None if own is None else own.cash, () if own is None else own.marks,
        None if stop is None else Cash(cash), stop, Cash(capital),
    )  # fmt: skip


def with_capital(state: BotState, sized: EntrySized | None) -> GroupSettings:
    """The settings in force, with the capital that they came to."""
    if sized is None:
        return state.settings
    return structs.replace(state.settings, capital=Decimal(state.instrument.cash_text(sized.capital)))


def _stop(state: BotState, command: TakeEntry, now: Now) -> Decimal | None:
    """The fixed stop's percent: of the settings for a new group, else that with which the live group was opened."""
    if not command.group:
        return state.settings.stop_loss_pct
    for group in now.groups(state.account):
        if (group.bot, group.group) == (state.bot, command.group) and group.ends is not None:
            percent: Decimal | None = group.ends.stop_loss_pct
            return percent
    return None


def _equity(state: BotState, now: Now) -> Equity | Refusal:
    """The account's equity at the last prices; nothing is sized by a guess, or by what is not there."""
    account, quote = now.account(state.account), state.instrument.quote
    if account is None:
        return "ACCOUNT_UNKNOWN", f"account={state.account}"
    denial = unvalued(account, now.marks, quote)
    if denial is not None:
        return denial
    own = equity(account, now.marks, quote)
    assert own is not None, "all that is held has its price"
    if own <= 0:
        return "EQUITY_NOT_POSITIVE", f"equity={state.instrument.cash_text(own)}"
    if own > LARGEST:
        return "EQUITY_TOO_LARGE", f"equity={state.instrument.cash_text(own)}"
    return Equity(Cash(own), tuple((name, now.marks[name]) for name, held in account.positions.items() if held))


def _times(cash: int, factor: Decimal, divisor: int = 1) -> int:
    """Floor of cash x factor / divisor."""
    numerator, denominator = ratio(factor)
    return cash * numerator // (denominator * divisor)


def _at_stop(risk: int, percent: Decimal) -> int:
    """The capital of which so many percent are the risk, floored."""
    numerator, denominator = ratio(percent)
    return risk * 100 * denominator // numerator
