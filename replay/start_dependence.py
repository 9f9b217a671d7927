"""How much of what a strategy sees and decides depends on where its tape begins, and how long that lasts."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.errors import InputError
from domain.strategy.events import StrategyActed
from domain.strategy.intents import Intent
from domain.strategy.plugin import feature_names
from domain.values import TIME_END, Time
from infrastructure.market_data.tape import Tape
from replay.game import Game
from replay.honesty import Seen, cut, seen

BEGINS = (100, 500, 1000)
"""So many candles later the tape begins."""
AFTER = (0, 100, 500, 1000, 5000)
"""After so many candles of the later tape its values are looked at."""
Advance = Callable[[int], None]


class Drift(Struct, frozen=True):
    """A feature on a tape that begins later: its largest relative difference at the same candles, by how many came before.

    None stands where no candle is left.
    """

    bot: str
    feature: str
    later: int
    after: Mapping[int, float | None]

    @property
    def rest(self) -> float:
        """What is left after the most candles that there are."""
        known = [each for each in self.after.values() if each is not None]
        return known[-1] if known else 0.0


class Parting(Struct, frozen=True):
    """A strategy's decisions on a tape that begins later, beside those on the whole one from the same candle on.

    `last` is the open time of the last candle at which they differ.
    """

    bot: str
    later: int
    whole: int
    late: int
    same: int
    last: Time | None


class StartReport(Struct, frozen=True):
    """What depends on where the tape begins."""

    candles: int
    drifts: tuple[Drift, ...]
    partings: tuple[Parting, ...]


def start_test(
    game: Game,
    begins: Sequence[int] = BEGINS,
    after: Sequence[int] = AFTER,
    advance: Advance = lambda _done: None,
) -> StartReport:
    """Play the game on its tapes from later candles on. Raises InputError where a tape has not so many."""
    longest = max((market.tape for market in game.markets), key=len)
    if max(begins) >= len(longest):
        raise InputError(f"the tape has {len(longest)} candles; allowed: more than the {max(begins)} that are left out")
    whole = seen(game)
    advance(1)
    drifts: list[Drift] = []
    partings: list[Parting] = []
    for done, later in enumerate(begins, 2):
        start = Time(longest.open_times[later])
        late = seen(cut(game, start, TIME_END))
        drifts += _drifts(whole, late, later, after)
        partings += _partings(whole, late, later, start)
        advance(done)
    return StartReport(game.candles, tuple(drifts), tuple(partings))


def _drifts(whole: Seen, late: Seen, later: int, after: Sequence[int]) -> list[Drift]:
    found = []
    tapes: dict[str, Tape] = {market.instrument.id: market.tape for market in late.game.markets}
    for setup, ours, theirs in zip(whole.game.strategies, whole.prepared, late.prepared, strict=True):
        length = len(tapes[setup.instrument])
        for name, one, other in zip(
            feature_names(setup.strategy.features(setup.parameters)), ours.columns, theirs.columns, strict=True
        ):
            differences = _relative(np.asarray(one)[len(one) - length :], np.asarray(other))
            rests = {count: _largest(differences[max(theirs.first, count) :]) for count in after}
            found.append(Drift(setup.bot, name, later, rests))
    return found


def _relative(ours: NDArray[np.generic], theirs: NDArray[np.generic]) -> NDArray[np.float64]:
    """|a - b| / max(|a|, |b|); 0 where both are the same, NaN and NaN too, 1 where one of them is NaN."""
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    size = np.maximum(np.abs(a), np.abs(b))
    found = np.divide(np.abs(a - b), size, out=np.zeros_like(size), where=size > 0)
    same = (ours == theirs) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isnan(found) | (np.isnan(a) != np.isnan(b)), 1.0, found))


def _largest(differences: NDArray[np.float64]) -> float | None:
    return float(differences.max()) if len(differences) else None


def _partings(whole: Seen, late: Seen, later: int, start: Time) -> list[Parting]:
    found = []
    for setup in whole.game.strategies:
        ours, theirs = (_decided(run, setup.bot, start) for run in (whole, late))
        same = sum(theirs.get(at) == wanted for at, wanted in ours.items())
        last = max((at for at in {*ours, *theirs} if ours.get(at) != theirs.get(at)), default=None)
        found.append(Parting(setup.bot, later, len(ours), len(theirs), same, last))
    return found


def _decided(run: Seen, bot: str, start: Time) -> dict[Time, list[Intent]]:
    """What a strategy wanted, candle by candle."""
    wanted: dict[Time, list[Intent]] = {}
    for each in run.decisions:
        event = each.event
        if isinstance(event, StrategyActed) and event.bot == bot and each.at >= start and event.intents:
            wanted.setdefault(each.at, []).extend(event.intents)
    return wanted
