"""The features of running strategies on a market whose candles come one by one: the bits that a backtest scans."""

from collections.abc import Iterable, Sequence

from domain.engine import Core
from domain.message import Command
from domain.ports import Wake
from domain.strategy.commands import ConfigureStrategy, StartStrategy
from domain.strategy.decider import DECIDER, StrategyState
from domain.strategy.feature import Values
from domain.strategy.registry import parameters_of
from domain.values import InstrumentId
from infrastructure.inbox import MarketCandle


class Steps:
    """A strategy's features, stepped from the first candle after its parameters came into force."""

    def __init__(self, strategy: str, parameters: str) -> None:
        self.parameters = parameters
        plugin, decoded = parameters_of(strategy, parameters)
        features = plugin.features(decoded).values()
        self._steppers = [each.begin() for each in features]
        self._warming = max((each.first for each in features), default=0)

    def step(self, pushed: MarketCandle) -> Values | None:
        """The values at this candle, None while they warm up."""
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
                    values = self._of(bot, state.strategy, state.parameters).step(each)
                    if values is not None:
                        found.append(Wake(bot, values))
        return found

    def restore(self, history: Iterable[Command | MarketCandle]) -> None:
        """Step through what was taken before: commands to strategies, and candles of their instruments."""
        running: dict[str, tuple[InstrumentId, str, str]] = {}
        for each in history:
            if isinstance(each, StartStrategy):
                running.setdefault(each.bot, (each.instrument.id, each.strategy, each.parameters))
            elif isinstance(each, ConfigureStrategy) and each.bot in running:
                instrument, strategy, _ = running[each.bot]
                running[each.bot] = instrument, strategy, each.parameters
            elif isinstance(each, MarketCandle):
                for bot, (instrument, strategy, parameters) in running.items():
                    if instrument == each.instrument:
                        self._of(bot, strategy, parameters).step(each)

    def _of(self, bot: str, strategy: str, parameters: str) -> Steps:
        steps = self._steps.get(bot)
        if steps is None or steps.parameters != parameters:
            steps = self._steps[bot] = Steps(strategy, parameters)
        return steps
