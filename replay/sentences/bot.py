"""What happens to a bot, in words."""

from collections.abc import Mapping

from msgspec import UNSET

from domain.bot import events as e
from domain.bot.settings import GroupSettings
from domain.message import Event
from replay.sentences.units import Sentence, Units, money, number, percent, plural


def settings_text(settings: GroupSettings) -> str:
    """What decides how a group enters and ends."""
    ends = [
        f"take profit {settings.take_profit.replace('_', ' ')}",
        *([f"stop {percent(settings.stop_loss_pct)}"] if settings.stop_loss_pct is not None else []),
        *([f"trailing {percent(settings.trailing_stop_pct)}"] if settings.trailing_stop_pct is not None else []),
    ]
    pyramids = plural(settings.max_pyramids, "pyramid")
    return f"{_size(settings)}, {plural(len(settings.legs), 'leg')}, {pyramids}, {', '.join(ends)}"


def _size(settings: GroupSettings) -> str:
    """What a pyramid may cost, or what that is counted from."""
    if settings.capital is not None:
        return f"capital {number(settings.capital)}"
    sizing = settings.sizing
    return "no capital" if sizing is UNSET else f"{sizing.by} {number(sizing.size)}"


def _created(event: e.BotCreated, units: Units) -> str:
    what = f"{event.strategy} on {event.instrument.id} of account {event.account}"
    return f"bot {event.bot} made: {what}; {settings_text(event.settings)}"


def _configured(event: e.BotConfigured, units: Units) -> str:
    return f"bot {event.bot} has new settings for its next group: {settings_text(event.settings)}"


def _started(event: e.BotStarted, units: Units) -> str:
    return f"bot {event.bot} starts to act on signals"


def _paused(event: e.BotPaused, units: Units) -> str:
    return f"bot {event.bot} takes no entries for now"


def _resumed(event: e.BotResumed, units: Units) -> str:
    return f"bot {event.bot} takes entries again"


def _stopped(event: e.BotStopped, units: Units) -> str:
    return f"bot {event.bot} acts on no signals any more"


def _deleted(event: e.BotDeleted, units: Units) -> str:
    return f"bot {event.bot} is over"


def _command_refused(event: e.CommandRefused, units: Units) -> str:
    return f"bot {event.bot}: {event.command} refused, {event.code}: {event.reason}"


def _close_taken(event: e.CloseTaken, units: Units) -> str:
    return f"group {event.bot}/{event.group} is to close, not by a signal"


def _sized(event: e.EntrySized, units: Units) -> str:
    """What the entry may cost, and from which numbers that was counted."""
    parts = [f"{event.sizing.by} {number(event.sizing.size)}"]
    if event.equity is not None:
        marks = ", ".join(f"{instrument} {units.price(instrument, price)}" for instrument, price in event.marks)
        parts.append(f"an equity of {money(event.asset, event.equity)}" + (f" at {marks}" if marks else ""))
    if event.risk is not None:
        parts.append(f"a risk of {money(event.asset, event.risk)}")
    if event.stop_loss_pct is not None:
        parts.append(f"a stop {percent(event.stop_loss_pct)} from the average")
    return f"the entry may cost {money(event.asset, event.capital)}, by {'; '.join(parts)}"


def _entry_taken(event: e.EntryTaken, units: Units) -> str:
    what = f"{event.direction} {event.instrument.id} from {number(event.entry)}"
    size = "" if event.quantity is None else f", {units.size(event.instrument.id, event.quantity)} as the alert said"
    return f"bot {event.bot} opens group {event.bot}/{event.group}: {what}{size}; {settings_text(event.settings)}"


def _pyramid_taken(event: e.PyramidTaken, units: Units) -> str:
    return f"bot {event.bot} adds a pyramid to group {event.bot}/{event.group} from {number(event.entry)}"


def _aim_taken(event: e.AimTaken, units: Units) -> str:
    whose = f"group {event.bot}/{event.group} moves to it" if event.group else "a group is to be opened for it"
    return f"the alert names the size to hold, {units.group_size(event.bot, event.group, event.size)}: {whose}"


def _reverse_taken(event: e.ReverseTaken, units: Units) -> str:
    return f"a signal against the live group of {event.bot}: that closes first, then {event.direction} from {number(event.price)}"


def _reverse_dropped(event: e.ReverseDropped, units: Units) -> str:
    return f"alert {event.number} of {event.source} closes and does not enter after it, {event.code}: {event.reason}"


def _exit_taken(event: e.ExitTaken, units: Units) -> str:
    last = (
        ""
        if event.last_close is None
        else f"; the market's last price is {units.price(event.instrument, event.last_close)}"
    )
    return f"alert {event.number} of {event.source} closes group {event.bot}/{event.group}{last}"


def _alert_refused(event: e.AlertRefused, units: Units) -> str:
    return f"bot {event.bot} does not act on alert {event.number} of {event.source}, {event.code}: {event.reason}"


def _released(event: e.GroupReleased, units: Units) -> str:
    return f"bot {event.bot} is free for its next group after {event.bot}/{event.group}"


def _entry_wanted(event: e.EntryWanted, units: Units) -> str:
    wish = (
        f"add a pyramid to {event.bot}/{event.group}" if event.group else f"go {event.direction} in {event.instrument}"
    )
    return f"bot {event.bot} would {wish} at {number(event.price)} and asks the pool of {event.account} for a slot"


def _entry_dropped(event: e.EntryDropped, units: Units) -> str:
    return f"bot {event.bot} cannot enter any more, {event.code}: {event.reason}"


def _exit_wanted(event: e.ExitWanted, units: Units) -> str:
    return (
        f"alert {event.number} of {event.source} wants out of {event.instrument}: what waits to enter waits no longer"
    )


SENTENCES: Mapping[type[Event], Sentence] = {
    e.BotCreated: _created,
    e.BotConfigured: _configured,
    e.BotStarted: _started,
    e.BotPaused: _paused,
    e.BotResumed: _resumed,
    e.BotStopped: _stopped,
    e.BotDeleted: _deleted,
    e.CommandRefused: _command_refused,
    e.CloseTaken: _close_taken,
    e.EntrySized: _sized,
    e.EntryTaken: _entry_taken,
    e.PyramidTaken: _pyramid_taken,
    e.AimTaken: _aim_taken,
    e.ReverseTaken: _reverse_taken,
    e.ReverseDropped: _reverse_dropped,
    e.ExitTaken: _exit_taken,
    e.AlertRefused: _alert_refused,
    e.GroupReleased: _released,
    e.EntryWanted: _entry_wanted,
    e.EntryDropped: _entry_dropped,
    e.ExitWanted: _exit_wanted,
}
