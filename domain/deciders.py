"""All deciders, and the tables by which commands and events find theirs."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.account.decider import DECIDER as ACCOUNT
from domain.bot.decider import DECIDER as BOT
from domain.decider import Decider, Fold
from domain.execution_pool.decider import DECIDER as EXECUTION_POOL
from domain.message import Command, Event
from domain.policies.deadlines import DEADLINES
from domain.portfolio_risk.decider import DECIDER as PORTFOLIO_RISK
from domain.position_group.decider import DECIDER as POSITION_GROUP
from domain.signal.decider import DECIDER as SIGNAL
from domain.strategy.decider import DECIDER as STRATEGY
from domain.strategy.events import StrategyActed

DECIDERS = (ACCOUNT, BOT, EXECUTION_POOL, PORTFOLIO_RISK, POSITION_GROUP, SIGNAL, STRATEGY)

BY_KIND: Mapping[str, Decider] = {decider.kind: decider for decider in DECIDERS}

Route = tuple[Decider, Callable[[Any], object], Callable[..., tuple[Event, ...]], bool]
"""(decider, its key, the rule, whether that is a timed one)"""

ROUTES: Mapping[type[Command], Route] = {
    command: (decider, decider.key, rule, timed)
    for decider in DECIDERS
    for rules, timed in ((decider.rules, False), (decider.timed, True))
    for command, rule in rules.items()
}
"""Where a command goes, in one look."""

OWNERS: Mapping[type[Event], Decider] = {event: decider for decider in DECIDERS for event in decider.folds}

NOTHING, PRICES, ALL = 0, 1, 2
"""What an event may change beside its state: nothing, the prices that its aggregate waits for, anything."""


def _follows(decider: Decider, event: type[Event]) -> int:
    if decider.settles is None or event in decider.settles or event in DEADLINES:
        return ALL
    return PRICES if decider is POSITION_GROUP or event is StrategyActed else NOTHING


PAST: Mapping[type[Event], tuple[Fold, int]] = {
    event: (fold, _follows(decider, event)) for decider in DECIDERS for event, fold in decider.folds.items()
}
"""How an event of the past is taken in, in one look."""
