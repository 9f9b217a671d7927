"""The features of running strategies on a market whose candles come one by one: the bits that a backtest scans."""

import logging
from collections.abc import Iterable, Sequence

from domain.engine import Core
from domain.indicators import Stepper
from domain.message import Command
from domain.ports import Wake
from domain.strategy.commands import ConfigureStrategy, StartStrategy
from domain.strategy.decider import DECIDER, StrategyState
from domain.strategy.feature import Values
from domain.strategy.registry import parameters_of
from infrastructure.inbox import MarketCandle

Made = tuple[str, str]
"""What features are made of: parameters, and the digest of the code."""
UNKNOWN: Values = ()
_log = logging.getLogger(__name__)


class Steps:
    """A strategy's features, stepped from the first candle after its parameters and its code came into force.

    Where that code is gone or breaks, no values are told: its strategy then fails by itself, and the market goes on.
    """

    def __init__(self, strategy: str, made: Made) -> None:
        self.made = made
        self._strategy = strategy
        self._steppers: list[Stepper] = []
        self._warming = 0
        self._broken = False
        try:
            plugin, decoded = parameters_of(strategy, made[0])
            features = plugin.features(decoded).values()
            self._steppers = [each.begin() for each in features]
            self._warming = max((each.first for each in features), default=0)
        except Exception as error:  # noqa: BLE001  (whatever a strategy's code does, the market goes on without it)
            self._break(error)

    def step(self, pushed: MarketCandle) -> Values | None:
        """The values at this candle, None while they warm up."""
        try:
            return UNKNOWN if self._broken else self._step(pushed)
        except Exception as error:  # noqa: BLE001  (as above)
            self._break(error)
            return UNKNOWN

    def _break(self, error: Exception) -> None:
        self._broken = True
        _log.error("the features of strategy %s cannot be computed: %r", self._strategy, error)

    def _step(self, pushed: MarketCandle) -> Values | None:
        candle = pushed.candle
        found = [step(candle.open, candle.high, candle.low, candle.close, candle.volume) for step in self._steppers]
        if self._warming:
            self._warming -= 1
            return None
        return tuple(value for values in found if values is not None for value in values)


class LiveFeatures:
    """Asks every running strategy at every candle of its instrument, as a backtest at the pace `every` does."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._steps: dict[str, Steps] = {}

    def wakes(self, pushed: Sequence[MarketCandle]) -> list[Wake]:
        """The questions at these candles, strategy by strategy in the order in which they were started."""
        bots = self._core.keys(DECIDER.kind)
        found: list[Wake] = []
        for each in pushed:
            for bot in bots:
                state: StrategyState = self._core.state(DECIDER.kind, bot)
                if state.instrument is not None and state.instrument.id == each.instrument:
                    values = self._of(bot, state.strategy, (state.parameters, state.code)).step(each)
                    if values is not None:
                        found.append(Wake(bot, values))
        return found

    def restore(self, history: Iterable[Command | MarketCandle]) -> None:
        """Step through what was taken before: commands to strategies, and candles of their instruments."""
        started: dict[str, StrategyState] = {}
        for each in history:
            if isinstance(each, StartStrategy | ConfigureStrategy):
                self._command(started, each)
            elif isinstance(each, MarketCandle):
                for state in started.values():
                    if state.instrument is not None and state.instrument.id == each.instrument:
                        self._of(state.bot, state.strategy, (state.parameters, state.code)).step(each)

    def _command(self, started: dict[str, StrategyState], command: StartStrategy | ConfigureStrategy) -> None:
        """What the shard made of it: one that was refused changed nothing."""
        state = started.get(command.bot, StrategyState())
        if state.bot or isinstance(command, StartStrategy):
            for event in DECIDER.rules[type(command)](state, command):
                state = DECIDER.folds[type(event)](state, event)
            if state.bot:
                started[command.bot] = state

    def _of(self, bot: str, strategy: str, made: Made) -> Steps:
        steps = self._steps.get(bot)
        if steps is None or steps.made != made:
            steps = self._steps[bot] = Steps(strategy, made)
        return steps
