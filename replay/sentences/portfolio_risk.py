"""What happens to a risk offset, in words."""

from collections.abc import Mapping, Sequence

from domain.message import Event
from domain.portfolio_risk import events as e
from domain.portfolio_risk.settings import OffsetSettings
from domain.values import MINUTE, SECOND
from replay.sentences.units import Sentence, Units, moment, percent, span

_LACKS: Mapping[e.Verdict, str] = {
    "qualified": "qualifies",
    "blocked": "is blocked by hand",
    "busy": "is closing or being reduced",
    "pyramids_missing": "has not all its pyramids",
    "waiting": "has not waited long enough",
    "too_young": "is too young",
}
_OUTCOMES: Mapping[e.Outcome, str] = {
    "no_loser": "no loser qualifies",
    "not_enough_profit": "the winners cannot pay for the loser",
}


def _settings(settings: OffsetSettings) -> str:
    if not settings.enabled:
        return "off"
    wait = span(settings.post_full_wait_minutes * MINUTE) if settings.post_full_wait_minutes else "no wait"
    every = span(settings.evaluate_seconds * SECOND)
    return f"losers beyond {percent(settings.loss_threshold_pct)}, {wait} after {settings.timer_start}, looked at every {every}"


def _configured(event: e.OffsetConfigured, units: Units) -> str:
    return f"the offset of {event.account} has settings version {event.settings_version}: {_settings(event.settings)}"


def _command_refused(event: e.OffsetCommandRefused, units: Units) -> str:
    return f"the offset refuses to {event.command}, {event.code}: {event.reason}"


def _watched(event: e.GroupWatched, units: Units) -> str:
    return f"the offset watches group {event.bot}/{event.group}, its wait from {moment(event.entered_at)}"


def _entries_finished(event: e.EntriesFinished, units: Units) -> str:
    return f"no entry of group {event.bot}/{event.group} works any more: its wait begins"


def _timer_restarted(event: e.TimerRestarted, units: Units) -> str:
    return f"the wait of group {event.bot}/{event.group} begins anew"


def _forgotten(event: e.GroupForgotten, units: Units) -> str:
    return f"the offset forgets group {event.bot}/{event.group}, which is over"


def _blocked(event: e.GroupBlocked, units: Units) -> str:
    return f"group {event.bot}/{event.group} takes no part in offsets"


def _unblocked(event: e.GroupUnblocked, units: Units) -> str:
    return f"group {event.bot}/{event.group} takes part in offsets again"


def _skip_requested(event: e.SkipRequested, units: Units) -> str:
    return f"the next loser of {event.account} that would be closed is to be passed over"


def _skipped(event: e.OffsetSkipped, units: Units) -> str:
    return f"passed over as asked: {_loser(event.loser, units)}"


def _evaluated(event: e.OffsetEvaluated, units: Units) -> str:
    needed = ""
    if event.outcome == "not_enough_profit" and event.losers:
        first = event.losers[0].instrument
        needed = f", {units.cash(first, event.needed)} needed, {units.cash(first, event.available)} there"
    losers = _listed([_loser(each, units) for each in event.losers], event.losers_count)
    winners = _listed([_winner(each, units) for each in event.winners], event.winners_count)
    said = f"evaluation {event.number}, nothing is done: {_OUTCOMES[event.outcome]}{needed}"
    return (
        said + (f"; beyond the threshold: {losers}" if losers else "") + (f"; in profit: {winners}" if winners else "")
    )


def _chosen(event: e.OffsetChosen, units: Units) -> str:
    needed = units.group_cash(event.bot, event.group, event.needed)
    parts = "; ".join(
        f"{units.size(each.instrument, each.quantity)} of {each.bot}/{each.group} pays "
        f"{units.cash(each.instrument, each.pays)}"
        for each in event.parts
    )
    anew = f", planned anew (step {event.step})" if event.step > 1 else ""
    losers = _listed([_loser(each, units) for each in event.losers], event.losers_count)
    winners = _listed([_winner(each, units) for each in event.winners], event.winners_count)
    said = f"offset {event.number}{anew}: group {event.bot}/{event.group} is to be closed, {needed} needed: {parts or 'paid already'}"
    return said + (f"; losers ranked: {losers}" if losers else "") + (f"; winners ranked: {winners}" if winners else "")


def _loser(each: e.Loser, units: Units) -> str:
    mark, loss = units.price(each.instrument, each.mark), units.cash(each.instrument, each.loss)
    return (
        f"{each.bot}/{each.group} {percent(each.loss_pct)} at {mark}, loses {loss}, pyramids {each.pyramids} of "
        f"{each.max_pyramids}, {_LACKS[each.verdict]}"
    )


def _winner(each: e.Winner, units: Units) -> str:
    return f"{each.bot}/{each.group} at {units.price(each.instrument, each.mark)} could pay {units.cash(each.instrument, each.profit)}"


def _listed(shown: Sequence[str], count: int) -> str:
    more = count - len(shown)
    rest = f" and {more} more" if more > 0 else ""
    return " / ".join(shown) + rest


def _filled(event: e.OffsetFilled, units: Units) -> str:
    size, price = units.size(event.instrument, event.quantity), units.price(event.instrument, event.price)
    profit, fee = units.cash(event.instrument, event.profit), units.fee(event.instrument, event.fee_asset, event.fee)
    left = f"; {units.size(event.instrument, event.remaining)} to go" if event.remaining else ""
    return (
        f"offset {event.number}: {event.role} {event.bot}/{event.group} closed {size} at {price}, profit {profit} after a "
        f"fee of {fee}{left}"
    )


def _order_ended(event: e.OffsetOrderEnded, units: Units) -> str:
    left = units.group_size(event.bot, event.group, event.remaining)
    return (
        f"offset {event.number}: the closing order of {event.bot}/{event.group} ends with {left} open: {event.reason}"
    )


def _winner_dropped(event: e.WinnerDropped, units: Units) -> str:
    return f"offset {event.number} counts on {event.bot}/{event.group} no longer: {event.reason}"


def _exit_decided(event: e.LoserExitDecided, units: Units) -> str:
    paid, needed = (units.group_cash(event.bot, event.group, cash) for cash in (event.paid, event.needed))
    mark = units.group_price(event.bot, event.group, event.mark)
    return f"offset {event.number}: {paid} paid, {needed} needed: loser {event.bot}/{event.group} is closed at about {mark}"


def _completed(event: e.OffsetCompleted, units: Units) -> str:
    paid, lost, result = (
        units.group_cash(event.bot, event.group, cash) for cash in (event.paid, event.lost, event.result)
    )
    return f"offset {event.number} is done: loser {event.bot}/{event.group} lost {lost}, winners paid {paid}, together {result}"


def _abandoned(event: e.OffsetAbandoned, units: Units) -> str:
    paid = units.group_cash(event.bot, event.group, event.paid)
    return f"offset {event.number} is given up, {event.code}: {event.reason}; {paid} paid stays to {event.bot}/{event.group}'s credit"


SENTENCES: Mapping[type[Event], Sentence] = {
    e.OffsetConfigured: _configured,
    e.OffsetCommandRefused: _command_refused,
    e.GroupWatched: _watched,
    e.EntriesFinished: _entries_finished,
    e.TimerRestarted: _timer_restarted,
    e.GroupForgotten: _forgotten,
    e.GroupBlocked: _blocked,
    e.GroupUnblocked: _unblocked,
    e.SkipRequested: _skip_requested,
    e.OffsetSkipped: _skipped,
    e.OffsetEvaluated: _evaluated,
    e.OffsetChosen: _chosen,
    e.OffsetFilled: _filled,
    e.OffsetOrderEnded: _order_ended,
    e.WinnerDropped: _winner_dropped,
    e.LoserExitDecided: _exit_decided,
    e.OffsetCompleted: _completed,
    e.OffsetAbandoned: _abandoned,
}
