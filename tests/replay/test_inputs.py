"""What a backtest reads: signals and configuration, exactly as they are written, or not at all."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bot.settings import GroupSettings
from domain.errors import InputError
from domain.values import parse_time
from infrastructure.venues.simulated_market import TimedAlert
from replay.inputs import read_settings, read_signals
from tests.api.stage import CONFIG

AT = "2022-01-01T00:05:00Z"


def signals(path: Path, content: str | bytes) -> list[TimedAlert]:
    file = path / "signals.jsonl"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_signals(file, "tests")


def settings(path: Path, content: str) -> GroupSettings:
    file = path / "config.toml"
    file.write_text(content)
    return read_settings(file)


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "alert"),
    [
        ('{"id": "a1",  "price": 46250.10}', '{"id": "a1",  "price": 46250.10}'),
        ('"plain text, {not} JSON"', "plain text, {not} JSON"),
        (r'"a \"quoted\" é \u00e9\n"', 'a "quoted" é é\n'),
        ('  "text"  ', "text"),
        ("null", "null"),
        ("1.50", "1.50"),
        ("[1, 2]", "[1, 2]"),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ('""', ""),
    ],
)
def test_a_body_is_the_alert_as_it_would_arrive(body: str, alert: str, tmp_path: Path) -> None:
    """A JSON string is the text in it; anything else stays as it is written, spaces and digits too."""
    (found,) = signals(tmp_path, f'{{"at": "{AT}", "body":{body}}}\n')
    assert found.body == alert
    assert (found.at, found.source) == (parse_time(AT), "tests")


@given(st.text())
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("signals")
    line = json.dumps({"at": AT, "body": text}, ensure_ascii=len(text) % 2 == 0)
    assert [alert.body for alert in signals(path, line)] == [text]


@given(
    st.lists(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5), max_size=5)
)
def test_any_json_survives(tmp_path_factory: pytest.TempPathFactory, bodies: list[Any]) -> None:
    path = tmp_path_factory.mktemp("signals")
    content = "".join(json.dumps({"body": [body], "at": AT}) + "\n" for body in bodies)
    assert [json.loads(alert.body) for alert in signals(path, content)] == [[body] for body in bodies]


def test_lines_keep_their_order_and_count(tmp_path: Path) -> None:
    line = f'{{"at": "{AT}", "body": 1}}'
    assert signals(tmp_path, "") == signals(tmp_path, "\n") == []
    assert len(signals(tmp_path, line)) == 1
    assert len(signals(tmp_path, f"{line}\n{line}\n")) == 2
    assert len(signals(tmp_path, f"{line}\r\n{line}\r\n")) == 2
    later = line.replace(":05:", ":04:")
    assert [alert.at - parse_time(AT) for alert in signals(tmp_path, f"{line}\n{later}")] == [0, -60_000_000]


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        ("2022-01-01T00:05:00+00:00", AT),
        ("2022-01-01T05:35:00+05:30", AT),
        ("2022-01-01T00:05:00.000001Z", "2022-01-01T00:05:00.000001Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2199-12-31T23:59:59.999999Z", "2199-12-31T23:59:59.999999Z"),
    ],
)
def test_times(at: str, utc: str, tmp_path: Path) -> None:
    (alert,) = signals(tmp_path, f'{{"at": "{at}", "body": 1}}')
    assert alert.at == parse_time(utc)


@pytest.mark.parametrize(
    "at", ["1969-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z", "2022-01-01T00:05:00", "2022-01-01", "5", ""]
)
def test_no_times(at: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"signals.jsonl, line 2: "):
        signals(tmp_path, f'{{"at": "{AT}", "body": 1}}\n{{"at": "{at}", "body": 1}}')


@given(st.binary(max_size=60))
def test_any_bytes_are_lines_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("signals")
    said = ""
    try:
        assert signals(path, content) == [], "sixty random bytes are no alert"
    except InputError as error:
        said = str(error)
    if said:
        assert "signals.jsonl, line " in said
        assert len(said.splitlines()) <= 3


# --- configuration ---------------------------------------------------------------------------------------------------


def test_a_configuration(tmp_path: Path) -> None:
    found = settings(tmp_path, CONFIG)
    assert found.capital == Decimal(1000)
    assert (found.entry, found.when_flat, found.max_pyramids) == ("market", "keep", 1)
    assert [(leg.gap_pct, leg.weight_pct, leg.take_profit_pct) for leg in found.legs] == [
        (Decimal(0), Decimal(40), Decimal("0.4")),
        (Decimal("-0.3"), Decimal(60), Decimal("0.5")),
    ]


def test_what_may_be_left_out(tmp_path: Path) -> None:
    found = settings(
        tmp_path, "[group]\ncapital = 5\nlegs = [{gap_pct = 0, weight_pct = 100, take_profit_pct = 0.1}]\n"
    )
    assert (found.entry, found.when_flat, found.max_pyramids) == ("market", "keep", 1)
    assert (found.capital, found.legs[0].take_profit_pct) == (Decimal(5), Decimal("0.1"))


@given(st.decimals("0.00000001", "99", places=8))
def test_a_number_is_exact_however_it_is_written(tmp_path_factory: pytest.TempPathFactory, number: Decimal) -> None:
    path = tmp_path_factory.mktemp("config")
    for text in (f'"{number:f}"', f"{number:f}", f'"{number:E}"'):
        assert settings(path, CONFIG.replace('"0.5"', text)).legs[1].take_profit_pct == number


@given(st.text(max_size=40))
def test_any_text_is_a_configuration_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("config")
    for content in (text, CONFIG.replace('"market"', text), CONFIG.replace('"1000"', text)):
        said = ""
        try:
            settings(path, content)
        except InputError as error:
            said = str(error)
        assert not said or "config.toml" in said


def test_files_that_are_none(tmp_path: Path) -> None:
    for read in (read_settings, lambda path: read_signals(path, "tests")):
        for path in (tmp_path, tmp_path / "nothing", tmp_path / "nothing" / "deeper"):
            with pytest.raises(InputError, match=f"{path} cannot be read: "):
                read(path)
