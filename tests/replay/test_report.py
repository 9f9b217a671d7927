"""Reports agree with the projections to the unit, come apart at any time, and are the same bytes each time."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.account.events import AccountOpened, OrderIntended, TradingHalted
from domain.account.state import ENDED_KEPT
from domain.engine_events import EngineStarted
from domain.errors import InputError
from domain.market import Instrument
from domain.message import Event, Record
from domain.values import Time, cash_scale, parse_time
from infrastructure.event_store.codec import decode, encode
from projections.catalogue import PROJECTIONS
from projections.orders import ORDERS, OrderRow
from projections.positions import PositionRow
from projections.profit_and_loss import ProfitRow, Totals, by_account, by_group
from projections.rows import MemoryRows, fold_records
from replay.demo import demo_alerts, demo_setup, demo_tape
from replay.game import backtest
from replay.report import NAMES, REPORTS, Name, Span, places
from replay.reports.cells import Blank
from replay.reports.formats import harmless
from replay.reports.known import Known
from tests.conftest import ROOT
from tests.domain.test_laws import Play, plays
from tests.projections.story import BTC, ETH, random_story
from tests.replay.reporting import entries, quanta, read, report, rows, text
from tests.simulator import ListLedger

Records = list[Record[Event]]
stories = st.builds(random_story, st.randoms(use_true_random=False), st.integers(0, 40)).map(lambda each: each.records)
names = st.sampled_from(NAMES)


def folded(records: Records) -> MemoryRows:
    found = MemoryRows()
    fold_records(PROJECTIONS, found, records)
    return found


def sums_agree(found: list[dict[str, str]], kept: MemoryRows, instruments: Mapping[Any, Instrument]) -> None:
    """The trades' sums are the projections' profit, fees, turnover and positions, to the unit."""
    held: Counter[str] = Counter()
    totals: dict[tuple[str, str], Totals] = {}
    groups: dict[tuple[str, str, int, str], Totals] = {}
    for row in found:
        instrument = instruments[row["symbol"]]
        scale, quote = instrument.quote_scale, instrument.quote
        trade = row["kind"] == "trade"
        total = Totals(
            quanta(row["realized"], scale),
            quanta(row["fee_value"], scale),
            quanta(row["notional"], scale) if trade else 0,
            int(trade),
        )
        owner = (row["bot"], int(row["group"] or 0)) if trade else ("", 0)
        _add(totals, (row["account"], quote), total)
        _add(groups, (row["account"], *owner, quote), total)
        if trade and row["fee_asset"] not in {quote, instrument.base}:
            third = Totals(fees=quanta(row["fee"], cash_scale(row["fee_asset"])))
            _add(totals, (row["account"], row["fee_asset"]), third)
            _add(groups, (row["account"], *owner, row["fee_asset"]), third)
        held[row["symbol"]] += quanta(row["position_change"], instrument.size_scale)
        assert quanta(row["position_after"], instrument.size_scale) == held[row["symbol"]]
    profits = kept.all(ProfitRow)
    assert _whole(totals) == _whole(by_account(profits))
    assert _whole(groups) == _whole(by_group(profits))
    assert {row.instrument: row.quantity for row in kept.all(PositionRow) if row.quantity} == {
        symbol: quantity for symbol, quantity in held.items() if quantity
    }


def _add(totals: dict[Any, Totals], key: Any, more: Totals) -> None:
    totals[key] = Totals(*(a + b for a, b in zip(_all(totals.get(key, Totals())), _all(more), strict=True)))


def _all(totals: Totals) -> tuple[int, ...]:
    return totals.realized, totals.fees, totals.turnover, totals.fills


def _whole(totals: dict[Any, Totals]) -> dict[Any, Totals]:
    return {key: total for key, total in totals.items() if any(_all(total))}


@given(stories)
def test_trades_sum_to_the_profit_of_random_logs(records: Records) -> None:
    sums_agree(rows("trades", records), folded(records), {BTC.id: BTC, ETH.id: ETH})


@given(plays())
def test_trades_sum_to_the_profit_of_engine_logs(play: Play) -> None:
    records = play.ledger.records
    sums_agree(rows("trades", records), folded(records), {play.instrument.id: play.instrument})


def test_a_trade_that_is_missing_or_wrong_is_found() -> None:
    """What holds the sums together would notice."""
    records = random_story(Random(4), 40).records
    found, kept, listed = rows("trades", records), folded(records), {BTC.id: BTC, ETH.id: ETH}
    sums_agree(found, kept, listed)
    trades = [index for index, row in enumerate(found) if row["kind"] == "trade"]
    for index in trades:
        with pytest.raises(AssertionError):
            sums_agree(found[:index] + found[index + 1 :], kept, listed)
    for field in ("realized", "fee_value", "notional", "position_change"):
        wrong = [dict(row) for row in found]
        wrong[trades[0]][field] = str(int(wrong[trades[0]][field].partition(".")[0] or 0) + 1)
        with pytest.raises(AssertionError):
            sums_agree(wrong, kept, listed)


@given(plays())
def test_net_amounts_are_what_the_cash_moved_by(play: Play) -> None:
    moved = sum(quanta(row["net_amount"], 8) for row in rows("trades", play.ledger.records))
    assert play.account.cash.get(play.instrument.quote, 0) == play.cash + moved


@given(plays())
def test_orders_end_as_the_projection_has_them(play: Play) -> None:
    found, kept = rows("orders", play.ledger.records), MemoryRows()
    fold_records([ORDERS], kept, play.ledger.records)
    said = sum(len(each.events) for each in play.ledger.records if isinstance(each.events[0], tuple(ORDERS.folds)))
    assert len(found) <= said
    last = {row["client_order_id"]: row for row in found}
    for order in kept.all(OrderRow):
        row = last[f"{order.account}/{order.order}"]
        assert row["status"] == order.status
        assert quanta(row["traded_quantity"], play.instrument.size_scale) == order.filled
        assert row["venue_order_id"] == (order.venue_order or "")
    events = [event for each in play.ledger.records for event in each.events if type(event) in ORDERS.folds]
    assert [row["event"] for row in found] == [str(type(event).__struct_config__.tag) for event in events]


@given(plays())
def test_every_row_names_its_event_and_its_record(play: Play) -> None:
    at = {place.position: place for place in places(entries(play.ledger.records), 2**62)}
    for name in NAMES:
        found = rows(name, play.ledger.records)
        for row in found:
            place = at[int(row["position"])]
            assert int(row["record_position"]) == place.record_position <= place.position
            assert play.ledger.records[int(row["leaf_index"])] is place.record
            assert row["actor"] == place.record.actor
        positions = [int(row["position"]) for row in found]
        assert positions == sorted(positions)


@given(stories | plays().map(lambda play: play.ledger.records), names, st.data())
@settings(max_examples=60)
def test_two_ranges_are_the_whole(records: Records, name: Name, data: st.DataObject) -> None:
    cut = Time(data.draw(st.sampled_from([each.at for each in records])) + data.draw(st.integers(-1, 1)))
    whole, before, after = (rows(name, records, span) for span in (Span(), Span(end=cut), Span(start=cut)))
    stood = [row for row in after if "in_force" in (row.get("change"), row.get("kind"))]
    assert before + after[len(stood) :] == whole
    assert after[: len(stood)] == stood
    assert all(parse_time(row["decided_at"]) < cut for row in before + stood)


@given(plays().map(lambda play: play.ledger.records), names, st.data())
@settings(max_examples=40)
def test_as_of_is_the_beginning(records: Records, name: Name, data: st.DataObject) -> None:
    last = sum(len(each.events) for each in records)
    position = data.draw(st.integers(0, last))
    found = rows(name, records, Span(upto=position))
    whole = [row for row in rows(name, records) if int(row["position"]) <= position]
    # A halt that ends at once is known at the end of its decision, which may lie behind the cut.
    assert [row for row in found if row.get("kind") != "cancels_complete"] == [
        row for row in whole if row.get("kind") != "cancels_complete"
    ]


@given(plays().map(lambda play: play.ledger.records), names, st.sampled_from(["csv", "json"]))
@settings(max_examples=30)
def test_the_same_log_gives_the_same_bytes(records: Records, name: Name, form: str) -> None:
    again = [decode(encode(each)) for each in records]
    first, second = report(name, records, form=form), report(name, again, form=form)
    assert b"".join(first) == b"".join(second)
    assert first.manifest == second.manifest


def test_a_manifest_says_what_was_read() -> None:
    records = random_story(Random(1), 10).records
    started: list[Record[Event]] = [
        Record(0, version, records[0].at, "engine", None, (EngineStarted(f"0.{version}", "ab", "candle-v1"),), "engine")
        for version in (1, 2)
    ]
    made = report("trades", [*started, *records])
    data = b"".join(made)
    manifest = made.manifest
    assert manifest["row_count"] == len(read(data))
    assert (manifest["first_position"], manifest["record_count"]) == (1, len(records) + 2)
    assert manifest["last_position"] == 2 + sum(len(each.events) for each in records)
    assert [engine["engine_version"] for engine in manifest["engines"]] == ["0.1", "0.2"]
    assert (manifest["run"], manifest["bytes"], len(manifest["sha256"])) == (3, len(data), 64)
    late = report("trades", [*started, *records], Span(start=Time(records[-1].at + 1)))
    assert read(b"".join(late)) == []
    assert (late.manifest["record_count"], late.manifest["first_position"]) == (0, None)


def test_json_has_what_its_manifest_has_but_the_digest() -> None:
    made = report("orders", random_story(Random(1), 10).records, form="json")
    document = msgspec.json.decode(b"".join(made))
    assert document.pop("rows")
    assert document.items() <= made.manifest.items()
    assert made.manifest.keys() - document.keys() == {"format", "bytes", "sha256"}


def test_a_range_must_end_after_it_begins() -> None:
    with pytest.raises(InputError, match="allowed: after 1970-01-01T00:00:05Z"):
        report("orders", [], Span(Time(5_000_000), Time(5_000_000)))


def test_memory_follows_what_is_open() -> None:
    ledger, tape = ListLedger(), demo_tape(30, 1)
    backtest(demo_setup(), tape, demo_alerts(tape, 2000, 1), ledger)
    known = Known()
    for place in places(entries(ledger.records), 2**62):
        known.take(place, place.record.events[place.position - place.record_position])
    assert len(ledger.of(OrderIntended)) > ENDED_KEPT + 500
    assert len(known.orders) <= ENDED_KEPT + 20
    assert len(known.orders.decisions) <= len(known.orders)
    assert len(known.groups) <= 1


# --- CSV -------------------------------------------------------------------------------------------------------------

HOSTILE = ("=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "'", "-", '=HYPERLINK("x")', "-1e5", "+5.0")


@given(st.text(max_size=8) | st.sampled_from(HOSTILE))
def test_no_cell_is_a_formula(value: str) -> None:
    cell = harmless(value)
    assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n"))
    assert text(cell) == value, "and it can be had back"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8))
def test_numbers_stay_numbers(number: object) -> None:
    assert harmless(f"{number:f}") == f"{number:f}"


def test_a_hostile_reason_does_no_harm() -> None:
    records = hostile_log()
    data = b"".join(report("controls", records))
    assert data.endswith(b"\r\n")
    assert not data.startswith(b"\xef\xbb\xbf")
    found = [row for row in rows("controls", records) if row["kind"] == "killed"]
    assert [row["detail"] for row in found] == ["'=cmd|' /C calc'!A0", 'a "quoted",\r\nbroken line', "-5"]
    assert text(found[0]["detail"]) == "=cmd|' /C calc'!A0"
    lines = data.decode().split("\r\n")
    assert lines[-1] == ""
    assert '"a ""quoted"",' in data.decode(), "RFC 4180 doubles what it quotes"


def hostile_log() -> Records:
    reasons = ("=cmd|' /C calc'!A0", 'a "quoted",\r\nbroken line', "-5")
    halts = (TradingHalted("main", "", reason, number=number) for number, reason in enumerate(reasons, 1))
    return [Record(1, 1, Time(0), "user:x", None, (AccountOpened("main", "spot"), *halts), "account/main")]


# --- what the documentation says -------------------------------------------------------------------------------------


def test_every_column_and_every_reason_is_documented() -> None:
    page = (Path(ROOT) / "docs" / "reports.md").read_text(encoding="utf-8")
    for name, make in REPORTS.items():
        assert f"`{name}`" in page
        for column in make(Known()).columns:
            assert f"`{column.name}`" in page, column.name
    for reason in Blank:
        assert f"`{reason}`" in page
