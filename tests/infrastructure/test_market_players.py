"""Markets that move by themselves: each candle once, also after a restart."""

import time
from typing import Any

from domain.values import Price
from infrastructure.event_store.database import Database
from infrastructure.inbox import Inbox, MarketCandle
from infrastructure.market_players import PlayingTape, WalkingMarket
from tests.simulator import tape_of
from tests.spec import BTC

WALK = [(10_000 + n, 10_050 + n, 9_950 + n, 10_010 + n) for n in range(40)]


def pushed(database: Database) -> list[Any]:
    contents = [row.content() for row in Inbox(database).rows(0, 1000)]
    return [content.candle for content in contents if isinstance(content, MarketCandle)]


def wait_for(database: Database, count: int) -> list[Any]:
    deadline = time.monotonic() + 20
    while len(candles := pushed(database)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return candles


def test_a_tape_plays_to_its_end_and_is_not_played_again(database: Database) -> None:
    tape = tape_of(WALK)
    for _ in range(2):
        with PlayingTape(Inbox(database), BTC, tape, speed=100_000):
            candles = wait_for(database, len(WALK))
    assert [candle.open_time for candle in candles] == list(tape.open_times)
    assert [(candle.open, candle.high, candle.low, candle.close) for candle in candles] == WALK


def test_a_tape_goes_on_where_it_left_off(database: Database) -> None:
    tape = tape_of(WALK)
    with PlayingTape(Inbox(database), BTC, tape.slice(tape.open_times[0], tape.open_times[7]), speed=100_000):  # type: ignore[arg-type]
        wait_for(database, 7)
    with PlayingTape(Inbox(database), BTC, tape, speed=100_000):
        candles = wait_for(database, len(WALK))
    assert [candle.open_time for candle in candles] == list(tape.open_times)


def test_a_tape_keeps_its_own_time_times_the_speed(database: Database) -> None:
    began = time.monotonic()
    with PlayingTape(Inbox(database), BTC, tape_of(WALK), speed=120):
        wait_for(database, 3)  # two minutes of the tape
    assert time.monotonic() - began >= 1


def test_a_walk_goes_on_from_the_last_price(database: Database) -> None:
    with WalkingMarket(Inbox(database), BTC, Price(9_000_000), seed=1):
        first = wait_for(database, 1)[-1]
    with WalkingMarket(Inbox(database), BTC, Price(9_000_000), seed=2):
        second = wait_for(database, len(pushed(database)) + 1)[-1]
    assert second.open_time > first.open_time
    assert second.low <= second.open <= second.high
    closes = [candle.close for candle in pushed(database)]
    assert second.open in closes


def test_a_walk_begins_at_home(database: Database) -> None:
    with WalkingMarket(Inbox(database), BTC, Price(9_000_000), seed=1):
        assert wait_for(database, 1)[0].open == 9_000_000
