"""Every event reads as a sentence, with the numbers that it was decided on."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.account import events as account
from domain.account.limits import RiskLimits
from domain.bot.events import EntrySized
from domain.bot.settings import Sizing
from domain.catalogue import BY_TAG, EVENTS
from domain.execution_pool.events import Candidate, SignalPromoted
from domain.message import Event
from domain.portfolio_risk.events import Loser, OffsetChosen, OffsetCompleted, OffsetEvaluated, Winner
from domain.signal.events import AlertReceived, SignalStale
from domain.strategy import events as strategy
from domain.strategy.events import StrategyActed
from domain.strategy.intents import CLOSE, Cancel, Intent, Place
from domain.values import Asset, Cash, Fee, Price, Quantity, Time
from replay.sentences import MINOR, SENTENCES, say
from replay.sentences.signal import BODY_MAX
from replay.sentences.units import Sentence, Units, number, span
from tests import spec
from tests.infrastructure.event_store.test_codec import any_event

UNITS = Units({spec.BTC: spec.instrument()}, {("dca", 1): spec.BTC}, {"s": ("fast", "slow")})
"""BTC/USDT in cents and thousandths; group dca/1 trades it; strategy s has two features."""


def unsaid(events: Iterable[type[Event]], sentences: Mapping[type[Event], Sentence]) -> list[str]:
    return [event.__name__ for event in events if event not in sentences]


def test_every_event_of_the_catalogue_has_a_sentence() -> None:
    assert unsaid(EVENTS, SENTENCES) == []
    assert set(EVENTS) >= MINOR


def test_an_event_without_one_is_found() -> None:
    class Planted(Event, frozen=True, array_like=True, tag="planted.v1"):
        """Of no sentence."""

    rest = {event: sentence for event, sentence in SENTENCES.items() if event is not account.OrderDenied}
    assert unsaid((*EVENTS, Planted), rest) == ["OrderDenied", "Planted"]


@pytest.mark.parametrize("event_type", EVENTS, ids=BY_TAG)
@settings(max_examples=5)
@given(data=st.data())
def test_whatever_lies_on_the_log_can_be_said(event_type: type[Event], data: st.DataObject) -> None:
    """Forged amounts and unknown instruments too: whoever looks into a damaged log gets to see it."""
    assert say(data.draw(any_event(event_type)), UNITS)


def intended(**changes: Any) -> account.OrderIntended:
    fields: dict[str, Any] = {
        "account": "main", "order": 7, "bot": "dca", "group": 1, "leg": 0, "role": "entry", "instrument": spec.BTC,
        "side": "buy", "type": "limit", "quantity": 1500, "limit": 4_625_050, "stop": None, "reference": 4_625_050,
        "reduce_only": False,
    }  # fmt: skip
    return account.OrderIntended(**{**fields, **changes})


def filled(**changes: Any) -> account.OrderFilled:
    fields: dict[str, Any] = {
        "account": "main", "order": 7, "bot": "dca", "group": 1, "leg": 0, "role": "stop", "instrument": spec.BTC,
        "side": "sell", "price": 4_400_000, "quantity": 1500, "cash": Cash(66_000 * 10**8), "received": 1500,
        "fee": Fee(66 * 10**8), "fee_asset": spec.USDT, "liquidity": "taker", "trade": "t1", "venue_at": 0, "remaining": 0,
    }  # fmt: skip
    return account.OrderFilled(**{**fields, **changes})


def loser(**changes: Any) -> Loser:
    fields: dict[str, Any] = {
        "bot": "dca", "group": 1, "instrument": spec.BTC, "direction": "long", "held": 1000, "average": Decimal(50_000),
        "mark": 4_700_000, "loss_pct": Decimal("-6.0000"), "loss": Cash(3000 * 10**8), "costs": Cash(10**8),
        "pyramids": 3, "max_pyramids": 3, "opened_at": 0, "timer_from": 0, "verdict": "qualified",
    }  # fmt: skip
    return Loser(**{**fields, **changes})


def acted(*intents: Intent, **changes: Any) -> StrategyActed:
    acted = StrategyActed("s", "main", spec.BTC, Price(4_625_050), Quantity(1500), (), intents)
    return structs.replace(acted, **changes)


BUY = Place("buy", "limit", Quantity(100), Price(4_600_000), leg=3)

WINNER = Winner(
    "eth", 4, spec.BTC, "long", Quantity(9000), Decimal(40_000), Price(4_700_000), Cash(9000 * 10**8), Quantity(500),
    Cash(3001 * 10**8),
)  # fmt: skip


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (intended(), "order 7, entry of dca/1, leg 0: buy 1.5 BTC at 46,250.5 or better"),
        (
            intended(bot="", group=0, role="manual", type="market", limit=None, side="sell", reduce_only=True),
            "order 7, by hand: sell 1.5 BTC at market, now about 46,250.5, only to reduce",
        ),
        (
            intended(role="stop", type="stop_limit", stop=4_400_000, limit=4_390_000),
            "order 7, stop of dca/1: buy 1.5 BTC once the price comes to 44,000, at 43,900 or better",
        ),
        (
            account.OrderDenied("main", 7, "dca", 1, 0, "entry", spec.BTC, Quantity(1500), "NOTIONAL_BELOW_MINIMUM",
                                "notional=4.2, minimum=5", 3),
            ("risk denies order 7, NOTIONAL_BELOW_MINIMUM: notional=4.2, minimum=5; 1.5 BTC not traded, never sent; limits "
            "version 3"),
        ),
        (
            account.RiskPassed("main", 7, spec.BTC, Cash(69_375 * 10**8), Cash(69_444 * 10**8)),
            "risk lets order 7 pass: worth 69,375 USDT, holds back 69,444 USDT; no limits set",
        ),
        (filled(), "the stop, order 7 sold 1.5 BTC at 44,000 for 66,000 USDT, fee 66 USDT (taker); all of it"),
        (
            filled(role="entry", side="buy", fee=Fee(2), fee_asset="BTC", remaining=500),
            "order 7 bought 1.5 BTC at 44,000 for 66,000 USDT, fee 0.002 BTC (taker); 0.5 BTC to go",
        ),
        (
            account.OrderCanceled("main", 7, "dca", 1, 0, "entry", spec.BTC, Quantity(1500), "canceled"),
            "order 7 is cancelled with 1.5 BTC not traded: as asked",
        ),
        (account.CancelRequested("main", 7, "by user:ann"), "order 7 is to be cancelled: by user:ann"),
        (
            account.RiskLimitsSet("main", 2, RiskLimits(Asset("USDT"), account_exposure_max=Decimal(40_000))),
            "limits version 2 of account main: currency USDT, account_exposure_max 40000",
        ),
        (
            SignalPromoted("main", "dca", "tv", 9, spec.BTC, "5m", 3, (
                Candidate("dca", "tv", 9, spec.BTC, "5m", "long", 0, True, Decimal(100), Decimal("99.50"), 2, 4),
                Candidate("eth", "tw", 1, spec.BTC, "1h", "short", 1, False, Decimal(100), None, 0, 1),
            ), 1),
            ("a slot is free: alert 9 of tv is first of 3 that wait: 1. BTC/USDT long (goes on with a live group, wants 100, "
            "market 99.5, 2 replacements, place 4); 2. BTC/USDT short (put first by hand, wants 100, market unknown, place "
            "1); and 1 more"),
        ),
        (
            OffsetChosen("main", 2, 1, 1, "dca", 1, Cash(3001 * 10**8), (WINNER,), 1, (loser(),), 1, (WINNER,)),
            ("offset 2: group dca/1 is to be closed, 3,001 USDT needed: 0.5 BTC of eth/4 pays 3,001 USDT; losers ranked: dca/1 "
            "-6 % at 47,000, loses 3,000 USDT, pyramids 3 of 3, qualifies; winners ranked: eth/4 at 47,000 could pay 9,000 USDT"),
        ),
        (
            OffsetEvaluated("main", 5, 1, "no_loser", 2, (loser(verdict="waiting"),), 0, (), Cash(0), Cash(0)),
            ("evaluation 5, nothing is done: no loser qualifies; beyond the threshold: dca/1 -6 % at 47,000, loses 3,000 USDT, "
            "pyramids 3 of 3, has not waited long enough and 1 more"),
        ),
        (
            OffsetCompleted("main", 2, "dca", 1, Cash(10**8), Cash(-(10**8)), Cash(0)),
            "offset 2 is done: loser dca/1 lost -1 USDT, winners paid 1 USDT, together 0 USDT",
        ),
        (
            EntrySized(
                "dca", 1, "main", "tv", 9, spec.USDT, Sizing("risk_pct_of_equity", Decimal(1)), Cash(10_000 * 10**8),
                ((spec.BTC, Price(4_625_050)),), Cash(100 * 10**8), Decimal("2.50"), Cash(4_000 * 10**8),
            ),
            "the entry may cost 4,000 USDT, by risk_pct_of_equity 1; an equity of 10,000 USDT at BTC/USDT 46,250.5; a risk of 100 USDT; a stop 2.5 % from the average",
        ),
        (
            intended(role="strategy", group=0, bot="s", leg=3),
            "order 7, of strategy s, leg 3: buy 1.5 BTC at 46,250.5 or better",
        ),
        (
            account.CancelRequested("main", 7, "strategy"),
            "order 7 is to be cancelled: its strategy wants it so",
        ),
        (
            strategy.StrategyStarted("s", "main", "grid", "0123456789abcdefgh", spec.instrument(), '{"levels":5}', ("a", "b")),
            'grid starts as s on BTC/USDT of account main: {"levels":5}; features a, b; code 0123456789abcdef',
        ),
        (
            strategy.StrategyConfigured("s", "", '{"levels":6}', ()),
            'strategy s goes on with {"levels":6}',
        ),
        (
            acted(Place("buy", "market", Quantity(500)), values=(1_234_567, 0.25)),
            ("strategy s at a candle's close: the price is 46,250.5, it holds 1.5 BTC; fast 1,234,567, slow 0.25; it buys "
            "0.5 BTC at market"),
        ),
        (
            acted(BUY, order=12),
            ("strategy s at the fill of order 12: the price is 46,250.5, it holds 1.5 BTC; it buys 0.1 BTC at 46,000 or better "
            "(leg 3)"),
        ),
        (
            acted(Place("sell", "stop", Quantity(500), stop=Price(4_500_000)), Cancel((1, 2)), Cancel(), reason="my own"),
            ("strategy s at a candle's close: the price is 46,250.5, it holds 1.5 BTC; it sells 0.5 BTC once the price comes to "
            "45,000; cancels its legs 1, 2; cancels all its orders, because my own"),
        ),
        (
            acted(CLOSE, reason="stop loss"),
            ("strategy s at a candle's close: the price is 46,250.5, it holds 1.5 BTC; it cancels all its orders, to close "
            "what it holds when they are gone, because the price is too far below its levels"),
        ),
        (
            acted(reason="outside"),
            ("strategy s at a candle's close: the price is 46,250.5, it holds 1.5 BTC; it trades nothing, because the price is "
            "outside its levels"),
        ),
        (
            strategy.StrategyFailed("s", "main", "ZeroDivisionError: division by zero"),
            "strategy s has failed and decides nothing until it is resumed: ZeroDivisionError: division by zero",
        ),
        (
            strategy.StrategyRefused("s", "resume", "STATUS_WRONG", "status=running"),
            "strategy s: resume refused, STATUS_WRONG: status=running",
        ),
        (
            SignalStale("tv", 4, "a", 90_000_000, 60_000_000),
            "stale, nothing is done: 1 min 30 s old when it came, at most 1 min allowed",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Event) else "",
)  # fmt: skip
def test_sentences(event: Event, said: str) -> None:
    assert say(event, UNITS) == said


def test_many_intents_are_counted() -> None:
    assert say(acted(*[BUY] * 19), UNITS).endswith("(leg 3); and 13 orders more")
    assert "more" not in say(acted(*[BUY] * 6), UNITS)


def test_features_without_a_name_are_told_all_the_same() -> None:
    values = (1, 2, 3)
    assert "; fast 1, slow 2, 3; " in say(acted(BUY, values=values), UNITS)
    assert "; 1, 2, 3; " in say(acted(BUY, values=values, bot="other"), UNITS)


def test_what_is_of_an_unknown_instrument_is_said_in_quanta() -> None:
    nothing = Units({}, {})
    assert say(intended(), nothing) == "order 7, entry of dca/1, leg 0: buy 1,500 quanta at 4,625,050 quanta or better"
    assert "1 quanta" in say(OffsetCompleted("main", 2, "dca", 1, Cash(1), Cash(0), Cash(0)), nothing)


def test_a_forged_number_does_not_hide_the_event() -> None:
    forged = structs.replace(spec.instrument(), quote_scale=-1)
    listed = account.InstrumentListed("main", forged, Decimal(0), Decimal(0), Decimal(0))
    assert say(listed, UNITS) == "account.instrument_listed.v1 with numbers that make no sense"


def test_a_long_body_is_cut() -> None:
    said = say(AlertReceived("tv", 1, "x" * 1000), UNITS)
    assert said.endswith(f"{'x' * BODY_MAX}... (1,000 characters)")
    assert "x" * (BODY_MAX + 1) not in said


def test_spans_and_numbers() -> None:
    assert [span(each) for each in (90_000_000, 172_800_000_000, 97_200_000_000, 1_500)] == [
        "1 min 30 s", "2 d", "1 d 3 h", "1.5 ms",
    ]  # fmt: skip
    assert [number(Decimal(each)) for each in ("1E+3", "1200.50", "-0.10", "100")] == [
        "1,000",
        "1,200.5",
        "-0.1",
        "100",
    ]
    assert say(account.SessionStarted("main", Time(0), "day", Cash(0), (), Time(2**62)), UNITS)
