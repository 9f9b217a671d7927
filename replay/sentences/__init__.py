"""Every event in words: a sentence per type, with the numbers that it was decided on."""

from collections.abc import Mapping

from domain.catalogue import tag_of
from domain.engine_events import EngineStarted
from domain.execution_pool.events import SlotAssigned
from domain.message import Event
from domain.portfolio_risk.events import EntriesFinished, GroupForgotten, GroupWatched, TimerRestarted
from domain.position_group.events import BestMoved, ReviewDue
from replay.sentences import account, bot, execution_pool, portfolio_risk, position_group, signal, strategy
from replay.sentences.units import Sentence, Units


def _started(event: EngineStarted, units: Units) -> str:
    return f"the run goes on under engine {event.engine_version}, rules {event.rules_hash[:16]}, venue {event.rules}"


SENTENCES: Mapping[type[Event], Sentence] = {
    EngineStarted: _started,
    **account.SENTENCES,
    **bot.SENTENCES,
    **execution_pool.SENTENCES,
    **portfolio_risk.SENTENCES,
    **position_group.SENTENCES,
    **signal.SENTENCES,
    **strategy.SENTENCES,
}

MINOR: frozenset[type[Event]] = frozenset(
    {BestMoved, EntriesFinished, GroupForgotten, GroupWatched, ReviewDue, SlotAssigned, TimerRestarted}
)
"""Bookkeeping: what people can do without where they ask why."""


def say(event: Event, units: Units) -> str:
    """What happened, in words; that it cannot be said where a number is none, so that a damaged log can be looked at."""
    sentence = SENTENCES[type(event)]
    try:
        return sentence(event, units)
    except (ArithmeticError, LookupError, ValueError):
        return f"{tag_of(type(event))} with numbers that make no sense"
