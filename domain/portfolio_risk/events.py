"""What happens to an account's risk offset: groups watched, evaluations, choices, what was paid and what came of it.

`settings_version` names the settings in force; offsets and evaluations are counted from 1 per account. Cash is in quanta
of the loser's quote asset; averages and percentages are for readers, what is decided is decided on exact fractions.
"""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from domain.message import Event
from domain.portfolio_risk.settings import OffsetSettings
from domain.values import Asset, Cash, Direction, Fee, InstrumentId, Price, Quantity, Time

Verdict = Literal["qualified", "blocked", "busy", "pyramids_missing", "waiting", "too_young"]
Outcome = Literal["no_loser", "not_enough_profit"]
Abandoned = Literal[
    "LOSER_GONE", "LOSER_BUSY", "LOSER_BLOCKED", "LOSER_RECOVERED", "LOSER_NOT_CLOSED", "NOT_ENOUGH_PROFIT",
    "WINNERS_FAILED",
]  # fmt: skip


class Loser(Struct, frozen=True, array_like=True):
    """A group whose loss is beyond the threshold: its numbers, and whether it qualifies or what it lacks.

    `loss_pct` is below 0 as the threshold is; `loss` is above 0, before `costs`, the margin for closing all of it;
    `timer_from` is None where the wait has not begun.
    """

    bot: str
    group: int
    instrument: InstrumentId
    direction: Direction
    held: Quantity
    average: Decimal
    mark: Price
    loss_pct: Decimal
    loss: Cash
    costs: Cash
    pyramids: int
    max_pyramids: int
    opened_at: Time
    timer_from: Time | None
    verdict: Verdict


class Winner(Struct, frozen=True, array_like=True):
    """A group in profit: what closing all of it would pay after costs, and what is to be closed of it (0: nothing)."""

    bot: str
    group: int
    instrument: InstrumentId
    direction: Direction
    held: Quantity
    average: Decimal
    mark: Price
    profit: Cash
    quantity: Quantity
    pays: Cash


class OffsetConfigured(Event, frozen=True, array_like=True, tag="portfolio_risk.configured.v1"):
    """The offset's settings; versions count from 1."""

    account: str
    settings_version: int
    settings: OffsetSettings


class OffsetCommandRefused(Event, frozen=True, array_like=True, tag="portfolio_risk.command_refused.v1"):
    """Somebody asked for what the state does not allow."""

    account: str
    command: str
    code: str
    reason: str


class GroupWatched(Event, frozen=True, array_like=True, tag="portfolio_risk.group_watched.v1"):
    """A group has opened or has a further pyramid, at `entered_at`: its wait starts anew."""

    account: str
    bot: str
    group: int
    opened_at: Time
    entered_at: Time
    max_pyramids: int


class EntriesFinished(Event, frozen=True, array_like=True, tag="portfolio_risk.entries_finished.v1"):
    """No entry of the group works any more: what will be filled has been."""

    account: str
    bot: str
    group: int
    at: Time


class TimerRestarted(Event, frozen=True, array_like=True, tag="portfolio_risk.timer_restarted.v1"):
    """The group's wait starts anew."""

    account: str
    bot: str
    group: int
    at: Time


class GroupForgotten(Event, frozen=True, array_like=True, tag="portfolio_risk.group_forgotten.v1"):
    """The group is over."""

    account: str
    bot: str
    group: int


class GroupBlocked(Event, frozen=True, array_like=True, tag="portfolio_risk.group_blocked.v1"):
    """The group takes no part in offsets."""

    account: str
    bot: str
    group: int


class GroupUnblocked(Event, frozen=True, array_like=True, tag="portfolio_risk.group_unblocked.v1"):
    """The group takes part in offsets again."""

    account: str
    bot: str
    group: int


class SkipRequested(Event, frozen=True, array_like=True, tag="portfolio_risk.skip_requested.v1"):
    """The next loser that would be closed is to be passed over."""

    account: str


class OffsetSkipped(Event, frozen=True, array_like=True, tag="portfolio_risk.skipped.v1"):
    """A loser that would have been closed is passed over: its wait starts anew."""

    account: str
    settings_version: int
    at: Time
    loser: Loser


class OffsetEvaluated(Event, frozen=True, array_like=True, tag="portfolio_risk.evaluated.v1"):
    """An evaluation after which nothing happens, and why; said again only when it comes to say something else.

    `losers` are all groups beyond the threshold, the qualified first as they are ranked, the rest by age; `winners` those
    that were asked to pay `needed`, the best first, `available` what the best three could. Both lists are cut off after a
    bound and counted in full.
    """

    account: str
    number: int
    settings_version: int
    outcome: Outcome
    losers_count: int
    losers: tuple[Loser, ...]
    winners_count: int
    winners: tuple[Winner, ...]
    needed: Cash
    available: Cash


class OffsetChosen(Event, frozen=True, array_like=True, tag="portfolio_risk.chosen.v1"):
    """A loser is to be closed, and these parts of winners are to be closed first to pay `needed` for it.

    `needed` is what it loses now and costs, less what was paid for it before. `step` above 1 plans the rest anew, where
    winners have paid less than they were to; then `losers` is empty.
    """

    account: str
    number: int
    step: int
    settings_version: int
    bot: str
    group: int
    needed: Cash
    parts: tuple[Winner, ...]
    losers_count: int
    losers: tuple[Loser, ...]
    winners_count: int
    winners: tuple[Winner, ...]


class OffsetFilled(Event, frozen=True, array_like=True, tag="portfolio_risk.filled.v1"):
    """A closing order of the offset filled; `profit` is the fill's over the group's average, after its fee, floored."""

    account: str
    number: int
    role: Literal["winner", "loser"]
    bot: str
    group: int
    instrument: InstrumentId
    price: Price
    quantity: Quantity
    remaining: Quantity
    profit: Cash
    fee: Fee
    fee_asset: Asset


class OffsetOrderEnded(Event, frozen=True, array_like=True, tag="portfolio_risk.order_ended.v1"):
    """A closing order of the offset ended with `remaining` unfilled."""

    account: str
    number: int
    bot: str
    group: int
    remaining: Quantity
    reason: str


class WinnerDropped(Event, frozen=True, array_like=True, tag="portfolio_risk.winner_dropped.v1"):
    """Nothing of the winner is being closed though it should be: the offset counts on it no longer."""

    account: str
    number: int
    bot: str
    group: int
    reason: str


class LoserExitDecided(Event, frozen=True, array_like=True, tag="portfolio_risk.loser_exit_decided.v1"):
    """What was needed has been paid, by winners of this offset or before: the loser is closed.

    `needed` is less than at the choice where the loser has recovered a part since, 0 where all had been paid before.
    """

    account: str
    number: int
    bot: str
    group: int
    needed: Cash
    paid: Cash
    mark: Price


class OffsetCompleted(Event, frozen=True, array_like=True, tag="portfolio_risk.completed.v1"):
    """The loser is closed. `paid` came from winners, `lost` (below 0) went with the loser; `result` is their sum."""

    account: str
    number: int
    bot: str
    group: int
    paid: Cash
    lost: Cash
    result: Cash


class OffsetAbandoned(Event, frozen=True, array_like=True, tag="portfolio_risk.abandoned.v1"):
    """The loser is not closed. What was paid stays to its credit; but for want of profit its wait starts anew."""

    account: str
    number: int
    bot: str
    group: int
    code: Abandoned
    reason: str
    paid: Cash
    at: Time
