"""A template is accepted once its placeholders are filled in."""

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from api.alert_templates import FORMS, Form, template_of
from domain.signal.alert import Alert, parse_alert, plain_symbol
from domain.signal.body import MalformedAlertError
from domain.values import parse_time
from tests.api.stage import run

CHART = {
    "timenow": "2022-01-01T00:05:00Z", "exchange": "BINANCE", "ticker": "BTCUSDT", "interval": "60", "close": "46250.10",
    "strategy.order.action": "sell", "strategy.order.id": "Short", "strategy.order.contracts": "0.75",
    "strategy.position_size": "-0.5", "strategy.market_position": "short", "strategy.market_position_size": "0.5",
    "strategy.prev_market_position": "long", "strategy.prev_market_position_size": "0.25",
}  # fmt: skip
"""What a chart fills in for an order that turns a strategy short."""


def filled(form: Form, **changes: str) -> str:
    values = {**CHART, **{key.replace("__", "."): value for key, value in changes.items()}}
    return re.sub(r"\{\{(.+?)\}\}", lambda found: values[found[1]], json.dumps(template_of(form)))


@pytest.mark.parametrize("form", FORMS)
def test_a_template_filled_in_is_an_alert(form: Form) -> None:
    alert = parse_alert(filled(form))
    assert alert.at == parse_time(CHART["timenow"])
    assert (plain_symbol(alert.symbol), alert.timeframe, alert.price) == ("BTCUSDT", "1h", Decimal("46250.10"))


def test_the_forms_of_a_strategys_order_say_the_same() -> None:
    def said(form: Form) -> Any:
        alert = parse_alert(filled(form))
        return alert.identity, alert.at, alert.action, alert.timeframe, alert.price, alert.quantity, alert.reduces

    assert said("own") == said("bot") == said("engine")
    assert parse_alert(filled("own")).quantity == Decimal("0.75")
    assert parse_alert(filled("bot")).lag_us_max == 300_000_000


@pytest.mark.parametrize("form", ["own", "bot", "engine"])
def test_what_leaves_the_strategy_flat_is_an_exit_in_each(form: Form) -> None:
    flat: dict[str, str] = {"strategy__market_position": "flat", "strategy__market_position_size": "0"}
    assert parse_alert(filled(form, **flat)).action == "exit"


def test_a_target_is_the_position() -> None:
    alert = parse_alert(filled("target"))
    assert (alert.action, alert.target) == ("target", Decimal("-0.5"))
    followed: list[Alert] = [parse_alert(filled(form), follow="position") for form in ("own", "bot", "engine")]
    assert [each.target for each in followed] == [Decimal("-0.5")] * 3


@pytest.mark.parametrize("form", FORMS)
def test_a_template_not_filled_in_is_json_and_no_alert(form: Form) -> None:
    with pytest.raises(MalformedAlertError) as refused:
        parse_alert(json.dumps(template_of(form)))
    assert refused.value.code == "TIME_INVALID"


@pytest.mark.parametrize("form", FORMS)
def test_the_command_prints_it(form: Form) -> None:
    printed = run("webhook", "template", "--form", form)
    assert (printed.code, printed.err) == (0, "")
    assert json.loads(printed.out) == run("webhook", "template", "--form", form, "--json").json == template_of(form)


def test_the_command_puts_in_what_is_asked_for() -> None:
    body = json.loads(run("webhook", "template", "--form", "indicator", "--action", "exit", "--secret", "tts_x").out)
    assert (body["action"], body["secret"]) == ("exit", "tts_x")
    assert json.loads(run("webhook", "template").out) == template_of("own")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--form", "x"], "'x'"),
        (["--form", "indicator", "--action", "hold"], "allowed: buy, sell, exit"),
        (["--action", "buy"], "--action is for the form indicator"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(arguments: list[str], said: str) -> None:
    refused = run("webhook", "template", *arguments)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["action=$.a"], "symbol and one of"),
        (["symbol=$.s", "action"], "mapping.action must be"),
        (["symbol=$.s", "action=$.a=b c"], "'$.a=b c' is not a path"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_not_sent(pairs: list[str], said: str) -> None:
    refused = run("webhook", "create", "dca", *(word for pair in pairs for word in ("--map", pair)))
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err
