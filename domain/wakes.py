"""What wakes the core beside its input: commands that are due at a time, prices that position groups wait for."""

from collections.abc import Container
from heapq import heappop, heappush
from typing import Any

from msgspec import Struct

from domain.decider import Quiet
from domain.message import Command, EventId
from domain.ports import FOREVER, Mark
from domain.values import LARGEST, InstrumentId, Time

Key = tuple[str, Any]
"""Who waits: a position group by its bot and number, whose rounds rest by kind and key."""
NOWHERE = (-LARGEST, LARGEST)
"""The bounds of an instrument that nobody watches."""


class Watch(Struct, frozen=True):
    """Prices at which a group wants to look: a candle's low at or below the first, its high at or above the second.

    They come from the levels that follow, 0 where there is none: the hybrid target, a close that is better than the best,
    and how far the price may leave the entries behind.
    """

    instrument: InstrumentId
    below: int
    above: int
    target: int = 0
    best: int = 0
    away: int = 0

    def reached(self, mark: Mark) -> bool:
        """Whether the market has been there; a mark without low and high is a price alone."""
        low = mark.price if mark.low is None else mark.low
        high = mark.price if mark.high is None else mark.high
        return low <= self.below or high >= self.above


class Timer(Struct, frozen=True):
    """A command that is due at a time."""

    at: Time
    command: Command
    cause: EventId


class Timers:
    """Commands by the time at which they are due, the first at `next`; of one time, in the order in which they were set."""

    def __init__(self) -> None:
        self.next = FOREVER
        self._heap: list[tuple[Time, int, Command, EventId]] = []
        self._set = 0

    def put(self, at: Time, command: Command, cause: EventId) -> None:
        self._set += 1
        heappush(self._heap, (at, self._set, command, cause))
        self.next = self._heap[0][0]

    def take(self, until: Time) -> list[tuple[Command, EventId]]:
        """Those that are due, which are forgotten."""
        due: list[tuple[Command, EventId]] = []
        while self._heap and self._heap[0][0] <= until:
            _, _, command, cause = heappop(self._heap)
            due.append((command, cause))
        self.next = self._heap[0][0] if self._heap else FOREVER
        return due

    def waiting(self) -> list[Timer]:
        """All of them, in the order in which they come."""
        return [Timer(at, command, cause) for at, _, command, cause in sorted(self._heap, key=lambda each: each[:2])]


class Rounds:
    """Commands that come again and again, at every full multiple of a period: nothing has to be remembered of the last.

    `any` says whether anybody wants some.
    """

    def __init__(self, watches: "Watches") -> None:
        self.any = False
        self._rounds: dict[Key, tuple[int, Command]] = {}
        self._resting: dict[Key, Quiet] = {}
        self._watches = watches

    def put(self, key: Key, wanted: tuple[int, Command] | None) -> None:
        """From now on this comes, or nothing."""
        self.stir(key)
        if wanted is None:
            self._rounds.pop(key, None)
        else:
            self._rounds[key] = wanted
        self.any = bool(self._rounds)

    def wanted(self) -> list[Key]:
        """Who wants any, in the order in which they first did."""
        return list(self._rounds)

    def next(self, at: Time) -> Time:
        """When the first is due after a time."""
        return min((self._next_of(key, period, at) for key, (period, _) in self._rounds.items()), default=FOREVER)

    def _next_of(self, key: Key, period: int, at: Time) -> Time:
        """The first full period after a time; of those that rest, not before they have rested."""
        quiet = self._resting.get(key)
        if quiet is None:
            return Time(at - at % period + period)
        if quiet.until is None:
            return FOREVER
        last = max(at, quiet.until - 1)
        return Time(last - last % period + period)

    def due(self, at: Time) -> dict[Key, Command]:
        """Those of which a period is full, in the order in which they were first wanted."""
        return {key: command for key, (period, command) in self._rounds.items() if at % period == 0}

    def rests(self, key: Key, at: Time) -> bool:
        """Whether one that is due would come to nothing."""
        quiet = self._resting.get(key)
        return quiet is not None and (quiet.until is None or at < quiet.until)

    def rest(self, key: Key, quiet: Quiet) -> None:
        """They come to nothing for so long."""
        self._resting[key] = quiet
        for instrument, bounds in quiet.inside.items():
            self._watches.put(key, instrument, Watch(instrument, *bounds))

    def stir(self, key: Key) -> bool:
        """They may come to something again; whether they rested."""
        quiet = self._resting.pop(key, None)
        if quiet is None:
            return False
        for instrument in quiet.inside:
            self._watches.put(key, instrument, None)
        return True


class Watches:
    """Who waits for which prices of an instrument, and the bounds of all of them in `watched`."""

    def __init__(self, watched: dict[InstrumentId, tuple[int, int]]) -> None:
        self._watched = watched
        self._watches: dict[InstrumentId, dict[Key, Watch]] = {}

    def put(self, key: Key, instrument: InstrumentId, watch: Watch | None) -> None:
        """From now on this is what the owner waits for, or nothing."""
        watches = self._watches.setdefault(instrument, {})
        before = watches.get(key)
        if before == watch:
            return
        if watch is None:
            del watches[key]
        else:
            watches[key] = watch
        if not watches:
            del self._watched[instrument]
            return
        below, above = self._watched.get(instrument, NOWHERE)
        if watch is not None:
            below, above = max(below, watch.below), min(above, watch.above)
        # Only from one that stood on a bound can the bound move back: all are looked through as seldom as that.
        if before is not None and before.below == below and (watch is None or watch.below < below):
            below = max(each.below for each in watches.values())
        if before is not None and before.above == above and (watch is None or watch.above > above):
            above = min(each.above for each in watches.values())
        self._watched[instrument] = (below, above)

    def waiting(self, among: Container[object]) -> dict[InstrumentId, list[Key]]:
        """Who of them waits for an instrument's prices, in the order in which they began to wait."""
        found = {name: [key for key in watches if key in among] for name, watches in self._watches.items()}
        return {name: keys for name, keys in found.items() if keys}

    def reached(self, mark: Mark) -> list[tuple[Key, Watch]]:
        """Who must look now, in the order in which they began to wait."""
        bounds = self._watched.get(mark.instrument)
        if bounds is None or not Watch(mark.instrument, *bounds).reached(mark):
            return []
        return [(key, watch) for key, watch in self._watches[mark.instrument].items() if watch.reached(mark)]
