"""Whether a strategy decides from what was known then and from nothing else: the same tape, cut, altered, played again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from random import Random
from typing import Any, Literal

import numpy as np
from msgspec import Struct, structs

from domain.errors import InputError
from domain.market import Instrument
from domain.message import Event, Record
from domain.strategy.events import StrategyActed, StrategyFailed
from domain.strategy.intents import Close, Intent, Place
from domain.strategy.plugin import feature_names
from domain.strategy.registry import memory_of
from domain.values import Time
from infrastructure.market_data.columns_file import integers, view
from infrastructure.market_data.tape import Tape
from infrastructure.venues.lane import Pace
from infrastructure.venues.prepared import Prepared, prepare
from replay.game import Game, Played, StrategySetup, play

Test = Literal["again", "every", "stepped", "cut", "higher", "lower"]
Advance = Callable[[int], None]
LOWERED = 4
"""Of candles that are replaced by lower ones so much of the price is left: a part of it."""


class Difference(Struct, frozen=True):
    """Where two runs part that must not: at the close of the candle that opened `at`, in a feature, the mask, a decision.

    `test` is what was done with the second: played again, asked at every candle, features stepped; its tape cut `since`
    a time, or the candles from there on replaced by higher or lower ones.
    """

    test: Test
    bot: str
    name: str
    at: Time
    first: str
    second: str
    since: Time | None = None


class Findings(Struct, frozen=True):
    """What a shift test looked at, and the first difference; `failed` are the strategies that broke."""

    candles: int
    cuts: int
    decisions: int
    features: Mapping[str, tuple[str, ...]]
    failed: Mapping[str, str]
    difference: Difference | None = None


class Decision(Struct, frozen=True):
    """What a strategy did at the close of a candle, or at a fill in it."""

    at: Time
    event: StrategyActed | StrategyFailed


class Seen(Struct, frozen=True, eq=False):
    """A run: what each strategy saw, prepared, and what all of them decided."""

    game: Game
    prepared: tuple[Prepared, ...]
    decisions: list[Decision]


def runs_of_shift_test(cuts: int) -> int:
    """How many backtests a shift test plays at most."""
    return 3 + 3 * cuts


def shift_test(game: Game, cuts: int, seed: int = 1, advance: Advance = lambda _done: None) -> Findings:
    """Compare the run with itself, and up to each cut with runs on tapes that are other ones from there on.

    Half of the cuts are drawn from all candles, half follow a candle at which something was decided. Raises InputError
    where the tape is too short.
    """
    whole = seen(game)
    advance(1)
    places = _cuts(whole, cuts, Random(seed))  # noqa: S311  (the same cuts from the same seed)
    names = {each.bot: _names(each) for each in game.strategies}
    failed = {each.event.bot: each.event.error for each in whole.decisions if isinstance(each.event, StrategyFailed)}
    difference = None
    for done, found in enumerate(_compared(whole, places), 2):
        advance(done)
        difference = found
        if found is not None:
            break
    return Findings(game.candles, len(places), len(whole.decisions), names, failed, difference)


def seen(game: Game, pace: Pace = "skip") -> Seen:
    """Play a game and keep what its strategies saw and decided."""
    decisions = _Decisions()
    play(game, decisions, pace=pace)
    tapes = {market.instrument.id: market.tape for market in game.markets}
    prepared = tuple(
        prepare(each.bot, each.strategy, each.parameters, tapes[each.instrument]) for each in game.strategies
    )
    return Seen(game, prepared, decisions.found)


def cut(game: Game, start: int, end: int) -> Game:
    """The game on the candles that open from one time on and before another."""
    return _on_tapes(game, lambda market: market.tape.slice(Time(start), Time(end)))


def _compared(whole: Seen, places: Sequence[Time]) -> Iterator[Difference | None]:
    """A difference or None for each thing that is done."""
    last = max(market.tape.open_times[-1] for market in whole.game.markets)
    yield _parted("again", whole, seen(whole.game), last)
    yield _stepped(whole) or _parted("every", whole, seen(whole.game, "every"), last)
    for since in places:
        before = min(_last_before(market.tape, since) for market in whole.game.markets)
        # At a tape's last candle features are known, and nobody is asked any more.
        yield _parted("cut", whole, seen(cut(whole.game, 0, since)), before - 1, since, known=before)
        for test in ("higher", "lower"):
            other = _on_tapes(whole.game, lambda market: _replaced(market, since, test))  # noqa: B023  (used at once)
            yield _parted(test, whole, seen(other), before, since)


def _last_before(tape: Tape, since: Time) -> int:
    last: int = tape.slice(Time(0), since).open_times[-1]
    return last


def _cuts(whole: Seen, count: int, chance: Random) -> list[Time]:
    game = whole.game
    times = max((market.tape.open_times for market in game.markets), key=len)
    warm = 2 + max((each.first for each in whole.prepared), default=0)
    late = max(market.tape.open_times[min(2, len(market.tape) - 1)] for market in game.markets)
    places = [index for index in range(warm, len(times)) if times[index] >= late]
    if not places:
        raise InputError(
            f"the tape has {len(times)} candles; allowed: more than the {warm} that features and a cut need"
        )
    acted = {each.at for each in whole.decisions}
    after = [index for index in places if times[index - 1] in acted]
    drawn = chance.sample(after, min(len(after), count // 2))
    rest = [index for index in places if index not in set(drawn)]
    drawn += chance.sample(rest, min(len(rest), count - len(drawn)))
    return [Time(times[index]) for index in sorted(drawn)]


def _parted(
    test: Test, first: Seen, second: Seen, until: int, since: Time | None = None, *, known: int | None = None
) -> Difference | None:
    """The first difference at candles that opened by `until`: of features and masks before decisions.

    Features are compared up to `known`, where that is not the same.
    """
    for setup, one, other in zip(first.game.strategies, first.prepared, second.prepared, strict=True):
        tape = _tape_of(first.game, setup)
        seen_upto = len(tape.slice(Time(0), Time((known or until) + 1)))
        asked_upto = len(tape.slice(Time(0), Time(until + 1)))
        columns = [
            (name, ours[:seen_upto], theirs[:seen_upto])
            for name, ours, theirs in zip(_names(setup), one.columns, other.columns, strict=True)
        ]
        found = _first_other([*columns, ("may_act", one.mask[:asked_upto], other.mask[:asked_upto])])
        if found is not None:
            name, index, before, after = found
            return Difference(test, setup.bot, name, Time(tape.open_times[index]), before, after, since)
    for left, right in zip_longest(_until(first, until), _until(second, until)):
        if left != right:
            return _decided_otherwise(test, first.game, (left, right), since)
    return None


def _stepped(whole: Seen) -> Difference | None:
    """Features candle by candle, as on a living market."""
    for setup, prepared in zip(whole.game.strategies, whole.prepared, strict=True):
        tape = _tape_of(whole.game, setup)
        steppers = [each.begin() for each in setup.strategy.features(setup.parameters).values()]
        candles = zip(tape.opens, tape.highs, tape.lows, tape.closes, tape.volumes, strict=True)
        for index, candle in enumerate(candles):
            stepped = [step(*candle) for step in steppers]
            if index < prepared.first:
                continue
            flat = tuple(value for values in stepped for value in values or (None,))
            scanned = prepared.wake(index).values
            if repr(flat) != repr(scanned):  # in which NaN is NaN, and every bit shows
                place = next(
                    at for at, pair in enumerate(zip(flat, scanned, strict=True)) if len(set(map(repr, pair))) > 1
                )
                name, at = _names(setup)[place], Time(tape.open_times[index])
                return Difference("stepped", setup.bot, name, at, repr(scanned[place]), repr(flat[place]))
    return None


def _first_other(columns: Sequence[tuple[str, memoryview, memoryview]]) -> tuple[str, int, str, str] | None:
    """(name, index, values) of the first candle at which two columns have other bits."""
    found = None
    for name, one, other in columns:
        differ = np.flatnonzero(_bits(one) != _bits(other))
        if len(differ) and (found is None or differ[0] < found[1]):
            index = int(differ[0])
            found = name, index, repr(one[index]), repr(other[index])
    return found


def _bits(column: memoryview) -> Any:
    array = np.asarray(column)
    return array.view(np.dtype(f"u{array.itemsize}"))


def _until(run: Seen, until: int) -> list[Decision]:
    return [each for each in run.decisions if each.at <= until]


def _decided_otherwise(
    test: Test, game: Game, pair: tuple[Decision | None, Decision | None], since: Time | None
) -> Difference:
    found = min((each for each in pair if each is not None), key=lambda each: each.at)
    bot = found.event.bot
    setup = next(each for each in game.strategies if each.bot == bot)
    instrument = next(market.instrument for market in game.markets if market.instrument.id == setup.instrument)
    # The later of two decisions says nothing of the earlier candle: there only one of them decided.
    ours, theirs = (
        _told(each.event, instrument, setup) if each is not None and each.at == found.at else "nothing" for each in pair
    )
    name = "on_fill" if isinstance(found.event, StrategyActed) and found.event.order else "on_candle"
    return Difference(test, bot, name, found.at, ours, theirs, since)


def _told(event: StrategyActed | StrategyFailed, instrument: Instrument, setup: StrategySetup) -> str:
    """A decision as a person reads it."""
    if isinstance(event, StrategyFailed):
        return f"{event.bot} broke: {event.error}"
    wanted = ", ".join(_intent(each, instrument) for each in event.intents) or "no order"
    memory = None if event.memory is None else memory_of(setup.strategy.name, event.memory or None)
    remembers = "" if event.memory is None else f", remembering {memory}"
    return f"{event.bot}, holding {instrument.size_text(event.position)}: {wanted}{remembers}"


def _intent(intent: Intent, instrument: Instrument) -> str:
    if isinstance(intent, Place):
        prices = [instrument.price_text(each) for each in (intent.stop, intent.limit) if each is not None]
        words = [intent.side, intent.type, instrument.size_text(intent.quantity), *prices, f"leg {intent.leg}"]
        return " ".join(words)
    if isinstance(intent, Close):
        return "close"
    return "cancel" if intent.legs is None else f"cancel legs {list(intent.legs)}"


def _replaced(market: Played, since: Time, test: str) -> Tape:
    """The tape with its candles from a time on taken backwards, and far above or below where they were."""
    tape, tick = market.tape, market.instrument.tick
    first = len(tape.slice(Time(0), since))
    if first == len(tape):
        return tape
    high, low = (integers(column)[first:][::-1] for column in (tape.highs, tape.lows))
    rise = int(high.max()) - int(low.min()) + tick

    def moved(column: memoryview, before: memoryview) -> memoryview:
        prices = integers(column)[first:][::-1]
        prices = prices + rise if test == "higher" else np.maximum(prices // LOWERED // tick, 1) * tick
        return view(np.concatenate((integers(before)[:first], prices)))

    volumes = np.concatenate((integers(tape.volumes)[:first], integers(tape.volumes)[first:][::-1]))
    return structs.replace(
        tape,
        opens=moved(tape.closes, tape.opens),
        highs=moved(tape.highs, tape.highs),
        lows=moved(tape.lows, tape.lows),
        closes=moved(tape.opens, tape.closes),
        volumes=view(volumes),
    )


def _on_tapes(game: Game, tape_for: Callable[[Played], Tape]) -> Game:
    return structs.replace(
        game, markets=tuple(structs.replace(market, tape=tape_for(market)) for market in game.markets)
    )


def _tape_of(game: Game, setup: StrategySetup) -> Tape:
    return next(market.tape for market in game.markets if market.instrument.id == setup.instrument)


def _names(setup: StrategySetup) -> tuple[str, ...]:
    return feature_names(setup.strategy.features(setup.parameters))


class _Decisions:
    """A ledger that keeps what strategies decided and nothing else."""

    def __init__(self) -> None:
        self.found: list[Decision] = []

    def append(self, records: list[Record[Event]]) -> None:
        self.found += [
            Decision(record.at, event)
            for record in records
            for event in record.events
            if isinstance(event, StrategyActed | StrategyFailed)
        ]
