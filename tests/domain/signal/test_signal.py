"""Alerts: recorded as they came, judged, and counted once."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from domain.message import Event
from domain.signal.alert import parse_alert, plain_symbol
from domain.signal.body import MalformedAlertError
from domain.signal.commands import DeliverAlert, OpenSource
from domain.signal.decider import DECIDER
from domain.signal.events import AlertReceived, SignalAccepted, SignalDuplicated, SignalMalformed, SignalRefused
from domain.values import parse_time
from tests.conftest import shared_data
from tests.spec import BTC, Story, given, kinds

NOW = parse_time("2022-01-01T00:05:02Z")


def source(lag_us_max: int | None = None) -> Story:
    story = given(DECIDER)
    story.when(OpenSource("signals", "dca", BTC, lag_us_max))
    return story


def body(**changes: Any) -> str:
    fields = {"id": "a1", "time": "2022-01-01T00:05:00Z", "symbol": "BTCUSDT", "action": "buy", "price": "46250.00"}
    return json.dumps({key: value for key, value in {**fields, **changes}.items() if value is not None})


def verdict(story: Story, text: str) -> Event:
    received, judged = story.when(DeliverAlert("signals", text), NOW, {BTC: 4625000})
    assert isinstance(received, AlertReceived)
    assert received.body == text
    return judged


def test_a_well_formed_alert_is_accepted_with_its_exact_price_and_the_last_close() -> None:
    event = verdict(source(), body(price="46250.123456789"))
    assert isinstance(event, SignalAccepted)
    assert (event.bot, event.action, event.price, event.last_close) == (
        "dca",
        "buy",
        Decimal("46250.123456789"),
        4625000,
    )
    assert event.alert_at == 1640995500_000000


def test_a_price_as_a_json_number_is_exact_too() -> None:
    event = verdict(
        source(), '{"time":"2022-01-01T00:05:00Z","symbol":"BTCUSDT","action":"buy","price":0.1000000000000001}'
    )
    assert isinstance(event, SignalAccepted)
    assert event.price == Decimal("0.1000000000000001")


def test_the_same_id_is_a_duplicate_whatever_became_of_the_first() -> None:
    story = source()
    assert isinstance(verdict(story, body(symbol="ETHUSDT")), SignalRefused)
    assert isinstance(verdict(story, body()), SignalDuplicated)


def test_a_malformed_alert_does_not_use_its_id_up() -> None:
    story = source()
    assert isinstance(verdict(story, body(price="NaN")), SignalMalformed)
    assert isinstance(verdict(story, body()), SignalAccepted)


def test_without_an_id_symbol_time_order_and_action_tell_alerts_apart() -> None:
    story = source()
    assert isinstance(verdict(story, body(id=None)), SignalAccepted)
    assert isinstance(verdict(story, body(id=None, price="1")), SignalDuplicated)
    assert isinstance(verdict(story, body(id=None, action="exit")), SignalAccepted)
    assert isinstance(verdict(story, body(id=None, order_id="7")), SignalAccepted)


def test_an_id_is_never_taken_for_a_composed_identity() -> None:
    story = source()
    composed = verdict(story, body(id=None))
    assert isinstance(composed, SignalAccepted)
    assert isinstance(verdict(story, body(id=composed.alert_id)), SignalAccepted)


@pytest.mark.parametrize(("allowed", "kind"), [(1_999_999, "SignalStale"), (2_000_000, "SignalAccepted")])
def test_an_alert_older_than_its_source_allows_is_stale(allowed: int, kind: str) -> None:
    story = source(allowed)
    assert kinds([verdict(story, body())]) == [kind]
    assert isinstance(verdict(story, body()), SignalDuplicated)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT", "btc-usdt", "BINANCE:BTCUSDT", "BTC_USDT"])
def test_a_symbol_is_known_in_the_ways_charts_write_it(symbol: str) -> None:
    assert plain_symbol(symbol) == "BTCUSDT"
    assert isinstance(verdict(source(), body(symbol=symbol)), SignalAccepted)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "NOT_JSON"),
        ("buy BTCUSDT", "NOT_JSON"),
        ("{'action': 'buy'}", "NOT_JSON"),
        ("[1]", "NOT_AN_OBJECT"),
        ("[" * 100, "NOT_JSON"),
        ("[" * 101, "TOO_NESTED"),
        (body(time="0001-01-01T00:00:00+23:59"), "TIME_INVALID"),
        ("1" * 5000, "NOT_AN_OBJECT"),
        (body(price="1_000"), "PRICE_INVALID"),
        ('{"price": NaN}', "NUMBER_NOT_FINITE"),
        (body(price="NaN"), "PRICE_INVALID"),
        (body(price="inf"), "PRICE_INVALID"),
        (body(price="-1"), "PRICE_INVALID"),
        (body(price="0"), "PRICE_INVALID"),
        (body(price="1e999999"), "PRICE_INVALID"),
        (body(price=True), "PRICE_INVALID"),
        (body(price=[1]), "PRICE_INVALID"),
        (body(price="{{close}}"), "PRICE_INVALID"),
        (body(time=None), "FIELD_MISSING"),
        (body(time="yesterday"), "TIME_INVALID"),
        (body(time="2022-01-01T00:05:00"), "TIME_INVALID"),
        (body(symbol=None), "FIELD_MISSING"),
        (body(symbol=""), "FIELD_INVALID"),
        (body(symbol={"a": 1}), "FIELD_INVALID"),
        (body(action="hold"), "ACTION_UNKNOWN"),
        (body(id="x" * 201), "FIELD_INVALID"),
        (body(id="a\u0000b"), "FIELD_INVALID"),
    ],
)
def test_what_is_no_alert_says_where(text: str, code: str) -> None:
    event = verdict(source(), text)
    assert isinstance(event, SignalMalformed)
    assert event.code == code


@hypothesis_given(
    st.one_of(st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
)
def test_no_body_is_too_strange_for_a_verdict(text: str) -> None:
    assert kinds(source().when(DeliverAlert("signals", text), NOW))[0] == "AlertReceived"


def test_bodies_as_users_write_them_parse_or_get_a_named_verdict() -> None:
    lines = (shared_data("webhooks") / "tradingview_payloads.jsonl").read_text().splitlines()
    codes = set()
    for line in lines:
        try:
            parse_alert(json.loads(line)["body"])
        except MalformedAlertError as error:
            codes.add(error.code)
    assert codes <= {
        "NOT_JSON",
        "FIELD_MISSING",
        "FIELD_INVALID",
        "TIME_INVALID",
        "PRICE_INVALID",
        "ACTION_UNKNOWN",
        "TOO_NESTED",
    }
