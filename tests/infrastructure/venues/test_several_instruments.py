"""Several instruments in one account: the order of things, intervals that differ, and law 17 over all of it."""

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.account.events import AccountValued, OrderDenied, OrderFilled, OrderRejected
from domain.bot.events import EntrySized
from domain.engine import Core, run
from domain.market import make_instrument
from domain.ports import FOREVER, CancelOrder, Input, Interest, Mark, Moment, SubmitOrder
from domain.signal.events import SignalAccepted
from domain.values import InstrumentId, Price, Quantity, Time, time_text
from infrastructure.market_data.columns_file import view
from infrastructure.market_data.tape import Tape
from infrastructure.venues.lane import PACES, Bounds, Lane, Pace
from infrastructure.venues.simulated import SimulatedVenue, Terms, Wallet
from infrastructure.venues.simulated_market import VENUE, SimulatedMarket, TimedAlert
from replay.game import ACCOUNT, BotSetup, Game, MarketSetup, Portfolio, market_of, play, portfolio_game
from tests.domain.test_laws import LEGS, random_walk
from tests.simulator import MINUTE, START, ListLedger, tape_of
from tests.spec import settings as group_settings

FREE = Terms(Decimal(0), Decimal(0))
FLAT = (10000, 10000, 10000, 10000)
NAMES = ("BTC", "ETH", "XRP")
SIZES: tuple[dict[str, Any], ...] = (
    {"capital": "1000"},
    {"capital_pct_of_equity": "20"},
    {"risk_pct_of_equity": "0.5", "stop_loss_pct": Decimal(3)},
)
Candles = Sequence[tuple[int, int, int, int]]


def portfolio(count: int, cash: str = "100000", terms: Terms = FREE, **changes: Any) -> Portfolio:
    """Instruments quoted in USDT, a bot on each; its name is its base, its source the base in small letters."""
    markets, bots = [], []
    for name in NAMES[:count]:
        instrument = make_instrument(f"{name}/USDT", Decimal("0.01"), Decimal("0.001"), Decimal(5))
        markets.append(MarketSetup(instrument, terms))
        bots.append(BotSetup(name, name.lower(), instrument.id, group_settings(**changes)))
    return Portfolio(tuple(markets), tuple(bots), {"USDT": Decimal(cash)})


def tape(candles: Candles, minutes: int = 1, start: int = 0) -> Tape:
    """Candles of so many minutes, the first opening `start` minutes after the others'."""
    return tape_of(candles, minutes * MINUTE, (0, start * MINUTE))


def alert(name: str, minute: float, action: str = "buy", price: str | None = "100") -> TimedAlert:
    at = Time(START + int(minute * MINUTE))
    body = {"id": f"{minute}{action}", "time": time_text(at), "symbol": f"{name}USDT", "action": action}
    return TimedAlert(at, name.lower(), json.dumps(body if price is None else {**body, "price": price}))


def played(asked: Portfolio, tapes: Sequence[Tape], alerts: Sequence[TimedAlert], *, pace: Pace = "skip") -> ListLedger:
    ledger = ListLedger()
    play(portfolio_game(asked, tapes, alerts), ledger, pace=pace)
    return ledger


def fills(ledger: ListLedger) -> list[tuple[float, str, str, int]]:
    """(minute, base, side, price) of every fill."""
    return [
        ((fill.venue_at - START) / MINUTE, fill.instrument.partition("/")[0], fill.side, fill.price)
        for fill in ledger.of(OrderFilled)
    ]


def test_each_alert_reaches_the_bot_of_its_source_and_each_fill_its_group() -> None:
    asked = portfolio(2)
    rising = [(10000 + 100 * minute,) * 4 for minute in range(4)]
    ledger = played(asked, [tape([FLAT] * 4), tape(rising)], [alert("ETH", 1), alert("BTC", 2)])
    assert fills(ledger)[:2] == [(1, "ETH", "buy", 10100), (2, "BTC", "buy", 10000)]
    assert {(fill.bot, fill.instrument) for fill in ledger.of(OrderFilled)} == {
        ("BTC", "BTC/USDT"),
        ("ETH", "ETH/USDT"),
    }
    assert [event.last_close for event in ledger.of(SignalAccepted)] == [10000, 10000]


def test_candles_of_one_instant_are_one_moment_in_the_order_of_the_instruments() -> None:
    for names in (("BTC", "ETH"), ("ETH", "BTC")):
        asked = portfolio(2)
        markets = tuple(sorted(asked.markets, key=lambda market: names.index(market.instrument.base)))
        asked = Portfolio(markets, asked.bots, asked.balances)
        game = portfolio_game(asked, [tape([FLAT] * 3)] * 2, [alert("BTC", 1), alert("ETH", 1)])
        ledger, market = ListLedger(), _Seen(market_of(game))
        core = Core()
        while (moments := market.next(core.interest)) is not None:
            while moments:
                records, effects = core.step(moments)
                ledger.append(records)
                moments = market.send(effects)
        assert [fill[1] for fill in fills(ledger)] == list(names)
        (together,) = [moment for moment in market.seen if _venue_facts(moment)]
        assert len(_venue_facts(together)) == 2
        marks = [fact.instrument for fact in together.facts if isinstance(fact, Mark)]
        assert marks == [f"{name}/USDT" for name in names]


class _Seen:
    """A market whose moments are kept."""

    def __init__(self, market: SimulatedMarket) -> None:
        self.seen: list[Moment] = []
        self.send = market.send
        self._market = market

    def next(self, interest: Interest) -> list[Moment] | None:
        moments = self._market.next(interest)
        self.seen += moments or []
        return moments


def _venue_facts(moment: Moment) -> list[Input]:
    return [fact for fact in moment.facts if isinstance(fact, Input) and fact.actor == VENUE]


def test_one_wallet_pays_for_all_instruments() -> None:
    """Risk lets the first order through; for the second there is nothing left, and the first sale pays for the third."""
    asked = portfolio(2, cash="1050", capital="1000")
    sent = [alert("BTC", 0), alert("ETH", 0), alert("BTC", 2, "exit"), alert("ETH", 3.5)]
    ledger = played(asked, [tape([FLAT] * 6)] * 2, sent)
    assert {event.instrument for event in ledger.of(OrderDenied)} == {"ETH/USDT"}
    bought = [fill[:3] for fill in fills(ledger) if fill[2] == "buy"]
    assert bought == [(0, "BTC", "buy"), (4, "ETH", "buy")]
    assert not ledger.of(OrderRejected)


def test_accounts_are_valued_with_the_closes_of_all_instruments() -> None:
    """One candle of BTC after both have bought 10.000 at 100.00: the other's close is its last."""
    asked = portfolio(2, capital="1000")
    falling = [FLAT, FLAT, (10000, 10000, 9700, 9750)]
    ledger = played(asked, [tape(falling), tape([FLAT] * 2)], [alert("BTC", 0), alert("ETH", 0)])
    bought = {
        name: sum(fill.quantity for fill in ledger.of(OrderFilled) if fill.instrument == name)
        for name in ("BTC/USDT", "ETH/USDT")
    }
    assert bought["BTC/USDT"] > bought["ETH/USDT"] > 0, "the second leg of one"
    valued = ledger.of(AccountValued)[-1]
    assert valued.marks == (("BTC/USDT", 9750), ("ETH/USDT", 10000))
    spent = sum(fill.price * fill.quantity for fill in ledger.of(OrderFilled))
    worth = 9750 * bought["BTC/USDT"] + 10000 * bought["ETH/USDT"]
    assert valued.equity == (("USDT", 100_000 * 10**8 + (worth - spent) * 10**3),)


def test_an_entry_is_sized_by_the_closes_of_all_that_is_held() -> None:
    """Half of 10,000 in BTC at 100; its price then halves, in a candle that nobody had to look at."""
    one_leg = group_settings(("0", "100", "90"), capital_pct_of_equity="50")
    asked = portfolio(2, cash="10000")
    bots = tuple(replace(bot, settings=one_leg) for bot in asked.bots)
    asked = replace(asked, bots=bots)
    halved = [FLAT, FLAT, (10000, 10000, 5000, 5000), (5000,) * 4, (5000,) * 4]
    for pace in PACES:
        sent = [alert("BTC", 0), alert("ETH", 4)]
        ledger = played(asked, [tape(halved), tape([FLAT] * 5)], sent, pace=pace)
        first, second = ledger.of(EntrySized)
        assert (first.equity, first.marks, first.capital) == (10_000 * 10**8, (), 5000 * 10**8)
        assert (second.equity, second.marks) == (7500 * 10**8, (("BTC/USDT", 5000),))
        assert second.capital == 3750 * 10**8
        assert fills(ledger)[-1] == (4, "ETH", "buy", 10000)
        assert ledger.of(OrderFilled)[-1].quantity == 37_500


# --- intervals that differ -------------------------------------------------------------------------------------------


def test_an_order_that_comes_inside_a_longer_candle_rests_from_the_next_one_on() -> None:
    """The five-minute candle that opened before the alert began without it, whatever it goes to."""
    wild = (10000, 13000, 7000, 10000)
    tapes = [tape([wild] * 3, 5), tape([FLAT] * 15)]
    for minute, opened in ((0, 0), (1, 5), (2.5, 5), (5, 5), (5.5, 10)):
        ledger = played(portfolio(2), tapes, [alert("BTC", minute)])
        assert fills(ledger)[0][:3] == (opened, "BTC", "buy"), minute


def test_an_alert_inside_a_longer_candle_acts_on_the_shorter_ones_at_once_and_knows_no_more_than_has_ended() -> None:
    tapes = [tape([(10000, 10000, 10000, 11000), (11000,) * 4], 5), tape([FLAT] * 10)]
    ledger = played(portfolio(2), tapes, [alert("ETH", 2), alert("BTC", 3), alert("BTC", 6, "exit")])
    assert fills(ledger)[0] == (2, "ETH", "buy", 10000)
    assert [event.last_close for event in ledger.of(SignalAccepted)] == [10000, None, 11000]


def test_a_cancel_inside_a_longer_candle_acts_at_its_end() -> None:
    """The limit rests in the candle of minute 5 already; the exit at minute 7 finds it filled."""
    legs = (("0", "50", "1"), ("-5", "50", "1"))
    longer = [FLAT, (10000, 10000, 9000, 10000), FLAT, FLAT]
    for minute, bought in ((5, 1), (5.5, 2), (7, 2), (10, 2)):
        asked = portfolio(2)
        asked = Portfolio(asked.markets, tuple(_with_legs(bot, legs) for bot in asked.bots), asked.balances)
        ledger = played(asked, [tape(longer, 5), tape([FLAT] * 20)], [alert("BTC", 0), alert("BTC", minute, "exit")])
        assert len([fill for fill in fills(ledger) if fill[2] == "buy"]) == bought, minute
        sold = sum(fill.quantity for fill in ledger.of(OrderFilled) if fill.side == "sell")
        assert sold == sum(fill.quantity for fill in ledger.of(OrderFilled) if fill.side == "buy")


def _with_legs(bot: BotSetup, legs: Any) -> BotSetup:
    return BotSetup(bot.bot, bot.source, bot.instrument, group_settings(*legs))


def test_a_cancel_that_waits_for_its_candle_s_end_is_no_fill_s_loss() -> None:
    """At the venue itself: the order is met by the candle it is cancelled in, and the cancel then finds nothing."""
    (market,) = portfolio(1).markets
    book = SimulatedVenue("main", "spot", market.instrument, FREE, Wallet(10**15), 0)
    lane = Lane(market.instrument.id, tape([FLAT, (10000, 10000, 9000, 10000)], 5), book)
    limit = SubmitOrder(
        "main", 1, market.instrument.id, "buy", "limit", Quantity(1000), Price(9500), None, reduce_only=False,
        verdict=(1, 1),
    )  # fmt: skip
    assert [type(report).__name__ for report in lane.carry_out(limit, START)] == ["AcceptReported"]
    lane.passed = 1
    assert lane.carry_out(CancelOrder("main", 1, market.instrument.id), Time(START + 7 * MINUTE)) == ()
    lane.look_ahead(2, FOREVER, None)
    assert [type(report).__name__ for report in lane.play()] == ["FillReported", "CancelRejectReported"]


def test_an_order_that_another_instrument_s_fill_brings_on_rests_from_when_that_candle_ended() -> None:
    """As a queued entry does that is let in when another instrument's group closes."""
    asked = portfolio(2)
    wild, slow, fast = (10000, 13000, 7000, 10000), asked.markets[0].instrument, asked.markets[1].instrument
    market = market_of(portfolio_game(asked, [tape([wild] * 2, 5), tape([FLAT] * 10)], []))
    assert market.next(Interest()) is not None
    assert market.send([_limit(1, fast.id)])
    (filled,) = _all(market.next(Interest()))
    assert (filled.at - START, len(_venue_facts(filled))) == (0, 1)
    assert market.send([_limit(2, slow.id)]), "the other's candle of minute 0 is open"
    (filled,) = _all(market.next(Interest()))
    (fact,) = _venue_facts(filled)
    assert (filled.at - START) / MINUTE == 9, "the last candle to open that has ended"
    assert (fact.message.order, (fact.message.venue_at - START) / MINUTE) == (2, 5)  # type: ignore[attr-defined]


def _limit(number: int, instrument: InstrumentId) -> SubmitOrder:
    return SubmitOrder(
        "main",
        number,
        instrument,
        "buy",
        "limit",
        Quantity(1000),
        Price(10000),
        None,
        reduce_only=False,
        verdict=(1, 1),
    )


def _all(moments: list[Moment] | None) -> list[Moment]:
    assert moments is not None
    return moments


def test_what_was_looked_through_for_other_prices_is_looked_at_again() -> None:
    (market,) = portfolio(1).markets
    book = SimulatedVenue("main", "spot", market.instrument, FREE, Wallet(10**15), 10_000)
    lane = Lane(
        market.instrument.id, tape([FLAT, (10000, 10000, 9800, 10000), FLAT, (10000, 10000, 9500, 10000)]), book
    )
    met = []
    for watched in ((9000, 20000), (9500, 20000), (9800, 20000), (9000, 20000), (9500, 20000), None):
        lane.look_ahead(4, FOREVER, watched)
        met.append(None if lane.due == FOREVER else lane.met)
    assert met == [None, 3, 1, None, 3, None]
    lane.look_ahead(4, lane.end_of(2), (9500, 20000))
    assert lane.due == FOREVER, "not by then"


def test_time_never_goes_back_and_alerts_keep_their_order() -> None:
    tapes = [tape([FLAT] * 4, 15, 2), tape([(10000, 10100, 9900, 10000)] * 40, 1, 7), tape([FLAT] * 3, 11)]
    sent = [alert(NAMES[minute % 3], minute / 2, "buy" if minute % 4 else "exit") for minute in range(140)]
    ledger = played(portfolio(3), tapes, sent)
    times = [record.at for record in ledger.records]
    assert times == sorted(times)
    received = [record.at for record in ledger.records if record.actor in {"btc", "eth", "xrp"}]
    assert received == [each.at for each in sent]


def test_an_instrument_that_starts_late_or_ends_early_holds_nobody_up() -> None:
    tapes = [tape([FLAT] * 3), tape([FLAT] * 3, 1, 100), tape([FLAT], 1, 50)]
    ledger = played(portfolio(3), tapes, [alert("BTC", 1), alert("ETH", 1), alert("XRP", 1), alert("BTC", 60, "exit")])
    assert [fill[:3] for fill in fills(ledger)] == [(1, "BTC", "buy"), (50, "XRP", "buy"), (100, "ETH", "buy")]


# --- watched prices --------------------------------------------------------------------------------------------------


def test_a_watched_price_is_told_with_low_and_high_of_each_candle_that_reaches_it() -> None:
    up, down = (10000, 10500, 10000, 10200), (10000, 10000, 9500, 9900)
    asked = portfolio(2)
    game = portfolio_game(asked, [tape([FLAT, up, FLAT, down]), tape([FLAT] * 2)], [])
    market = market_of(game)
    interest = Interest(watched={InstrumentId("BTC/USDT"): (9500, 10500)})
    moments = [moment for group in iter(lambda: market.next(interest), None) for moment in group]
    marks = [(moment.at, fact) for moment in moments for fact in moment.facts if isinstance(fact, Mark)]
    btc = [(at - START, fact.price, fact.low, fact.high) for at, fact in marks if fact.instrument == "BTC/USDT"]
    assert btc == [(MINUTE, 10200, 10000, 10500), (3 * MINUTE, 9900, 9500, 10000)]
    assert [fact.low for _, fact in marks if fact.instrument == "ETH/USDT"] == [None]


# --- law 17 ----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from(LEGS), st.sampled_from(["keep", "cancel"]))
def test_law_17_feeds_that_skip_or_not_give_the_same_log_over_several_tapes(
    seed: int, count: int, legs: Any, when_flat: Any
) -> None:
    """Gaps, intervals, starts and lengths differ; the cash is sometimes too little for all."""
    chance = random.Random(seed)
    tapes = [_random_tape(chance) for _ in range(count)]
    span = max(each.open_times[-1] for each in tapes) - START
    sent = [_random_alert(chance, number, count, span) for number in range(chance.randint(0, 30))]
    terms = Terms(Decimal("0.0002"), Decimal("0.001"), Decimal(chance.choice(["0", "0.001"])))
    asked = portfolio(count, chance.choice(["700", "100000"]), terms)
    bots = tuple(
        BotSetup(
            bot.bot, bot.source, bot.instrument, group_settings(*legs, when_flat=when_flat, **chance.choice(SIZES))
        )
        for bot in asked.bots
    )
    asked = Portfolio(asked.markets, bots, asked.balances)
    game = portfolio_game(asked, tapes, sent)
    skipping, plain, every = ListLedger(), ListLedger(), ListLedger()
    play(game, skipping)
    play(game, every, pace="every")
    _play_plainly(game, plain)
    assert skipping.log == plain.log
    assert skipping.log == every.log
    times = [record.at for record in skipping.records]
    assert times == sorted(times)


class PlainLane(Lane):
    """Shows its book every candle, and skips none."""

    def look_ahead(self, stop: int, soonest: int, watched: Bounds | None, pace: Pace = "skip") -> bool:
        return super().look_ahead(stop, soonest, watched, "every")


def _play_plainly(game: Game, ledger: ListLedger) -> None:
    wallet = Wallet(game.cash)
    lanes = []
    for each in game.markets:
        book = SimulatedVenue(ACCOUNT, game.kind, each.instrument, each.terms, wallet, each.position)
        lanes.append(PlainLane(each.instrument.id, each.tape, book))
    market = SimulatedMarket(lanes, game.opening, game.alerts)
    run(Core(), market, ledger, market)


def _random_tape(chance: random.Random) -> Tape:
    walk = random_walk(chance, chance.randint(1, 80))
    minutes = chance.choice([1, 1, 5, 7, 60, 600])
    shift = chance.choice([0, 0, chance.randint(0, 30 * minutes)])
    gap = chance.choice([0, chance.randint(0, len(walk) - 1)])
    by = 0 if not gap else chance.randint(1, 5) * minutes
    shifted = tape_of(walk, minutes * MINUTE, (gap, by * MINUTE))
    times = [at + shift * MINUTE for at in shifted.open_times]
    return _moved(shifted, times)


def _moved(given_tape: Tape, times: list[int]) -> Tape:
    return replace(given_tape, open_times=view(np.array(times, dtype=np.int64)))


def _random_alert(chance: random.Random, number: int, count: int, span: int) -> TimedAlert:
    name = NAMES[chance.randrange(count)]
    at = Time(
        START + (chance.randint(-1, span // MINUTE + 3) * MINUTE) + chance.choice([0, 0, chance.randint(0, MINUTE)])
    )
    body = {
        "id": f"a{chance.randint(0, 3 * number)}",
        "time": time_text(at),
        "symbol": f"{name}USDT",
        "action": chance.choice(["buy", "buy", "buy", "exit"]),
        "price": chance.choice(["100", "99.987", "101.5"]),
    }
    return TimedAlert(at, name.lower(), json.dumps(body))
