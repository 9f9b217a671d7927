"""A strategy on a tape: its features, a column each, and the candles at which it may act."""

from collections.abc import Mapping
from itertools import repeat
from operator import getitem
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from domain.errors import InputError
from domain.ports import Wake
from domain.strategy.plugin import Strategy, feature_names
from infrastructure.market_data.columns_file import integers
from infrastructure.market_data.tape import Tape
from infrastructure.venues.scans import Scans


class Prepared(Struct, frozen=True, eq=False):
    """The columns are as long as the tape and have values from candle `first` on.

    `mask` says of each candle whether the strategy may act at its close, `watches` that it may also wait for prices.
    """

    bot: str
    columns: tuple[memoryview, ...]
    mask: memoryview
    first: int
    watches: bool

    def wake(self, index: int) -> Wake:
        """The question at a candle's close, with the features there."""
        return Wake(self.bot, tuple(map(getitem, self.columns, repeat(index))))


def prepare(bot: str, strategy: Strategy, parameters: Any, tape: Tape, scans: Scans | None = None) -> Prepared:
    """Scan the features over the whole tape; each value depends on its candle and those before it only."""
    scans = Scans() if scans is None else scans
    features = strategy.features(parameters)
    names = feature_names(features)
    arrays = [array for each in features.values() for array in scans.of(each, tape.columns)]
    first = max((each.first for each in features.values()), default=0)
    mask = _mask(strategy, parameters, dict(zip(names, arrays, strict=True)), len(tape))
    mask[:first] = False
    if len(mask):
        mask[-1] = False  # what was decided there could not be carried out any more
    watches = strategy.watch is not None
    return Prepared(bot, tuple(array.data for array in arrays), mask.view(np.uint8).data, first, watches)


def _mask(
    strategy: Strategy,
    parameters: Any,
    columns: Mapping[str, NDArray[Any]],
    candles: int,
) -> NDArray[np.bool_]:
    if strategy.may_act is None:
        return np.full(candles, strategy.watch is None)
    mask = np.ascontiguousarray(strategy.may_act(parameters, columns), np.bool_)
    if mask.shape != (candles,):
        raise InputError(f"strategy {strategy.name}: may_act gave {mask.shape} values, not one for each of {candles}")
    return mask.copy()


def wakes_of(prepared: list[Prepared]) -> memoryview:
    """The candles at which any of these may act, in order."""
    if not prepared:
        return np.empty(0, np.int64).data
    masks = [np.frombuffer(each.mask, np.bool_) for each in prepared]
    return np.flatnonzero(np.logical_or.reduce(masks)).data


def low_and_high(tape: Tape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both columns for vectorised search."""
    return integers(tape.lows), integers(tape.highs)
