"""What if: a fork is the run that other settings would have made, and every difference is named and no other."""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.account.commands import SetRiskLimits
from domain.account.limits import RiskLimits
from domain.bot.commands import ConfigureBot
from domain.bot.settings import GroupSettings
from domain.engine import Core, run
from domain.errors import InputError, MissingError
from domain.execution_pool.commands import ConfigurePool
from domain.execution_pool.settings import PoolSettings
from domain.message import Event, Record
from domain.signal.commands import DeliverAlert
from domain.values import Time, time_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.runs import find_run, records_of
from infrastructure.inbox import Content, InboxRow, encode_content
from infrastructure.market_data.shelf import keep_tape
from infrastructure.market_data.tape import folder
from infrastructure.venues.paper import PaperMarket
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import TimedAlert
from replay.demo import demo_tape
from replay.fork import Change, ForkedFeed, ParameterChange, Told, with_parameters
from replay.game import Game, Setup, game_of, market_of, play, portfolio_game
from replay.kept import KeptRun
from replay.what_if import Outcome, WhatIf, what_if
from tests.domain.test_laws import LEGS, make_alert, random_walk
from tests.infrastructure.test_worker import candle, in_order, opening, put, running, wait
from tests.simulator import MINUTE, START, ListLedger, tape_of
from tests.spec import instrument
from tests.spec import settings as group_settings
from tests.strategy_game import CROSS, counted, played, setup_of
from tests.strategy_game import game_of as strategy_game

TERMS = Terms(Decimal("0.0002"), Decimal("0.001"))
ALL_IN_ONE = ("0", "100", "1")
FLAT = (10_000, 10_000, 10_000, 10_000)
UP = (10_100, 10_150, 10_100, 10_100)
MARKET = [FLAT, FLAT, UP, FLAT, FLAT, FLAT, UP, FLAT]
"""At 100.00, twice up to 101.50, which the target of 101.00 is met by and one of 102.00 is not."""


def alert(number: int, minute: int) -> TimedAlert:
    at = Time(START + minute * MINUTE - 1)
    body = {"id": f"a{number}", "time": time_text(at), "symbol": "BTCUSDT", "action": "buy"}
    return TimedAlert(at, "signals", json.dumps(body))


ALERTS = [alert(1, 1), alert(2, 5)]


def setup(settings: GroupSettings) -> Setup:
    return Setup(instrument(), TERMS, {"USDT": Decimal(10_000)}, settings)


def target(percent: str) -> Change:
    def edit(settings: GroupSettings) -> GroupSettings:
        (leg,) = settings.legs
        return replace(settings, legs=(replace(leg, take_profit_pct=Decimal(percent)),))

    return Change("group", edit)


def limits(**changes: Any) -> Change:
    return Change("risk", lambda standing: replace(standing, **changes))


def pool(**changes: Any) -> Change:
    return Change("pool", lambda standing: replace(standing, **changes))


@pytest.fixture
def kept(database: Database, home: Path) -> "Kept":
    return Kept(database, home, MARKET, ALERTS)


class Kept:
    """A kept backtest in a database of its own, and its tape."""

    def __init__(
        self, database: Database, home: Path, market: list[tuple[int, int, int, int]], alerts: list[TimedAlert]
    ) -> None:
        self.database = database
        self.home = home
        tape = tape_of(market)
        tape.save(folder(home) / "market.parquet")
        game = game_of(setup(group_settings(ALL_IN_ONE)), tape, alerts)
        made = KeptRun(database, game)
        play(game, made.ledger)
        made.ledger.end()

    def fork(self, *changes: Change, at: int | None = None) -> WhatIf:
        return what_if(self.database, self.home, find_run(self.database), changes, at)

    def position(self, kind: str, number: int = 1) -> int:
        """Where the nth record that begins with such an event stands."""
        records = [(kept.position, kept.decode()) for kept in records_of(self.database, 1)]
        found = [position for position, record in records if type(record.events[0]).__name__ == kind]
        return found[number - 1]


def money(outcome: Outcome) -> tuple[str, str, str, str]:
    balance = outcome.balances["main USDT"]
    return balance["equity"], balance["realized"], balance["unrealized"], balance["fees"]


def shown(found: WhatIf) -> list[str]:
    return [f"{each.fact}: {each.cause}" for each in found.differences if each.cause != "config"]


# --- consequences known by hand --------------------------------------------------------------------------------------


def test_the_recorded_side_is_what_happened(kept: Kept) -> None:
    """10.000 at 100.00 and out at 101.00, twice: 10 gained, 1 and 0.202 paid, each time."""
    found = kept.fork(target("1"))
    assert money(found.recorded) == money(found.what_if) == ("10017.596", "20", "0", "2.404")
    assert found.recorded.counts == {"orders": 4, "denied": 0, "fills": 4, "alerts accepted": 2}
    assert (found.differences, found.by_cause, found.has_consequences) == ([], {}, False)


def test_a_target_that_is_not_met(kept: Kept) -> None:
    """The first group holds on at 100.00, so that the second alert is refused; nothing is sold."""
    found = kept.fork(target("2"))
    assert money(found.what_if) == ("9999", "0", "0", "1")
    assert found.what_if.counts == {"orders": 2, "denied": 0, "fills": 1, "alerts accepted": 2}
    assert shown(found) == [
        "alert 1 of signals: pricing", "market: pricing", "market: fill", "alert 2 of signals: signal", "market: fill",
        "market: fill", "end: fill",
    ]  # fmt: skip
    first, second, third, *_ = [each for each in found.differences if each.cause != "config"]
    (opened,) = [each for each in first.events if "opened" in (each.what_if or {})["event"]]
    assert opened.fields == {"legs[0].take_profit_pct": ("1", "2")}
    assert {name: pair for each in second.events for name, pair in each.fields.items()} == {
        "price": ("101", "102"), "limit": ("101", "102"), "reference": ("101", "102"), "notional": ("1010", "1020"),
    }  # fmt: skip
    assert {each.kind for each in third.events} == {"removed"}
    assert first.position == kept.position("AlertReceived")


def test_numbers_that_are_counted_on_are_no_difference(database: Database, home: Path) -> None:
    """The first group ends later, so that there is no second one, and what was the third is the second."""
    far = (10_300, 10_300, 10_300, 10_300)
    market = [*MARKET[:4], FLAT, FLAT, far, *[(10_200, 10_200, 10_200, 10_200)] * 4]
    found = Kept(database, home, market, [alert(1, 1), alert(2, 4), alert(3, 8), alert(4, 9)]).fork(target("2"))
    assert found.recorded.counts["orders"] == 6
    assert found.what_if.counts["orders"] == 4
    told = {each.fact: each for each in found.differences}
    assert told["alert 3 of signals"].cause == "pricing", "another target, whatever its number"
    assert "alert 4 of signals" not in told, "refused by group=3, or by group=2"


def test_a_limit_denies(kept: Kept) -> None:
    found = kept.fork(limits(currency="USDT", order_notional_max=Decimal(999)))
    assert money(found.what_if) == ("10000", "0", "0", "0")
    assert found.what_if.counts == {"orders": 2, "denied": 2, "fills": 0, "alerts accepted": 2}
    alerts = [each for each in found.differences if each.fact.startswith("alert")]
    assert [each.cause for each in alerts] == ["risk", "risk"]
    added = [each.what_if for each in alerts[0].events if each.kind == "added" and each.what_if]
    assert next(line["data"]["code"] for line in added if line["event"].endswith("denied.v1")) == "ORDER_NOTIONAL"


def test_forked_between_two_alerts_only_the_second_is_another(kept: Kept) -> None:
    found = kept.fork(target("2"), at=kept.position("AlertReceived", 2))
    assert money(found.what_if) == ("10007.798", "10", "0", "2.202")
    assert shown(found)[0] == "alert 2 of signals: pricing"
    (change,) = [each for each in found.differences if each.fact == "fork"]
    assert (change.cause, change.position) == ("config", None)


def test_an_event_within_a_cascade_forks_behind_it(kept: Kept) -> None:
    """The order of the first alert is what that alert has led to: the next from outside is the fill."""
    assert kept.position("OrderIntended") > kept.position("AlertReceived")
    inside = kept.fork(target("2"), at=kept.position("OrderIntended"))
    assert shown(inside)[0] == "alert 2 of signals: pricing"
    assert kept.fork(target("2"), at=kept.position("AlertReceived")).what_if == kept.fork(target("2")).what_if


@pytest.mark.parametrize(
    "change",
    [
        limits(currency="USDT", order_notional_max=Decimal(1020)),
        pool(max_open_groups=1),
        Change("group", lambda settings: replace(settings, when_flat="cancel")),
    ],
    ids=["limits", "pool", "group"],
)
@pytest.mark.parametrize("at", [None, 2, 12])
def test_a_change_without_effect_has_no_consequences(change: Change, at: int | None, kept: Kept) -> None:
    """It is said that it was made, though."""
    found = kept.fork(change, at=at)
    assert set(found.by_cause) == {"config"}
    assert (found.has_consequences, found.recorded) == (False, found.what_if)


def test_what_comes_of_a_change_is_told_from_what_comes_of_trading(kept: Kept) -> None:
    """An offset notes which groups it watches; nothing is bought or sold otherwise."""
    found = kept.fork(Change("offset", lambda standing: replace(standing, enabled=False)))
    assert found.has_consequences
    assert found.recorded == found.what_if
    assert {each.what_if["event"] for fact in found.differences for each in fact.events if each.what_if} == {
        "portfolio_risk.configured.v1", "portfolio_risk.group_watched.v1", "portfolio_risk.group_forgotten.v1",
    }  # fmt: skip


def test_what_cannot_be_forked(kept: Kept) -> None:
    with pytest.raises(InputError, match=r"nobody from there on whose group settings of bot 'other'"):
        kept.fork(replace(target("2"), bot="other"))
    last = [record.position for record in records_of(kept.database, 1)][-1]
    with pytest.raises(InputError, match=f"position {last + 50} is not in run 1, which is from 2 to {last}"):
        kept.fork(target("2"), at=last + 50)
    (folder(kept.home) / "market.parquet").unlink()
    with pytest.raises(MissingError, match="no sound tape"):
        kept.fork(target("2"))


def test_a_run_that_its_inputs_do_not_give_is_not_forked(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that has become another since: the two sides would differ by that too."""
    tape = tape_of([*MARKET[:2], FLAT, *MARKET[3:]])
    monkeypatch.setattr("replay.verify.Tape.find_by_digest", lambda _home, _digest: tape)
    with pytest.raises(InputError, match=r"run 1 is diverged(.|\n)*truetape verify 1"):
        kept.fork(target("2"))


def test_two_facts_of_one_time_are_not_mixed_up(database: Database, home: Path) -> None:
    """The fork stands between them, at the same time."""
    kept = Kept(database, home, MARKET, [alert(1, 1), alert(2, 1)])
    found = kept.fork(pool(max_open_groups=3), at=kept.position("AlertReceived", 2))
    assert [each.fact for each in found.differences] == ["fork"]


# --- strategies ------------------------------------------------------------------------------------------------------


def keep_strategy(database: Database, home: Path, parameters: Any) -> Game:
    tape = demo_tape(1, 7)
    keep_tape(tape, home, "demo", None)
    game = strategy_game([setup_of("cross", "sma_cross", parameters)], tape)
    made = KeptRun(database, game)
    play(game, made.ledger)
    made.ledger.end()
    return game


def faster(fast: int) -> ParameterChange:
    return ParameterChange(lambda setup: replace(setup.parameters, fast=fast))


def test_a_strategy_with_other_parameters_is_the_backtest_with_those(database: Database, home: Path) -> None:
    game = keep_strategy(database, home, CROSS)
    found = what_if(database, home, find_run(database), [], None, [faster(10)])
    other = strategy_game([setup_of("cross", "sma_cross", {**CROSS, "fast": 10})], game.markets[0].tape)
    events = counted(played(other))
    assert found.what_if.counts["fills"] == events["OrderFilled"] != found.recorded.counts["fills"] > 10
    assert forked(with_parameters(game, [faster(10)]), []) == played(other).records
    assert found.by_cause["strategy"] > 10
    same = what_if(database, home, find_run(database), [], None, [faster(5)])
    assert (same.differences, same.has_consequences) == ([], False)


def test_a_limit_on_what_a_strategy_may_do(database: Database, home: Path) -> None:
    keep_strategy(database, home, CROSS)
    found = what_if(database, home, find_run(database), [limits(currency="USDT", order_notional_max=Decimal(100))])
    assert found.what_if.counts["denied"] > 10
    assert found.what_if.counts["fills"] == 0
    assert shown(found)[0] == "market: risk"


def test_parameters_that_cannot_be_changed(database: Database, home: Path, kept: Kept) -> None:
    with pytest.raises(InputError, match="the run has no strategy of bot 'x'"):
        what_if(database, home, find_run(database), [], None, [ParameterChange(lambda setup: setup.parameters, "x")])
    keep_strategy(database, home, CROSS)
    with pytest.raises(InputError, match="from a backtest's beginning only"):
        what_if(database, home, find_run(database), [], 100, [faster(10)])
    with pytest.raises(InputError, match="fast"):
        what_if(database, home, find_run(database), [], None, [faster(50)])


# --- laws ------------------------------------------------------------------------------------------------------------


def forked(game: Game, changes: Sequence[Change], turn: int = 0) -> list[Record[Event]]:
    core, market = Core(), market_of(game)
    feed = ForkedFeed(core, market, changes, turn)
    told = Told(feed)
    run(core, feed, told, market)
    return [record for fact in told.facts for record in fact.records]


def on(rows: Sequence[Content], changes: Sequence[Change] = ()) -> list[Record[Event]]:
    """Rows of an inbox through the paper market, perhaps forked."""
    inbox = iter(
        InboxRow(number, kind, "test", body, Time(START))
        for number, (kind, _, body) in enumerate(map(encode_content, rows), 1)
    )
    core = Core()
    market = PaperMarket(core, lambda: next(inbox, None), lambda _row: None, lambda _row, _why: None)
    feed = ForkedFeed(core, market, changes, 0)
    ledger = ListLedger()
    run(core, feed, ledger, market)
    return ledger.records


CASES = st.tuples(st.integers(0, 2**32), st.sampled_from(LEGS), st.sampled_from(LEGS), st.integers(1, 3))


@examples(max_examples=40)
@given(CASES, st.booleans())
def test_a_fork_at_the_beginning_is_the_backtest_under_those_settings(
    case: tuple[int, Any, Any, int], said: bool
) -> None:
    """To the byte, with settings of the bot and of the account, whether the run `said` some of these itself or not."""
    seed, before, after, pyramids = case
    chance = random.Random(seed)
    tape = tape_of(random_walk(chance, 60))
    sent = [make_alert(chance, number, 60) for number in range(20)]
    wanted = group_settings(*after, max_pyramids=pyramids)
    changes = [Change("group", lambda _settings: wanted), pool(max_open_groups=pyramids), limits(open_orders_max=2)]
    own = PoolSettings(max_open_groups=7, count_pyramids_toward_pool=True)
    recorded = (ConfigurePool("main", own),) if said else ()
    game = portfolio_game(replace(setup(group_settings(*before)).portfolio(), commands=recorded), [tape], sent)
    controls = (
        ConfigurePool("main", PoolSettings(max_open_groups=pyramids, count_pyramids_toward_pool=said)),
        SetRiskLimits("main", RiskLimits(open_orders_max=2)),
    )
    portfolio = replace(setup(wanted).portfolio(), commands=controls)
    ledger = ListLedger()
    play(portfolio_game(portfolio, [tape], sent), ledger)
    assert forked(game, changes) == ledger.records


@examples(max_examples=25)
@given(CASES)
def test_a_fork_of_an_inbox_is_the_inbox_with_those_settings(case: tuple[int, Any, Any, int]) -> None:
    seed, before, after, pyramids = case
    chance = random.Random(seed)
    walk = random_walk(chance, 40)
    rows = in_order(walk, [make_alert(chance, number, 40) for number in range(15)])
    wanted = group_settings(*after, max_pyramids=pyramids)
    change = Change("group", lambda _settings: wanted)
    assert on([*opening(before), *rows], [change]) == on([*opening(after, max_pyramids=pyramids), *rows])


@examples(max_examples=25)
@given(CASES, st.integers(0, 40))
def test_nothing_before_the_fork_is_another(case: tuple[int, Any, Any, int], turn: int) -> None:
    seed, before, after, _ = case
    chance = random.Random(seed)
    tape = tape_of(random_walk(chance, 60))
    game = game_of(setup(group_settings(*before)), tape, [make_alert(chance, number, 60) for number in range(20)])
    ledger = ListLedger()
    play(game, ledger)
    wanted = group_settings(*after)
    records = forked(game, [Change("group", lambda _settings: wanted)], turn)
    parted = next(
        (number for number, pair in enumerate(zip(records, ledger.records, strict=False)) if pair[0] != pair[1]), None
    )
    if turn and parted is not None:
        assert records[parted].events[0].__class__.__name__ == "BotConfigured", "the change itself comes first"
    assert forked(game, []) == ledger.records


# --- paper -----------------------------------------------------------------------------------------------------------


def test_a_paper_run_is_forked_by_its_inbox(database: Database, home: Path) -> None:
    """Settings that somebody puts in force midway are changed too."""
    by_hand = ConfigureBot("dca_signals", group_settings(ALL_IN_ONE, max_pyramids=2))
    rows = [*opening((ALL_IN_ONE,)), *in_order(MARKET[:3], ALERTS[:1]), by_hand]
    rows += [candle(number, prices) for number, prices in enumerate(MARKET[3:5], 3)]
    rows += [DeliverAlert("signals", ALERTS[1].body), *(candle(n, prices) for n, prices in enumerate(MARKET[5:], 5))]
    with running(database) as worker:
        wait(database, put(database, rows))
    paper = find_run(database, worker.run)
    same = what_if(database, home, paper, [target("1")])
    assert (same.has_consequences, same.recorded.counts["fills"]) == (False, 4)
    found = what_if(database, home, paper, [target("2")])
    assert (found.what_if.counts["fills"], found.what_if.counts["denied"]) == (2, 0)
    records = [(each.position, each.decode()) for each in records_of(database, worker.run)]
    second = [position for position, record in records if type(record.events[0]).__name__ == "AlertReceived"][1]
    later = what_if(database, home, paper, [target("2")], second)
    assert later.what_if.counts["fills"] == 3
