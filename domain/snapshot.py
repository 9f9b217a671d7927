"""A core's state at one place of its log: what restoring the records up to there would make, as plain values.

Neither prices nor the clock are in it: those come from the market, which tells them again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from domain.account.state import AccountState
from domain.bot.state import BotState
from domain.execution_pool.state import PoolState
from domain.portfolio_risk.state import RiskState
from domain.position_group.state import GroupState
from domain.signal.decider import SourceState
from domain.strategy.decider import StrategyState
from domain.values import InstrumentId
from domain.wakes import Key, Timer

STATES: Mapping[str, tuple[Any, type[Struct]]] = {
    "account": (str, AccountState),
    "bot": (str, BotState),
    "execution_pool": (str, PoolState),
    "portfolio_risk": (str, RiskState),
    "position_group": (tuple[str, int], GroupState),
    "signal": (str, SourceState),
    "strategy": (str, StrategyState),
}
"""What keys and states of each kind are."""


class OpenStream(Struct, frozen=True):
    """An open stream: its aggregate's key, its number and latest version, its aggregate's state."""

    key: Any
    number: int
    version: int
    state: Any


class Snapshot(Struct, frozen=True):
    """All open streams of each kind in the order in which they opened, and what they wait for.

    `opened` is the number of the last stream. Timers are in the order in which they come. `rounds` and `watches` name who
    waits, in the order in which they began to: for what, their states say.
    """

    opened: int
    streams: Mapping[str, Sequence[OpenStream]]
    timers: Sequence[Timer]
    rounds: Sequence[Key]
    watches: Mapping[InstrumentId, Sequence[Key]]


def copy_of(state: Any) -> Any:  # noqa: ANN401  (each aggregate has a state of its own type)
    """The state by itself: its collections may change without those of the original."""
    if state.__struct_config__.frozen:
        return state
    fields = ((name, getattr(state, name)) for name in state.__struct_fields__)
    return structs.replace(
        state, **{name: value.copy() for name, value in fields if isinstance(value, dict | set | deque)}
    )
