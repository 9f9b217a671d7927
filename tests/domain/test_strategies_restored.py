"""Strategies survive a restart: a core made from records, or from a snapshot, goes on to the same bytes."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.account.commands import SetRiskLimits
from domain.engine import Core
from domain.message import Command, Event, Record
from domain.strategy.events import StrategyActed
from infrastructure.event_store.codec import decode as decode_record
from infrastructure.event_store.codec import encode as encode_record
from infrastructure.event_store.snapshot_codec import decode, encode
from replay.game import Game, market_of
from tests.domain.risk.limited import limits
from tests.strategy_game import CROSS, GRID, RICH_GRID, candles, counted, game_of, played, setup_of

CANDLES = 2_500
LIMITS: tuple[Command, ...] = (
    SetRiskLimits("main", limits(bot_daily_loss_max="90", value_every_seconds=3600, flatten=True)),
)
GAMES = {
    "a grid with options": ([setup_of("grid", "grid", RICH_GRID)], ()),
    "a grid that is halted": ([setup_of("grid", "grid", {**GRID, "quantity": "0.05"})], LIMITS),
    "a cross that is halted": ([setup_of("cross", "sma_cross", CROSS)], LIMITS),
    "three at once": (
        [setup_of("rich", "grid", RICH_GRID), setup_of("cross", "sma_cross", CROSS), setup_of("grid", "grid", GRID)],
        (),
    ),
}
TAPE = candles(CANDLES)


def game(name: str) -> Game:
    strategies, commands = GAMES[name]
    return game_of(strategies, TAPE, commands=commands)


def log_of(records: list[Record[Event]]) -> bytes:
    return b"".join(map(encode_record, records))


class Restarted:
    """The loop of a backtest whose core is made anew, from its log, after some steps."""

    def __init__(self, name: str, restarts: set[int], saves: set[int]) -> None:
        self.core = Core()
        self.records: list[Record[Event]] = []
        self.saved: tuple[int, bytes] | None = None
        market = market_of(game(name))
        step, at = 0, 0
        while (moments := market.next(self.core.interest)) is not None:
            while moments:
                at = moments[-1].at
                records, effects = self.core.step(moments)
                self.records += records
                moments = market.send(effects)
                step += 1
                if step in saves:
                    self.saved = len(self.records), encode(self.core.snapshot())
                if step in restarts:
                    self.core = self._restarted(at)
        self.steps = step

    def _restarted(self, at: Any) -> Core:
        if self.saved is None:
            count, core = 0, Core()
        else:
            count, core = self.saved[0], Core.from_snapshot(decode(self.saved[1]))
        core.restore_all(decode_record(encode_record(each)) for each in self.records[count:])
        core.marks.update(self.core.marks)
        core.start_clock(at)
        return core


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[bytes, int]]:
    """What each game comes to where nothing is restarted, and in how many steps."""
    found = {}
    for name in GAMES:
        run = Restarted(name, set(), set())
        found[name] = log_of(run.records), run.steps
    return found


def test_the_games_have_what_must_be_remembered() -> None:
    """A grid that moves, gives up for the day, counts closes outside, is halted."""
    acts = [event.reason for event in played(game("a grid with options")).of(StrategyActed)]
    assert {"re-centre", "outside", "daily loss limit", "closed"} <= set(acts)
    halted = counted(played(game("a grid that is halted")))
    assert (halted["TradingHalted"], halted["StrategyPaused"]) == (1, 1)


@pytest.mark.parametrize("name", GAMES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_it_goes_on_to_the_same_bytes(name: str, seed: int, whole: dict[str, tuple[bytes, int]]) -> None:
    log, steps = whole[name]
    chance = random.Random(seed)
    saves = set(chance.sample(range(1, steps), chance.randint(0, 2)))
    restarts = set(chance.sample(range(1, steps), 3))
    assert log_of(Restarted(name, restarts, saves).records) == log


@pytest.mark.parametrize("pace", ["plain", "every"])
@pytest.mark.parametrize("name", GAMES)
def test_the_log_does_not_show_which_candles_were_passed_over(
    name: str, pace: str, whole: dict[str, tuple[bytes, int]]
) -> None:
    assert played(game(name), pace).log == whole[name][0]


def unwatched(core: Core) -> Core:
    core.interest.watched.clear()
    return core


def without_memory(core: Core) -> Core:
    for stream in core._streams["strategy"].values():  # noqa: SLF001
        stream.state = structs.replace(stream.state, memory=None)
    return core


def running(core: Core) -> Core:
    for stream in core._streams["strategy"].values():  # noqa: SLF001
        stream.state = structs.replace(stream.state, status="running", closing=False)
    return core


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("a grid with options", unwatched),
        ("a grid with options", without_memory),
        ("a cross that is halted", running),
    ],
)
def test_what_a_snapshot_loses_is_found(
    name: str, loss: Callable[[Core], Core], monkeypatch: pytest.MonkeyPatch, whole: dict[str, tuple[bytes, int]]
) -> None:
    """Planted: a core from a snapshot has forgotten what a strategy waits for, what it remembers, that it is paused."""
    log, steps = whole[name]
    restarts, saves = {steps // 2}, {steps // 2 - 1}
    assert log_of(Restarted(name, restarts, saves).records) == log
    from_snapshot = Core.from_snapshot
    monkeypatch.setattr(Core, "from_snapshot", lambda snapshot: loss(from_snapshot(snapshot)))
    assert log_of(Restarted(name, restarts, saves).records) != log
