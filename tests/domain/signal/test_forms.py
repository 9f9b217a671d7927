"""Every form of an alert comes to the same thing, and every body to a verdict."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st
from msgspec import structs

from domain.errors import InputError
from domain.message import Event
from domain.policies.route_signal import act_on_signal
from domain.signal.alert import plain_timeframe
from domain.signal.commands import DeliverAlert, OpenSource
from domain.signal.decider import DECIDER
from domain.signal.events import (
    AlertReceived,
    SignalAccepted,
    SignalDuplicated,
    SignalMalformed,
    SignalRefused,
    SignalStale,
    SourceOpened,
)
from domain.signal.paths import check_mapping
from domain.values import Price, parse_time
from tests.spec import BTC, Story, given

NOW = parse_time("2022-01-01T00:05:02Z")
AT = "2022-01-01T00:05:00Z"
MAPPING = {
    "id": "$.meta.id", "order_id": "$['data']['order id']", "time": "$.data.at", "symbol": "$.data.ticker",
    "action": "$.data.orders[0].do", "timeframe": "$.data.tf", "price": "$.data.strategy-order-price",
    "quantity": '$.data["qty"]', "market_position": "$.data.mp", "market_position_size": "$.data.mps",
    "max_lag": "$.lag",
}  # fmt: skip


def source(mapping: dict[str, str] | None = None, follow: Any = "action", lag_us_max: int | None = None) -> Story:
    story = given(DECIDER)
    story.when(OpenSource("signals", "dca", BTC, lag_us_max, mapping or {}, follow))
    return story


def verdict(story: Story, content: Any, at: int = NOW) -> Event:
    text = content if isinstance(content, str) else json.dumps(content)
    received, judged = story.when(DeliverAlert("signals", text), at, {BTC: 4625000})
    assert isinstance(received, AlertReceived)
    return judged


def accepted(event: Event) -> SignalAccepted:
    assert isinstance(event, SignalAccepted), event
    return event


def code_of(event: Event) -> str:
    assert isinstance(event, SignalMalformed | SignalRefused), event
    return event.code


# --- the same alert in each form -------------------------------------------------------------------------------------


def own(alert: dict[str, Any]) -> dict[str, Any]:
    return alert


def bot_shape(alert: dict[str, Any]) -> dict[str, Any]:
    position = {key: alert[key] for key in ("market_position", "market_position_size") if key in alert}
    renamed = {"time": "timestamp", "symbol": "tv_instrument", "price": "trigger_price"}
    flat = {renamed.get(key, key): value for key, value in alert.items() if key not in {*position, "quantity"}}
    order = {"amount": alert["quantity"], "currency_type": "base"} if "quantity" in alert else {}
    return {**flat, "secret": "x", "tv_exchange": "BINANCE", "strategy_info": position, "order": order, "bot_uuid": "u"}


def engine_shape(alert: dict[str, Any]) -> dict[str, Any]:
    renamed = {"price": "close_price", "quantity": "order_size"}
    ours = {"symbol", "action", "timeframe", "price", "quantity", "market_position", "market_position_size"}
    tv = {renamed.get(key, key): value for key, value in alert.items() if key in ours}
    intent = {"type": "signal", "side": alert["action"], "position_size_type": "contracts"}
    body = {"secret": "x", "timestamp": alert["time"], "tv": {"exchange": "BINANCE", **tv}, "execution_intent": intent}
    if "order_id" in alert:
        body["strategy_info"] = {"trade_id": alert["order_id"]}
    return {**body, **{key: alert[key] for key in ("id", "max_lag") if key in alert}}


def mapped_shape(alert: dict[str, Any]) -> dict[str, Any]:
    names = {
        "order_id": "order id", "time": "at", "symbol": "ticker", "timeframe": "tf", "price": "strategy-order-price",
        "quantity": "qty", "market_position": "mp", "market_position_size": "mps",
    }  # fmt: skip
    data: dict[str, Any] = {names[key]: value for key, value in alert.items() if key in names}
    data["orders"] = [{"do": alert["action"]}]
    body: dict[str, Any] = {"data": data, "meta": {}}
    if "id" in alert:
        body["meta"]["id"] = alert["id"]
    if "max_lag" in alert:
        body["lag"] = alert["max_lag"]
    return body


NUMBERS = st.decimals(
    min_value=Decimal("0.00000001"), max_value=Decimal(10**12), allow_nan=False, allow_infinity=False
)  # fmt: skip
ALERTS = st.fixed_dictionaries(
    {
        "time": st.just(AT),
        "symbol": st.sampled_from(["BTCUSDT", "BINANCE:BTCUSDT", "ETHUSDT", ""]),
        "action": st.sampled_from(["buy", "SELL", "long", "short", "exit", "close", "hold", "target"]),
    },
    optional={
        "id": st.sampled_from(["a1", "~x", "x" * 201]),
        "order_id": st.sampled_from(["Long", "7"]),
        "timeframe": st.sampled_from(["5", "5m", "60", "1D"]),
        "price": NUMBERS.map(str) | st.just("NaN"),
        "quantity": NUMBERS.map(str) | st.just("-1"),
        "market_position": st.sampled_from(["long", "short", "flat", "{{strategy.market_position}}"]),
        "market_position_size": NUMBERS.map(str) | st.just("0"),
        "max_lag": st.sampled_from(["300", "1", 2, "-1"]),
    },
)


@hypothesis_given(ALERTS, st.sampled_from(["action", "position"]), st.sampled_from([None, 1_000_000, 60_000_000]))
def test_the_same_alert_in_any_form_is_decided_the_same(alert: dict[str, Any], follow: Any, lag: int | None) -> None:
    expected = verdict(source(None, follow, lag), own(alert))
    for form, mapping in ((bot_shape, None), (engine_shape, None), (mapped_shape, MAPPING)):
        said = verdict(source(mapping, follow, lag), form(alert))
        if isinstance(expected, SignalMalformed):
            assert isinstance(said, SignalMalformed)
            assert said.code == expected.code
            assert said.reason.startswith(expected.reason)
        else:
            assert said == expected


@pytest.mark.parametrize("form", [own, bot_shape, engine_shape])
def test_an_alert_that_comes_in_two_forms_counts_once(form: Any) -> None:
    alert = {"time": AT, "symbol": "BTCUSDT", "action": "buy", "order_id": "L", "price": "1"}
    story = source()
    accepted(verdict(story, own(alert)))
    assert isinstance(verdict(story, form(alert)), SignalDuplicated)


def test_each_key_reaches_the_signal_and_the_bot() -> None:
    alert = {
        "id": "a1", "time": AT, "symbol": "BTCUSDT", "action": "buy", "timeframe": "60", "price": "46250.10",
        "quantity": "0.5",
    }  # fmt: skip
    for form, mapping in ((own, None), (bot_shape, None), (engine_shape, None), (mapped_shape, MAPPING)):
        event = accepted(verdict(source(mapping), form(alert)))
        assert event == SignalAccepted(
            "signals", 1, "dca", "a1", parse_time(AT), BTC, "1h", "buy", Decimal("46250.10"), Price(4625000),
            Decimal("0.5"),
        )  # fmt: skip
        (command,) = act_on_signal(event)
        assert structs.astuple(command) == (
            "dca", "signals", 1, "buy", Decimal("46250.10"), Price(4625000), "1h", None,
        )  # fmt: skip


def test_a_foreign_verdict_names_where_the_key_was_looked_for() -> None:
    event = verdict(source(), {"tv_instrument": "BTCUSDT", "action": "buy"})
    assert isinstance(event, SignalMalformed)
    assert (event.code, event.reason) == ("FIELD_MISSING", "time is missing (it is $.timestamp)")
    event = verdict(source(MAPPING), mapped_shape({"time": AT, "symbol": "BTCUSDT", "action": "hold"}))
    assert isinstance(event, SignalMalformed)
    assert event.reason.endswith("(it is $.data.orders[0].do)")


@pytest.mark.parametrize(("unit", "known"), [("base", True), ("contracts", True), ("quote", False), ([1], False)])
def test_an_amount_that_is_not_in_the_base_asset_is_no_quantity(unit: Any, known: bool) -> None:
    alert = {"time": AT, "symbol": "BTCUSDT", "action": "buy", "quantity": "2"}
    body, engine = bot_shape(alert), engine_shape(alert)
    body["order"]["currency_type"] = engine["execution_intent"]["position_size_type"] = unit
    for content in (body, engine):
        assert accepted(verdict(source(), content)).quantity == (Decimal(2) if known else None)


# --- the execution-engine form ---------------------------------------------------------------------------------------


def engine(action: Any = "buy", tv: Any = None, **intent: Any) -> dict[str, Any]:
    chart = {"exchange": "BINANCE", "symbol": "BTCUSDT", "action": action, **(tv or {})}
    content = {"secret": "x", "tv": chart, "execution_intent": intent}
    return {key: value for key, value in content.items() if value != {}}


@pytest.mark.parametrize(
    ("content", "action"),
    [
        (engine(type="signal", side="buy"), "buy"),
        (engine("sell", type="signal", side="sell"), "sell"),
        (engine(None, type="signal", side="short"), "sell"),
        (engine("sell"), "sell"),
        (engine("sell", type="exit"), "exit"),
        (engine("sell", type="close", side="long"), "exit"),
        (engine("Buy", type="signal", side=" LONG "), "buy"),
        (engine("sell", {"market_position": "long", "market_position_size": 2}, type="target"), "target"),
        (engine("sell", {"market_position": "flat"}, type="signal", side="sell"), "exit"),
        (engine("sell", {"market_position": "flat"}, type="signal", side="buy"), "exit"),
    ],
)
def test_the_intent_says_what_to_do(content: dict[str, Any], action: str) -> None:
    assert accepted(verdict(source(), content)).action == action


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (engine("sell", type="signal", side="buy"), "ACTION_CONTRADICTED"),
        (engine("buy", type="signal", side="{{side}}"), "ACTION_CONTRADICTED"),
        (engine("hold", type="signal", side="hold"), "ACTION_UNKNOWN"),
        (engine(None), "FIELD_MISSING"),
        (engine(None, side={"a": 1}), "FIELD_INVALID"),
        ({"tv": "BTCUSDT"}, "FIELD_MISSING"),
    ],
)
def test_an_intent_that_cannot_be_understood_says_where(content: dict[str, Any], code: str) -> None:
    assert code_of(verdict(source(), content)) == code


def test_an_alert_that_tells_no_time_is_of_when_it_comes() -> None:
    story = source()
    assert accepted(verdict(story, engine())).alert_at == NOW
    assert isinstance(verdict(story, engine()), SignalDuplicated)
    accepted(verdict(story, engine(), NOW + 1))


def test_where_age_is_limited_an_alert_must_tell_its_time() -> None:
    assert code_of(verdict(source(lag_us_max=60_000_000), engine())) == "FIELD_MISSING"
    assert code_of(verdict(source(), {**engine(), "max_lag": 60})) == "FIELD_MISSING"


# --- age -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own_limit", "limit", "stale"),
    [
        (None, None, None), ("2", None, None), ("1.999999", None, 1_999_999), (None, 1_999_999, 1_999_999),
        ("300", 1_000_000, 1_000_000), (1, 60_000_000, 1_000_000), ("0", 60_000_000, 0), ("1e40", None, None),
    ],
)  # fmt: skip
def test_the_tighter_limit_of_alert_and_source_counts(own_limit: Any, limit: int | None, stale: int | None) -> None:
    event = verdict(source(lag_us_max=limit), {"time": AT, "symbol": "BTCUSDT", "action": "buy", "max_lag": own_limit})
    if stale is None:
        accepted(event)
    else:
        assert isinstance(event, SignalStale)
        assert (event.lag_us, event.lag_us_max) == (2_000_000, stale)


# --- positions -------------------------------------------------------------------------------------------------------


def strategy(action: str, after: str, size: Any = None, at: str = AT, **more: Any) -> dict[str, Any]:
    return {
        "time": at, "symbol": "BTCUSDT", "action": action, "market_position": after, "market_position_size": size,
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("action", "after", "taken"),
    [
        ("buy", "long", "buy"), ("sell", "short", "sell"), ("sell", "flat", "exit"), ("buy", "flat", "exit"),
        ("exit", "long", "exit"), ("BUY", "Long", "buy"),
    ],
)  # fmt: skip
def test_what_leaves_the_strategy_flat_is_an_exit(action: str, after: str, taken: str) -> None:
    assert accepted(verdict(source(), strategy(action, after))).action == taken


@pytest.mark.parametrize(("action", "after"), [("sell", "long"), ("buy", "short")])
def test_a_partial_exit_is_neither_an_exit_nor_an_entry(action: str, after: str) -> None:
    story = source()
    assert code_of(verdict(story, strategy(action, after, "1"))) == "POSITION_REDUCED"
    assert isinstance(verdict(story, strategy(action, after, "1")), SignalDuplicated)
    followed = accepted(verdict(source(follow="position"), strategy(action, after, "1")))
    assert (followed.action, abs(followed.target or 0)) == ("target", 1)


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ({"position": "-0.50"}, "-0.50"),
        ({"position": 2}, "2"),
        ({"position": "0.000"}, "0"),
        ({"position": "-0"}, "0"),
        ({"position": "1." + "1" * 39}, "1." + "1" * 39),
        ({"market_position": "long", "market_position_size": "1.5"}, "1.5"),
        ({"market_position": "short", "market_position_size": "1." + "1" * 39}, "-1." + "1" * 39),
        ({"market_position": "flat", "market_position_size": "0"}, "0"),
        ({"market_position": "flat"}, "0"),
        ({"action": "target", "position": "3"}, "3"),
        ({"action": None, "position": "3"}, "3"),
    ],
)
def test_a_position_without_an_action_is_a_size_to_hold(content: dict[str, Any], target: str) -> None:
    event = accepted(verdict(source(), {"time": AT, "symbol": "BTCUSDT", **content}))
    assert (event.action, event.target) == ("target", Decimal(target))
    assert str(event.target) == target
    (command,) = act_on_signal(event)
    assert structs.asdict(command)["target"] == Decimal(target)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"action": "target"}, "FIELD_MISSING"),
        ({"position": "SHORT"}, "POSITION_INVALID"),
        ({"position": "NaN"}, "POSITION_INVALID"),
        ({"position": "{{strategy.position_size}}"}, "POSITION_INVALID"),
        ({"market_position": "long"}, "FIELD_MISSING"),
        ({"market_position": "long", "market_position_size": 0}, "POSITION_INVALID"),
        ({"market_position": "flat", "market_position_size": 1}, "POSITION_INVALID"),
        ({"market_position": "short", "market_position_size": -1}, "POSITION_INVALID"),
        ({"market_position": "up", "market_position_size": 1}, "POSITION_INVALID"),
        ({"action": "buy", "market_position": "up"}, "POSITION_INVALID"),
        ({"action": "buy", "market_position": ["long"]}, "FIELD_INVALID"),
    ],
)
def test_a_position_that_contradicts_itself_says_where(content: dict[str, Any], code: str) -> None:
    assert code_of(verdict(source(), {"time": AT, "symbol": "BTCUSDT", **content})) == code


def test_a_source_that_follows_positions_looks_at_nothing_else() -> None:
    story = source(follow="position")
    event = accepted(verdict(story, strategy("buy", "short", "2")))
    assert (event.action, event.target) == ("target", Decimal(-2))
    assert code_of(verdict(story, {"time": AT, "symbol": "BTCUSDT", "action": "buy"})) == "FIELD_MISSING"


def test_a_quantity_of_nothing_is_a_quantity() -> None:
    alert = {"time": AT, "symbol": "BTCUSDT", "action": "exit", "quantity": "0"}
    assert accepted(verdict(source(), alert)).quantity == Decimal(0)


def test_beside_an_action_a_position_is_only_said() -> None:
    event = accepted(verdict(source(), {"time": AT, "symbol": "BTCUSDT", "action": "buy", "position": "LONG"}))
    assert (event.action, event.target) == ("buy", None)


def test_targets_of_one_second_are_told_apart_by_size_not_by_how_it_is_written() -> None:
    story = source()
    alert = {"time": AT, "symbol": "BTCUSDT"}
    accepted(verdict(story, {**alert, "position": "1.0"}))
    assert isinstance(verdict(story, {**alert, "position": "1"}), SignalDuplicated)
    accepted(verdict(story, {**alert, "position": "10"}))
    assert isinstance(verdict(story, {**alert, "position": "1e1"}), SignalDuplicated)
    accepted(verdict(story, {**alert, "position": "0"}))


def test_a_target_that_a_later_one_has_overtaken_is_refused() -> None:
    story = source()
    accepted(verdict(story, {"time": AT, "symbol": "BTCUSDT", "position": "2"}))
    late = {"time": "2022-01-01T00:04:59Z", "symbol": "BTCUSDT"}
    accepted(verdict(story, {"time": "2022-01-01T00:05:01Z", "symbol": "BTCUSDT", "action": "buy"}))
    accepted(verdict(story, {"time": AT, "symbol": "BTCUSDT", "position": "4"}))
    assert code_of(verdict(story, {**late, "position": "1"})) == "TARGET_OVERTAKEN"
    accepted(verdict(story, {**late, "action": "buy"}))
    accepted(verdict(story, {"time": AT, "symbol": "BTCUSDT", "position": "3"}))


# --- timeframes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("", ""), ("1", "1m"), ("5", "5m"), ("5m", "5m"), ("60", "1h"), ("60m", "1h"), ("1h", "1h"), ("1H", "1h"),
        ("90", "90m"), ("240", "4h"), ("4h", "4h"), ("1440", "1d"), ("D", "1d"), ("1D", "1d"), ("1d", "1d"),
        ("W", "1w"), ("M", "1M"), ("3M", "3M"), ("15S", "15s"), ("0", "0m"), ("daily", "daily"), ("\u0665", "\u0665"),
    ],
)  # fmt: skip
def test_a_timeframe_has_one_name(said: str, name: str) -> None:
    assert plain_timeframe(said) == name
    assert plain_timeframe(name) == name


# --- mappings --------------------------------------------------------------------------------------------------------


def test_a_mapping_is_on_the_log_in_the_order_of_our_keys() -> None:
    (event,) = given(DECIDER).when(
        OpenSource("signals", "dca", BTC, None, {"action": "$.a", "symbol": "BTCUSDT"}, "position")
    )
    assert isinstance(event, SourceOpened)
    assert (list(event.mapping.items()), event.follow) == ([("symbol", "BTCUSDT"), ("action", "$.a")], "position")


def test_a_fixed_text_stands_for_what_the_sender_never_says() -> None:
    event = accepted(verdict(source({"symbol": "BTCUSDT", "action": "$.signal"}), {"signal": "buy"}))
    assert (event.action, event.alert_at) == ("buy", NOW)


def test_with_a_mapping_only_the_mapping_counts() -> None:
    story = source({"symbol": "$.s", "action": "$.a"})
    assert code_of(verdict(story, {"time": AT, "symbol": "BTCUSDT", "action": "buy"})) == "FIELD_MISSING"
    assert accepted(verdict(story, {"s": "BTCUSDT", "a": "sell", "tv": 1, "id": "x"})).action == "sell"


@pytest.mark.parametrize("content", [{"o": 1}, {"o": []}, {"o": [1]}, {"o": {"0": {}}}, {"o": [{}]}, {"o": [[], {}]}])
def test_a_path_that_leads_nowhere_finds_nothing(content: dict[str, Any]) -> None:
    assert code_of(verdict(source({"symbol": "BTCUSDT", "action": "$.o[0].a"}), content)) == "FIELD_MISSING"


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ({"symbol": "$.s"}, "mapping: symbol and one of action, position, market_position must be in it"),
        ({"action": "$.a"}, "mapping: symbol and one of"),
        ({"symbol": "$.s", "action": "$.a", "leverage": "$.l"}, "mapping: unknown key 'leverage'; allowed: id, "),
        ({"symbol": "$.s", "action": ""}, "mapping.action must be 1 to 200 printable characters"),
        ({"symbol": "$.s", "action": "$." + "a" * 199}, "mapping.action must be 1 to 200"),
        ({"symbol": "$.s", "action": "a\0"}, "mapping.action must be 1 to 200"),
        ({"symbol": "$.s", "action": "$.a", "id": "1"}, "mapping.id is the fixed text '1'; allowed: a path"),
        *(
            ({"symbol": "$.s", "action": path}, f"{path!r} is not a path such as $.order.action")
            for path in ("$", "$a", "$.", "$..a", "$.a.", "$.a[", "$.a[x]", "$.a[-1]", "$['a", "$.a b", "$.*]", "$[]")
        ),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_by_key(mapping: dict[str, str], named: str) -> None:
    with pytest.raises(InputError) as refused:
        source(mapping)
    assert str(refused.value).startswith(named)


@hypothesis_given(st.dictionaries(st.sampled_from(["symbol", "action", "id", "x"]), st.text(max_size=20)))
def test_a_mapping_is_refused_in_words_or_reads_any_body(mapping: dict[str, str]) -> None:
    try:
        story = source(check_mapping(mapping))
    except InputError:
        return
    assert isinstance(verdict(story, '{"a": [1, {"b": null}]}'), SignalAccepted | SignalMalformed | SignalRefused)


# --- any body --------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    "id order_id time symbol action timeframe price quantity position market_position market_position_size max_lag tv"
    " tv_instrument timestamp trigger_price order strategy_info execution_intent type side amount currency_type".split()
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from([AT, "BTCUSDT", "buy", "target", "long", "flat", "1e39", "-0", "{{close}}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@hypothesis_given(
    st.dictionaries(NAMES, VALUES), st.sampled_from([None, MAPPING]), st.sampled_from(["action", "position"]),
    st.sampled_from([None, 1_000_000]),
)  # fmt: skip
def test_any_object_gets_a_verdict_that_can_be_kept(
    content: dict[str, Any], mapping: Any, follow: Any, lag: int | None
) -> None:
    story = source(mapping, follow, lag)
    event = verdict(story, content)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=type(event)) == event
    if not isinstance(event, SignalMalformed):
        assert isinstance(verdict(story, content), SignalDuplicated)


def test_events_of_older_logs_decode() -> None:
    opened = ["signal.source_opened.v1", "signals", "dca", BTC, None]
    assert msgspec.convert(opened, SourceOpened) == SourceOpened("signals", "dca", BTC)
    old = ["signal.accepted.v1", "signals", 1, "dca", "a1", 5, BTC, "5m", "buy", "1.5", 150]
    event = msgspec.convert(old, SignalAccepted)
    assert (event.price, event.quantity, event.target) == (Decimal("1.5"), None, None)
