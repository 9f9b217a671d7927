"""The code of strategies while a shard runs: which version decides, and what becomes of a strategy whose code is gone."""

import logging

from domain.engine import Core
from domain.errors import InputError
from domain.strategy.commands import ConfigureStrategy, FailStrategy, StartStrategy
from domain.strategy.decider import DECIDER, StrategyState
from domain.strategy.registry import strategies
from infrastructure.inbox import Entry, InboxRow
from infrastructure.plugins import code_of, find_strategy, loaded_code, reload

ACTOR = "worker"
_log = logging.getLogger(__name__)


def outdated(core: Core, row: InboxRow) -> str | None:
    """Why a row cannot be taken: the version of a strategy's code that it names is not there, even on disk. None else.

    What decides goes over to the version on disk here, between two rows: the log says from where on.
    """
    if row.kind != "command":
        return None
    try:
        command = row.content()
        if isinstance(command, StartStrategy):
            _have(command.strategy, command.code)
        elif isinstance(command, ConfigureStrategy):
            state: StrategyState | None = core.state(DECIDER.kind, command.bot)
            if state is not None:
                _have(state.strategy, command.code)
    except InputError as error:
        return str(error)
    return None


def _have(name: str, code: str) -> None:
    strategy = find_strategy(name)
    if code in {"", loaded_code(strategy)}:  # who names none takes what there is
        return
    there = code_of(strategy)
    if code != there or loaded_code(reload(name)) != code:
        raise InputError(f"CODE_CHANGED: strategy={name}, asked={code[:12]}, there={there[:12]}; ask again")


def failures(core: Core) -> list[Entry]:
    """What ends the strategies that run and whose code is gone, as facts that a rerun takes from the inbox too.

    Those whose code is another than the log says are named to the log of the machine, and go on by it.
    """
    known = strategies()
    entries: list[Entry] = []
    for bot in core.keys(DECIDER.kind):
        state: StrategyState = core.state(DECIDER.kind, bot)
        if state.status != "running":
            continue
        strategy = known.get(state.strategy)
        if strategy is None:
            error = f"the code of strategy {state.strategy} is gone; there is {', '.join(sorted(known))}"
            _log.error("%s: %s", bot, error)
            entries.append(Entry(ACTOR, FailStrategy(bot, error)))
        elif state.code not in {"", loaded_code(strategy)}:
            text = "%s: the code of strategy %s is not that which it was configured with; configure it anew"
            _log.warning(text, bot, state.strategy)
    return entries
