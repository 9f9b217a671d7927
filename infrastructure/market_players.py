"""Simulated markets that move by themselves: threads that push candles into the inbox until they are stopped."""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from typing import Self

from domain.errors import StoreError
from domain.market import Candle
from domain.values import SECOND, InstrumentId, Price, Quantity, Time
from infrastructure.inbox import Entry, Inbox, MarketCandle
from infrastructure.market_data.random_walk import walk
from infrastructure.market_data.tape import Tape

BATCH = 500
"""Candles that one put takes at most, where a tape plays faster than the inbox is written."""
_log = logging.getLogger(__name__)


class MarketPlayer(ABC):
    """A thread that plays one instrument into the inbox. Use it as a context manager."""

    def __init__(self, inbox: Inbox, instrument: InstrumentId) -> None:
        self.stopping = threading.Event()
        self._inbox = inbox
        self._instrument = instrument
        self._thread = threading.Thread(target=self._play, name="truetape-market", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._thread.join()

    @abstractmethod
    def due(self, last: MarketCandle | None) -> Iterator[list[Candle]]:
        """Wait for candles to be due, and give them; `last` is what the market had when the player began."""

    def _play(self) -> None:
        for candles in self.due(self._last()):
            try:
                self._inbox.put([self._entry(candle) for candle in candles])
            except StoreError as error:
                _log.warning("the market of %s pauses: %s", self._instrument, error)
            if self.stopping.is_set():
                return

    def _entry(self, candle: Candle) -> Entry:
        """A candle is put once, however often the player is started again."""
        key = f"{self._instrument} {candle.open_time}"
        return Entry("market", MarketCandle(self._instrument, candle), key)

    def _last(self) -> MarketCandle | None:
        for pushed in self._inbox.last_prints(2**62):
            if isinstance(pushed, MarketCandle) and pushed.instrument == self._instrument:
                return pushed
        return None


class WalkingMarket(MarketPlayer):
    """A random walk of one candle a second at the wall clock's time, from the market's last price on, or from `home`."""

    def __init__(self, inbox: Inbox, instrument: InstrumentId, home: Price, seed: int | None = None) -> None:
        super().__init__(inbox, instrument)
        self._home = home
        self._chance = random.Random(seed)  # noqa: S311  (a market to look at, not a secret)

    def due(self, last: MarketCandle | None) -> Iterator[list[Candle]]:
        candles = walk(self._chance, last.candle.close if last else self._home, self._home)
        while not self.stopping.wait(1 - time.time() % 1):
            at = Time(time.time_ns() // 1000 // SECOND * SECOND)
            open_, high, low, close, volume = next(candles)
            yield [Candle(at, Price(open_), Price(high), Price(low), Price(close), Quantity(volume))]


class PlayingTape(MarketPlayer):
    """An imported tape at `speed` times its own time, from where the market left off; its prices are the instrument's."""

    def __init__(self, inbox: Inbox, instrument: InstrumentId, tape: Tape, speed: int) -> None:
        super().__init__(inbox, instrument)
        self._tape = tape
        self._speed = speed

    def due(self, last: MarketCandle | None) -> Iterator[list[Candle]]:
        times = self._tape.open_times
        index = bisect_right(times, last.candle.open_time) if last else 0
        began, first = time.monotonic_ns(), times[index] if index < len(times) else 0
        while index < len(times):
            now = first + (time.monotonic_ns() - began) // 1000 * self._speed
            end = min(bisect_right(times, now, index), index + BATCH)
            if end > index:
                yield [self._candle(at) for at in range(index, end)]
                index = end
            elif self.stopping.wait(min(1.0, (times[index] - now) / SECOND / self._speed)):
                return

    def _candle(self, index: int) -> Candle:
        tape = self._tape
        return Candle(
            Time(tape.open_times[index]), Price(tape.opens[index]), Price(tape.highs[index]), Price(tape.lows[index]),
            Price(tape.closes[index]), Quantity(tape.volumes[index]),
        )  # fmt: skip
