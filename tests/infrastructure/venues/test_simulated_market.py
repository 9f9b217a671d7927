"""The order of things in a simulated market, and law 17: a feed that skips and one that does not give the same log."""

import random
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account.events import AccountValued, OrderFilled
from domain.ports import (
    FOREVER,
    CancelOrder,
    ClockStarted,
    DeadlineReached,
    Input,
    Interest,
    Mark,
    Moment,
    TapeEnded,
    Wake,
)
from domain.signal.commands import DeliverAlert
from domain.signal.events import SignalAccepted
from domain.values import Time, time_text
from infrastructure.venues.lane import PACES, Lane, Pace
from infrastructure.venues.prepared import Prepared
from infrastructure.venues.simulated import Terms
from infrastructure.venues.simulated_market import SimulatedMarket, TimedAlert
from replay.game import Setup, backtest
from tests.domain.test_laws import ENDS, LEGS, make_alert, random_walk
from tests.simulator import MINUTE, START, ListLedger, tape_of, venue_of
from tests.spec import BTC, instrument
from tests.spec import settings as group_settings

FREE = Terms(Decimal(0), Decimal(0))
FLAT = (10000, 10000, 10000, 10000)


def setup(**changes: Any) -> Setup:
    return Setup(instrument(), Terms(Decimal(0), Decimal(0)), {"USDT": Decimal(100000)}, group_settings(**changes))


def alert(minute: float, action: str = "buy", price: str | None = None) -> TimedAlert:
    at = Time(START + int(minute * MINUTE))
    quoted = "" if price is None else f', "price": "{price}"'
    body = f'{{"id": "{minute}{action}", "time": "{time_text(at)}", "symbol": "BTCUSDT", "action": "{action}"{quoted}}}'
    return TimedAlert(at, "signals", body)


def played(candles: Any, alerts: list[TimedAlert], *, pace: Pace = "skip", **changes: Any) -> ListLedger:
    ledger = ListLedger()
    backtest(setup(**changes), tape_of(candles), alerts, ledger, pace=pace)
    return ledger


def minutes(ledger: ListLedger) -> list[tuple[float, str, int]]:
    return [((fill.venue_at - START) / MINUTE, fill.side, fill.price) for fill in ledger.of(OrderFilled)]


def test_an_alert_acts_on_the_first_candle_that_opens_at_or_after_it() -> None:
    candles = [(10000 + 10 * minute,) * 4 for minute in range(5)]
    for at, opened in ((0, 0.0), (0.5, 1.0), (1, 1.0), (1.0001, 2.0)):
        (fill, *_) = minutes(played(candles, [alert(at, price="100")]))
        assert fill == (opened, "buy", int(10000 + 10 * opened))


def test_alerts_of_one_time_act_in_the_order_of_their_lines() -> None:
    ledger = played([FLAT] * 3, [alert(1, "buy"), alert(1, "exit"), alert(1, "sell")])
    verdicts = [
        type(event).__name__
        for r in ledger.records
        for event in r.events
        if "Taken" in type(event).__name__ or "Refused" in type(event).__name__
    ]
    assert verdicts == ["EntryTaken", "ExitTaken", "AlertRefused"]


def test_the_last_close_is_that_of_the_candle_before_the_alert() -> None:
    candles = [(10000, 10100, 9900, 10050), (10050, 10100, 10000, 10090), FLAT]
    assert [event.last_close for event in played(candles, [alert(0), alert(1), alert(2)]).of(SignalAccepted)] == [
        None,
        10050,
        10090,
    ]


def test_a_target_set_by_a_candle_s_fill_rests_from_the_next_candle_on() -> None:
    wild = (10000, 11000, 10000, 10500)
    ledger = played([wild, wild], [alert(0, price="100")])
    assert minutes(ledger)[:2] == [(0.0, "buy", 10000), (1.0, "sell", 10100)]


def test_an_exit_cancels_before_the_candle_and_closes_at_its_open() -> None:
    ledger = played([FLAT, (9990, 10200, 9800, 10000)], [alert(0, price="100"), alert(1, "exit")])
    assert minutes(ledger) == [(0.0, "buy", 10000), (1.0, "sell", 9990)]


def test_alerts_after_the_last_candle_are_judged_and_never_fill() -> None:
    ledger = played([FLAT], [alert(5)])
    assert len(ledger.of(SignalAccepted)) == 1
    assert ledger.of(OrderFilled) == []


def test_accounts_are_valued_at_the_end_of_each_day_in_which_something_is_held_and_at_the_tape_s() -> None:
    day = 24 * 60
    ledger = ListLedger()
    backtest(setup(), tape_of([FLAT] * 5, every=day * MINUTE // 2), [alert(0, price="100")], ledger)
    hours = [
        (record.at - START) // (60 * MINUTE) for record in ledger.records if isinstance(record.events[0], AccountValued)
    ]
    assert hours == [24, 48, 48]


def test_a_gap_in_the_tape_is_no_candle_and_does_not_stop_the_days() -> None:
    tape = tape_of([FLAT, FLAT, FLAT], gap=(2, 3 * 86_400_000_000))
    ledger = ListLedger()
    backtest(setup(), tape, [alert(0, price="100")], ledger)
    days = [
        (record.at - START) / 86_400_000_000 for record in ledger.records if isinstance(record.events[0], AccountValued)
    ]
    assert days[:3] == [1, 2, 3]


def test_moments_come_in_the_order_of_candle_v1() -> None:
    tape = tape_of([FLAT, FLAT])
    lane = Lane(BTC, tape, venue_of(instrument(), FREE, 0))
    market = SimulatedMarket([lane], [], [alert(0), alert(1), alert(9)])
    interest = Interest(deadline=Time(START + MINUTE))
    seen: list[str] = []
    while (moments := market.next(interest)) is not None:
        for moment in moments:
            seen += _names(moment)
            if any(isinstance(fact, DeadlineReached) for fact in moment.facts):
                interest.deadline = Time(START + 100 * MINUTE)
    assert seen == ["clock", "alert", "mark", "deadline", "alert", "mark", "alert", "end"]


def test_a_strategy_is_asked_at_the_end_of_a_candle_for_which_a_cancel_waits() -> None:
    prepared = Prepared("cross", (), memoryview(bytes([0, 1, 1, 0])), 0, watches=False)
    lane = Lane(BTC, tape_of([FLAT] * 4), venue_of(instrument(), FREE, 0), [prepared])
    asked = []
    for _ in range(2):
        lane.look_ahead(4, FOREVER, None)
        lane.play()
        asked.append((lane.met, lane.wakes("skip", reached=False)))
        lane.carry_out(CancelOrder("main", 9, BTC), Time(lane.end_of(lane.met) + 1))
    assert asked == [(1, [Wake("cross", ())]), (2, [Wake("cross", ())])]


def _names(moment: Moment) -> list[str]:
    names = {ClockStarted: "clock", Mark: "mark", DeadlineReached: "deadline", TapeEnded: "end"}
    return [
        "alert" if isinstance(fact, Input) and isinstance(fact.message, DeliverAlert) else names[type(fact)]
        for fact in moment.facts
    ]


@settings(max_examples=150)
@given(
    st.integers(0, 2**32),
    st.integers(1, 200),
    st.integers(0, 25),
    st.sampled_from(LEGS),
    st.sampled_from(["keep", "cancel"]),
    ENDS,
)
def test_law_17_a_feed_that_skips_gives_the_same_log(
    seed: int, candles: int, alerts: int, legs: Any, when_flat: Any, ends: dict[str, Any]
) -> None:
    chance = random.Random(seed)
    walk = random_walk(chance, candles)
    every = chance.choice([MINUTE, 60 * MINUTE, 700 * MINUTE])
    tape = tape_of(walk, every)
    sent = [make_alert(chance, number, candles * every // MINUTE) for number in range(alerts)]
    logs = []
    asked = Setup(
        instrument(), Terms(Decimal("0.0002"), Decimal("0.001")), {"USDT": Decimal(100000)},
        group_settings(*legs, when_flat=when_flat, max_pyramids=2, reverse=True, **ends),
    )  # fmt: skip
    for pace in PACES:
        ledger = ListLedger()
        backtest(asked, tape, sent, ledger, pace=pace)
        logs.append(ledger.log)
    assert logs[0] == logs[1]
