"""Laws 16 and 17 over strategies: skipping, scanning and asking at every candle give one log, and so does a live market."""

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from numpy.typing import NDArray

from domain.account.events import AccountValued, OrderFilled
from domain.engine import Core, run
from domain.indicators import EMA, Column, Indicator, Sum
from domain.market import Candle, make_instrument
from domain.message import Command, Event, Record
from domain.strategy import registry
from domain.strategy.events import StrategyActed, StrategyFailed
from domain.strategy.intents import Cancel, Intent, Place
from domain.strategy.plugin import Act, Bounds, Strategy, View
from domain.strategy.registry import read_parameters, register, strategy_named
from domain.values import Price, Quantity, Time
from infrastructure.inbox import InboxRow, MarketCandle, encode_content
from infrastructure.venues.lane import PACES
from infrastructure.venues.paper import PaperMarket
from infrastructure.venues.simulated import ALL_RULES, RULES, Rules, Terms
from replay.game import Game, MarketSetup, Portfolio, StrategySetup, play, portfolio_game
from tests.domain.test_laws import random_walk
from tests.simulator import MINUTE, ListLedger, tape_of

TERMS = Terms(Decimal("0.0002"), Decimal("0.0005"), Decimal("0.0001"))
NAMES = ("BTC", "ETH")
LEGS = 4
Decision = tuple[Any, ...]


class Chances(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a hundred closes so many lead to something; `every` leaves the mask out, `watching` waits for prices too."""

    seed: int
    percent: int = 20
    watching: bool = False


class Seen(Struct, frozen=True, array_like=True):
    """How often it has acted, and between which prices it need not be asked."""

    acted: int
    below: int
    above: int


def lot(parameters: Chances, *numbers: int) -> int:
    """A number that only these decide: a strategy's die must fall alike however often it is asked."""
    digest = hashlib.blake2b(repr((parameters.seed, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def features(_parameters: Chances) -> Mapping[str, Indicator]:
    return {"close": Column("close"), "sum": Sum("close", 3), "ema": EMA(5)}


def may_act(parameters: Chances, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    pairs = zip(columns["close"].tolist(), columns["sum"].tolist(), strict=True)
    return np.array([lot(parameters, *pair) % 100 < parameters.percent for pair in pairs], np.bool_)


def on_candle(parameters: Chances, view: View) -> Act | None:
    """Anything an account may be asked for, now and then."""
    close, total, _ema = cast("tuple[int, int, float]", view.features)
    seen: Seen | None = view.memory
    drawn = lot(parameters, close, total) % 100 < parameters.percent
    reached = parameters.watching and seen is not None and not seen.below < close < seen.above
    if not (drawn or reached):
        return None
    acted = 1 if seen is None else seen.acted + 1
    die = random.Random(lot(parameters, close, total, acted, view.position))
    intents = tuple(_intent(die, close) for _ in range(die.randint(0, 3)))
    return Act(intents, Seen(acted, close - die.randint(1, 400), close + die.randint(1, 400)), "drawn")


def _intent(die: random.Random, close: int) -> Intent:
    if die.random() < 0.25:
        return Cancel(die.choice([None, (die.randrange(LEGS),)]))
    side, kind = die.choice(["buy", "sell"]), die.choice(["market", "limit", "limit", "stop", "stop_limit"])
    near, far = Price(max(1, close + die.randint(-300, 300))), Price(max(1, close + die.randint(-300, 300)))
    return Place(
        cast("Any", side), cast("Any", kind), Quantity(die.randint(1, 40) * 10),
        near if "limit" in kind else None, far if "stop" in kind else None, die.random() < 0.2, die.randrange(LEGS),
    )  # fmt: skip


def on_fill(parameters: Chances, _view: View, fill: OrderFilled) -> Act | None:
    """Some fills are answered by an order beyond them."""
    die = random.Random(lot(parameters, fill.order, fill.price, fill.remaining))
    if die.random() < 0.6 or fill.remaining:
        return None
    step = die.randint(1, 200) * (1 if fill.side == "buy" else -1)
    side: Any = "sell" if fill.side == "buy" else "buy"
    return Act((Place(side, "limit", fill.quantity, Price(max(1, fill.price + step)), leg=fill.leg),))


def watch(parameters: Chances, seen: Seen | None) -> Bounds | None:
    return (seen.below, seen.above) if parameters.watching and seen is not None else None


def dicer(name: str, **changes: Any) -> Strategy:
    parts: dict[str, Any] = {
        "on_fill": on_fill,
        "features": features,
        "may_act": may_act,
        "watch": watch,
        "memory": Seen,
    }
    return Strategy(name, "Anything.", Chances, on_candle, **{**parts, **changes})


MASKED, ASKED = dicer("dicer"), dicer("asked_dicer", may_act=None, watch=None)
"""One says at which closes it may act, the other is asked at each."""


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    register(MASKED)
    register(ASKED)
    yield
    for each in (MASKED, ASKED):
        registry._registered.pop(each.name)  # noqa: SLF001  (nothing else takes a strategy out again)


def game(seed: int, kind: Any, chosen: Sequence[tuple[Strategy, Mapping[str, Any], str]], rules: Rules = RULES) -> Game:
    """One or two markets of random candles with a gap, and these strategies on them."""
    chance = random.Random(seed)
    markets, tapes = [], []
    for name in NAMES[: chance.randint(1, 2)]:
        markets.append(
            MarketSetup(make_instrument(f"{name}/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5)), TERMS)
        )
        gap = (chance.randrange(40), chance.choice([0, 5 * MINUTE, 2000 * MINUTE]))
        minutes = chance.choice([1, 1, 5, 60])
        tapes.append(tape_of(random_walk(chance, chance.randint(5, 120)), minutes * MINUTE, gap))
    instruments = {str(each.instrument.base): each.instrument for each in markets}
    strategies = tuple(
        StrategySetup(f"s{number}", strategy, read_parameters(strategy, given, instruments[base]), instruments[base].id)
        for number, (strategy, given, base) in enumerate(chosen)
        if base in instruments
    )
    balances = {"USDT": Decimal(100_000), **{base: Decimal(20) for base in instruments if kind == "spot"}}
    return portfolio_game(Portfolio(tuple(markets), (), balances, kind, strategies=strategies, rules=rules), tapes, [])


def choices() -> st.SearchStrategy[list[tuple[Strategy, Mapping[str, Any], str]]]:
    base = st.sampled_from(NAMES)
    dice = st.tuples(
        st.sampled_from([MASKED, ASKED]),
        st.builds(lambda seed, percent, w: {"seed": seed, "percent": percent, "watching": w}, st.integers(0, 99),
                  st.sampled_from([3, 20, 70]), st.booleans()),
        base,
    )  # fmt: skip
    cross = st.tuples(
        st.just(strategy_named("sma_cross")),
        st.builds(lambda fast, more: {"notional": "900", "fast": fast, "slow": fast + more}, st.integers(1, 6), st.integers(1, 9)),
        base,
    )  # fmt: skip
    grids = st.tuples(
        st.just(strategy_named("grid")),
        st.builds(
            lambda each, pct, options: {
                "quantity": "0.5", "spacing_pct": pct, "levels_each_side": each, **options,
            },
            st.integers(1, 8), st.sampled_from(["0.1", "0.5", "2"]),
            st.sampled_from([{}, {"recentre_after": 2}, {"stop_loss_pct": "1"}, {"daily_loss_limit": "20"},
                             {"recentre_after": 1, "stop_loss_pct": "5", "daily_loss_limit": "50"}]),
        ),
        base,
    )  # fmt: skip
    swings = st.tuples(
        st.just(strategy_named("grid")),
        st.builds(
            lambda more, k: {"quantity": "0.5", "levels": 3, "swings": 3 + more, "swing_candles": k, "recentre_after": 2},
            st.integers(0, 3), st.integers(1, 3),
        ),
        base,
    )  # fmt: skip
    return st.lists(st.one_of(dice, dice, cross, grids, swings), min_size=1, max_size=3)


@given(st.integers(0, 2**32), st.sampled_from(["spot", "margin"]), choices(), st.sampled_from(ALL_RULES))
@settings(max_examples=150, deadline=None)
def test_law_17_every_pace_gives_the_same_log(seed: int, kind: str, chosen: Any, rules: Rules) -> None:
    asked = game(seed, kind, chosen, rules)
    ledgers = [ListLedger() for _ in PACES]
    for pace, ledger in zip(PACES, ledgers, strict=True):
        play(asked, ledger, pace=pace)
    first, *others = ledgers
    assert first.of(StrategyFailed) == []
    for other in others:
        assert other.log == first.log


def too_few(parameters: Chances, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    mask = may_act(parameters, columns)
    mask[np.flatnonzero(mask)[1::2]] = False
    return mask


def test_a_mask_that_names_too_few_candles_is_found() -> None:
    """Planted: every second candle at which it acts is left out."""
    planted = dicer("dicer", may_act=too_few)
    register(planted)
    differ = 0
    for seed in range(5):
        asked = game(seed, "margin", [(planted, {"seed": seed, "percent": 50}, "BTC")])
        skipping, every = ListLedger(), ListLedger()
        play(asked, skipping)
        play(asked, every, pace="every")
        differ += skipping.log != every.log
    assert differ == 5


def test_the_strategies_of_the_law_do_something() -> None:
    """A law over runs in which nothing happens would say nothing."""
    acted = filled = 0
    for seed in range(10):
        ledger = ListLedger()
        play(game(seed, "margin", [(MASKED, {"seed": seed, "percent": 30, "watching": True}, "BTC")]), ledger)
        acted += len(ledger.of(StrategyActed))
        filled += len(ledger.of(OrderFilled))
    assert acted > 100
    assert filled > 50


@given(st.integers(0, 2**32), choices())
@settings(max_examples=80, deadline=None)
def test_law_16_candles_pushed_one_by_one_give_the_same_decisions(seed: int, chosen: Any) -> None:
    """Through the paper market that a living worker drives, with features stepped instead of scanned.

    Up to the last candle: a backtest asks nobody at its close, and values the account.
    """
    chosen = [(strategy, given, "BTC") for strategy, given, _ in chosen]
    asked = game(seed, "spot", chosen)
    if len(asked.markets) > 1:
        asked = game_of_first(asked)
    ledger = ListLedger()
    play(asked, ledger)
    paper = pushed(asked)
    mine, theirs = decisions(ledger.records), decisions(paper.records)
    last = asked.markets[0].tape.open_times[-1]
    mine, theirs = [[each for each in log if each[2] < last] for log in (mine, theirs)]
    start = next((index for index, each in enumerate(mine) if isinstance(each[-1][0], StrategyActed)), len(mine))
    assert sorted(map(repr, mine[:start])) == sorted(
        map(repr, theirs[:start])
    )  # an opening is one moment or several rows
    assert mine[start:] == theirs[start:]


def decisions(records: Sequence[Record[Event]]) -> list[Decision]:
    """(stream, version, time, actor, cause, events) with streams by their names; no valuations, no wall clock."""
    names = {record.stream: record.key for record in records if record.key is not None}
    return [
        (
            names[record.stream], record.version, record.at, record.actor,
            None if record.cause is None else (names[record.cause[0]], record.cause[1]), record.events,
        )
        for record in records
        if not isinstance(record.events[0], AccountValued)
    ]  # fmt: skip


def game_of_first(asked: Game) -> Game:
    first = asked.markets[0]
    return Game(asked.markets[:1], asked.kind, asked.cash, [
        each for each in asked.opening if getattr(each.message, "instrument", None) in {None, first.instrument, first.instrument.id}
    ], asked.alerts, asked.strategies)  # fmt: skip


def pushed(asked: Game) -> ListLedger:
    """The same, through inbox rows."""
    market = asked.markets[0]
    ledger, core = ListLedger(), Core()
    rows = inbox_rows(asked)
    paper = PaperMarket(core, lambda: next(rows, None), lambda _row: None, fail)
    run(core, paper, ledger, paper)
    assert core.marks[market.instrument.id] == market.tape.closes[-1]
    return ledger


def fail(_row: InboxRow, reason: str) -> None:
    pytest.fail(reason)


def inbox_rows(asked: Game) -> Iterator[InboxRow]:
    market = asked.markets[0]
    tape = market.tape
    contents: list[tuple[str, Command | MarketCandle]] = [(each.actor, each.message) for each in asked.opening]
    for index in range(len(tape)):
        candle = Candle(
            Time(tape.open_times[index]), Price(tape.opens[index]), Price(tape.highs[index]), Price(tape.lows[index]),
            Price(tape.closes[index]), Quantity(tape.volumes[index]),
        )  # fmt: skip
        contents.append(("market", MarketCandle(market.instrument.id, candle, Time(candle.open_time + tape.interval))))
    start = Time(tape.open_times[0])
    for number, (actor, content) in enumerate(contents, 1):
        kind, _, body = encode_content(content)
        yield InboxRow(number, kind, actor, body, start)
