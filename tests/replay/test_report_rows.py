"""What the reports say of single things: who decided an order, which check fired, what a setting was before."""

import ast
import re
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from domain.account import commands as c
from domain.account import events as e
from domain.account.limits import EventWindow
from domain.bot.commands import ConfigureBot, CreateBot, PauseBot, StartBot
from domain.catalogue import EVENTS
from domain.message import Event
from domain.ports import Mark
from domain.signal.commands import MapSource, OpenSource
from domain.values import Price, Time
from replay.report import Span
from replay.reports.checks import CHECKS, figures_of
from replay.reports.controls import FIRED
from replay.reports.settings import CHANGES
from tests import spec
from tests.conftest import ROOT
from tests.domain.risk.test_in_the_engine import MANUAL, Desk, desk
from tests.replay.reporting import rows
from tests.spec import BTC, fill, order

Row = dict[str, str]


def told(found: list[Row], **wanted: str) -> list[Row]:
    return [row for row in found if all(row[name] == value for name, value in wanted.items())]


def reasons(row: Row) -> dict[str, str]:
    """Why each blank cell of a row is blank."""
    found = (part.partition("=") for part in row["blanks"].split(";"))
    return {name: code for code, _, names in found for name in names.split("+")}


# --- orders ----------------------------------------------------------------------------------------------------------


def test_a_person_is_named_where_a_person_decided() -> None:
    made = desk()
    (first, *_) = rows("orders", made.records)
    assert (first["event_type"], first["decision_person"], first["decision_algorithm"]) == ("new", "user:x", "")
    assert reasons(first)["decision_algorithm"] == "NOT_APPLICABLE"
    assert reasons(first)["isin"] == reasons(first)["time_in_force"] == "NOT_RECORDED"
    assert reasons(first)["venue_order_id"] == "NOT_YET_KNOWN"


def test_a_blank_has_one_reason_and_nothing_else_has() -> None:
    for name in ("orders", "trades", "controls", "settings"):
        for row in rows(name, desk(daily_loss_max="10").records):
            assert set(reasons(row)) == {column for column, cell in row.items() if cell == ""}


def test_a_verdict_has_its_numbers() -> None:
    made = desk(order_notional_max="200")
    made.tell(3, order(limit=10000, quantity=5000, **MANUAL))
    found = rows("orders", made.records)
    passed = told(found, event_type="release")[0]
    assert (passed["risk_outcome"], passed["risk_notional"], passed["risk_limits_version"]) == ("passed", "100", "1")
    (denied,) = told(found, event_type="deny")
    assert (denied["code"], denied["reason"], denied["status"]) == (
        "ORDER_NOTIONAL", "notional=500, limit=200", "DENIED",
    )  # fmt: skip


def test_a_fill_has_its_price_its_fee_and_what_is_left() -> None:
    made = desk()
    made.tell(3, fill(2, "t2", 50, 4990, fee=7, venue_at=2))
    (row,) = told(rows("orders", made.records), trade_id="t2")
    assert (row["event_type"], row["status"]) == ("partial_fill", "PARTIALLY_FILLED")
    assert (row["fill_price"], row["fill_quantity"], row["remaining_quantity"]) == ("49.9", "0.05", "0.15")
    assert (row["fee"], row["net_amount"], row["price_currency"]) == ("0.00000007", "-2.49500007", "USDT")
    assert (row["venue_at"], row["decided_at"]) == ("1970-01-01T00:00:00.000002Z", "1970-01-01T00:00:00.000003Z")


def test_a_fill_of_no_known_order_is_said_with_what_it_has() -> None:
    made = desk()
    made.tell(3, fill(77, "t9", 50))
    (row,) = told(rows("orders", made.records), event_type="unmatched_fill")
    assert (row["client_order_id"], row["fill_quantity"], row["status"]) == ("main/77", "0.05", "")
    assert reasons(row)["decision_algorithm"] == "NOT_RECORDED"


# --- controls --------------------------------------------------------------------------------------------------------


def test_the_checks_that_always_stand_are_there() -> None:
    found = rows("controls", desk().records)
    standing = {row["control"]: row["limit"] for row in told(found, kind="configured")}
    assert standing.items() >= {"step": "0.001", "tick": "0.01", "minimum_notional": "5", "not_halted": ""}.items()


def test_limits_are_shown_as_they_change() -> None:
    made = desk(order_notional_max="200", orders_max=5)
    made.tell(
        3, c.SetRiskLimits("main", structs.replace(limits_of(made), order_notional_max=Decimal(300), orders_max=None))
    )
    found = told(rows("controls", made.records), kind="configured", limits_version="2")
    assert [(row["control"], row["before"], row["limit"], row["actor"]) for row in found] == [
        ("limits.order_notional_max", "200", "300", "user:x"),
        ("limits.orders_max", "5", "", "user:x"),
    ]
    assert reasons(found[1])["limit"] == "NOT_SET"


def test_limits_in_force_open_a_later_range() -> None:
    made = desk(order_notional_max="200")
    made.tell(9, c.SetRiskLimits("main", structs.replace(limits_of(made), order_notional_max=Decimal(300))))
    found = rows("controls", made.records, Span(start=Time(5)))
    stood = told(found, kind="in_force", control="limits.order_notional_max")
    assert [(row["limit"], row["limits_version"], row["decided_at"]) for row in stood] == [
        ("200", "1", "1970-01-01T00:00:00Z")
    ]
    assert found[-1]["limit"] == "300"
    nothing_came = rows("controls", made.records, Span(start=Time(50)))
    assert [row["limit"] for row in told(nothing_came, control="limits.order_notional_max")] == ["300"]


def limits_of(made: Desk) -> Any:
    return made.core.state("account", "main").limits


def test_a_denial_names_the_check_with_value_and_limit() -> None:
    made = desk(order_notional_max="200")
    made.tell(3, order(limit=10000, quantity=5000, **MANUAL))
    (row,) = told(rows("controls", made.records), kind="denied")
    assert (row["control"], row["code"], row["value"], row["limit"], row["limits_version"]) == (
        "limits.order_notional_max", "ORDER_NOTIONAL", "500", "200", "1",
    )  # fmt: skip
    assert (row["client_order_id"], row["actor"]) == ("main/3", "user:x")


def test_a_kill_has_its_person_and_the_time_to_its_last_cancel() -> None:
    made = desk()
    made.tell(3, order(limit=4000, quantity=200, **MANUAL))
    made.tell(10, c.HaltTrading("main", "", "by hand"))
    made.tell(25, c.CancelReported("main", 2, 0, "canceled"))  # type: ignore[arg-type]
    assert not told(rows("controls", made.records), kind="cancels_complete")
    made.tell(31, c.CancelReported("main", 3, 0, "canceled"))  # type: ignore[arg-type]
    made.tell(40, c.ResumeTrading("main", ""))
    found = rows("controls", made.records)
    (killed,) = told(found, kind="killed")
    assert (killed["control"], killed["actor"], killed["detail"]) == ("kill_switch", "user:x", "by hand")
    assert (killed["halt"], killed["state"]) == ("1", "HALTED")
    assert [row["client_order_id"] for row in told(found, kind="cancelled")] == ["main/2", "main/3"]
    (done,) = told(found, kind="cancels_complete")
    assert (done["halt"], done["elapsed_us"], done["decided_at"]) == ("1", "21", "1970-01-01T00:00:00.000031Z")
    (resumed,) = told(found, kind="resumed")
    assert (resumed["halt"], resumed["actor"]) == ("1", "user:x")


def test_a_kill_that_finds_nothing_working_is_done_at_once() -> None:
    made = desk()
    made.tell(3, c.CancelReported("main", 2, 0, "canceled"))  # type: ignore[arg-type]
    made.tell(10, c.HaltTrading("main", "", "by hand"))
    (done,) = told(rows("controls", made.records), kind="cancels_complete")
    assert done["elapsed_us"] == "0"


def test_a_cancel_that_was_under_way_counts_for_the_kill() -> None:
    made = desk()
    made.tell(3, c.CancelOrderById("main", 2, "by user:x"))
    made.tell(10, c.HaltTrading("main", "", "by hand"))
    made.tell(14, c.CancelReported("main", 2, 0, "canceled"))  # type: ignore[arg-type]
    (done,) = told(rows("controls", made.records), kind="cancels_complete")
    assert done["elapsed_us"] == "4"
    assert not told(rows("controls", made.records), kind="cancelled"), "the person asked for it, no control"


def test_a_loss_that_halts_has_loss_and_limit() -> None:
    made = desk(daily_loss_max="10", flatten=True)
    made.tell(4, Mark(BTC, Price(9000)), c.ReviewRisk("main"))
    found = rows("controls", made.records)
    (halted,) = told(found, kind="halted")
    assert (halted["control"], halted["code"]) == ("limits.daily_loss_max", "DAILY_LOSS")
    assert (halted["value"], halted["limit"]) == ("10", "10")
    (session,) = told(found, kind="session")
    assert session["value"] == "1000"


def test_every_code_of_the_rules_has_its_check() -> None:
    """Read out of the rules' own source, so that a new code cannot be forgotten."""
    found = set()
    for path in (ROOT / "domain" / "risk").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value} if re.fullmatch(r"[A-Z]+(_[A-Z]+)*", node.value) else set()
    words = {"KILL", "HALTED", "REDUCING", "HALT_UNCONFIRMED", "LIMITS_INVALID", "ENDED", "ACTIVE", "UNKNOWN"}
    assert {"ORDER_NOTIONAL", "LEVERAGE", "DAILY_LOSS", "PRICE_COLLAR"} <= found
    assert found - words <= set(CHECKS), "give each new code a line in replay/reports/checks.py"
    assert set(CHECKS) <= found, "a check whose code is no longer said"


@pytest.mark.parametrize(
    ("code", "reason", "value", "limit"),
    [
        ("PRICE_COLLAR", "price=101, mark=100, limit=0.5%", "101", "0.5%"),
        ("PRICE_OFF_TICK", "limit=100.003, tick=0.01", "100.003", "0.01"),
        ("EVENT_WINDOW", "event=at=1, end=2, at=50, start=40, end=60", "50", "60"),
        ("EXPOSURE_BOT", "bot=limit=9, exposure=700, limit=500", "700", "500"),
        ("VOLATILITY", "index=x, level=5, mean=1, variance=1, samples=3, limit=3 sigma", "5", "3 sigma"),
        ("INSTRUMENT_NOT_TRADABLE", "instrument=BTC/USDT", "BTC/USDT", "NOT_APPLICABLE"),
        ("OF_ANOTHER_VENUE", "limit=1", "NOT_APPLICABLE", "NOT_APPLICABLE"),
    ],
)
def test_figures_come_out_of_a_reason(code: str, reason: str, value: str, limit: str) -> None:
    assert figures_of(code, reason) == {"value": value, "limit": limit}


def test_an_event_of_the_calendar_that_cancels_is_a_control() -> None:
    made = desk(event_windows=(EventWindow(Time(5), Time(9), "rates"),))
    made.tell(6, c.ReviewRisk("main"))
    (row,) = told(rows("controls", made.records), kind="cancelled")
    assert (row["control"], row["detail"]) == ("limits.event_windows", "event: rates")


# --- settings --------------------------------------------------------------------------------------------------------


def test_a_setting_has_what_it_was_before_and_its_version() -> None:
    made = desk()
    group = spec.settings()
    made.tell(3, CreateBot("dca", "main", "spot", "dca_signals", spec.instrument(), group), StartBot("dca"))
    made.tell(4, PauseBot("dca"), ConfigureBot("dca", structs.replace(group, capital=Decimal(50), reverse=True)))
    made.tell(5, ConfigureBot("dca", group))
    found = told(rows("settings", made.records), subject="bot", name="dca")
    after = [row for row in found if row["decided_at"] > "1970-01-01T00:00:00.000003Z"]
    assert [(row["setting"], row["before"], row["after"], row["version"]) for row in after] == [
        ("status", "running", "paused", "1"),
        ("group.capital", "1000", "50", "2"),
        ("group.reverse", "", "true", "2"),
        ("group.capital", "50", "1000", "3"),
        ("group.reverse", "true", "", "3"),
    ]
    assert (reasons(after[2])["before"], reasons(after[4])["after"]) == ("NOT_SET", "NOT_SET")
    assert {row["actor"] for row in after} == {"user:x"}
    late = told(rows("settings", made.records, Span(start=Time(5))), change="in_force", setting="group.capital")
    assert [(row["after"], row["version"]) for row in late] == [("50", "2")]


def test_limits_carry_the_version_of_the_log() -> None:
    made = desk(order_notional_max="200")
    (row,) = told(rows("settings", made.records), setting="order_notional_max")
    assert (row["subject"], row["name"], row["version"], row["after"]) == ("limits", "main", "1", "200")


def test_every_event_that_brings_settings_is_in_the_report() -> None:
    """The settings that a group carries along when it takes an entry are its bot's, shown where they were set."""
    taken = {"EntryTaken", "PyramidTaken"}
    named = {"settings", "limits", "mapping"}
    bring = {each for each in EVENTS if named & set(each.__struct_fields__)} - VERSIONED
    assert {each.__name__ for each in bring} >= {"BotCreated", "RiskLimitsSet", "PoolConfigured", "SourceMapped"}
    assert {each for each in bring if each.__name__ not in taken} <= set(CHANGES)


VERSIONED: set[type[Event]] = {e.RiskPassed, e.OrderDenied}
"""In these `settings` is the number of a version."""


def test_a_mapping_that_changes_is_shown_key_by_key() -> None:
    made = desk()
    made.tell(3, OpenSource("tv", "dca", BTC, None, {"symbol": "$.s", "action": "$.side", "price": "$.p"}))
    made.tell(4, MapSource("tv", {"symbol": "$.s", "action": "$.act"}))
    found = told(rows("settings", made.records), subject="source", version="2")
    assert [(row["setting"], row["before"], row["after"]) for row in found] == [
        ("mapping.action", "$.side", "$.act"),
        ("mapping.price", "$.p", ""),
    ]


def test_every_refusal_of_an_alert_is_a_control() -> None:
    refusals = {each for each in EVENTS if {"source", "number", "code"} <= set(each.__struct_fields__)}
    assert {each.__name__ for each in refusals} >= {"SignalRefused", "AlertRefused", "EntryDropped", "PyramidRefused"}
    assert refusals <= set(FIRED)
    assert {"SignalStale", "SignalDuplicated"} <= {each.__name__ for each in FIRED}
