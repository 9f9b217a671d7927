"""A run's page shows the run's own figures."""

import re
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from domain.values import Asset, Time
from infrastructure.market_data.columns_file import view
from projections.performance import Trades
from replay.metrics.curve import Curve, closes_at
from replay.metrics.metrics import figures, metrics_of
from replay.result_report.figures import UNDEFINED, figure_tables, grouped, headline, lasting, moment, number, said
from replay.result_report.outcome import TRIPS_MIN, Outcome, report_of
from replay.result_report.page import page
from tests.replay.run import Ran, ran


@pytest.fixture(scope="module")
def made() -> Ran:
    return ran()


def outcome(made: Ran, **changes: Any) -> Outcome:
    summary = {
        "run": None, "strategy": "dca_signals", "instrument": made.instrument.id, "rules": "candle-v1",
        "counts": {"candles": len(made.tape), "events": 9, "records": 8, "orders": 7, "denied": 6},
        "log_sha256": "ab" * 32, "tape_digest": made.tape.digest, "versions": {"python": "3"},
    }  # fmt: skip
    fields: dict[str, Any] = {
        "summary": summary, "parameters": {"legs": 3}, "settings": {"maker fee": "0.0002"}, "curve": made.curve,
        "trades": made.trades, "metrics": metrics_of(made.curve, made.trades, closes_at(made.tape, made.curve.times)),
        "markets": [(made.instrument, made.tape)], "fills": made.fills,
    }  # fmt: skip
    return Outcome(**{**fields, **changes})


def test_what_is_drawn_is_what_the_run_came_to(made: Ran) -> None:
    drawn = report_of(outcome(made))
    assert drawn.equity.values[0] == 100_000
    assert drawn.equity.values[-1] == pytest.approx(float(made.final_equity), abs=1e-9)
    assert drawn.equity.times[0] == made.tape.open_times[0]
    figure = metrics_of(made.curve, made.trades).drawdown.max_drawdown
    assert drawn.drawdown.values.min() == figure
    assert drawn.profits.sum() == pytest.approx(sum(trip.profit for trip in made.trades.trips) / 10**8)
    (market,) = drawn.markets
    assert len(market.fills.times) == len(made.fills)
    assert market.fills.is_buy.sum() == sum(fill.side == "buy" for fill in made.fills)
    assert (np.diff(market.fills.times) >= 0).all()
    assert market.closes.values[-1] == made.tape.closes[-1] / 100
    assert drawn.benchmark is not None
    assert drawn.benchmark.values[-1] / drawn.benchmark.values[0] == pytest.approx(
        made.tape.closes[-1] / made.tape.closes[0]
    )
    assert list(drawn.months) == ["2026-01"]


def test_what_is_written_is_what_was_asked_and_came_out(made: Ran) -> None:
    html = page(report_of(outcome(made)))
    text = re.sub(r"<[^>]+>", "\n", html)
    for wanted in ("dca_signals on BTC/USDT", "candle-v1", made.tape.digest, "ab" * 32, "maker fee", "0.0002", "legs"):
        assert wanted in text
    assert grouped(made.final_equity) in text


def test_every_figure_has_a_row(made: Ran) -> None:
    metrics = outcome(made).metrics
    rows = [row for table in figure_tables(metrics) for row in table.rows]
    assert len(rows) == len(figures(metrics))
    assert "nan" not in " ".join(row.value for row in rows)
    assert len(headline(metrics)) == 8


def test_prices_of_a_tape_with_other_places_are_the_same_prices(made: Ran) -> None:
    finer = structs.replace(made.instrument, price_scale=4)
    fills = [structs.replace(fill, price=fill.price * 100) for fill in made.fills]
    (market,) = report_of(outcome(made, markets=[(finer, made.tape)], fills=fills)).markets
    (same,) = report_of(outcome(made)).markets
    assert (market.closes.values == same.closes.values).all()
    assert (market.fills.prices == same.fills.prices).all()


# --- warnings --------------------------------------------------------------------------------------------------------


def warnings(made: Ran, **changes: Any) -> str:
    return "\n".join(report_of(outcome(made, **changes)).warnings)


def changed(made: Ran, part: str, **values: Any) -> Any:
    metrics = outcome(made).metrics
    return structs.replace(metrics, **{part: structs.replace(getattr(metrics, part), **values)})


@pytest.mark.parametrize(("trips", "warned"), [(TRIPS_MIN - 1, True), (TRIPS_MIN, False)])
def test_few_round_trips_are_said(made: Ran, trips: int, warned: bool) -> None:
    assert ("say little of a strategy" in warnings(made, metrics=changed(made, "trades", trades=trips))) == warned


@pytest.mark.parametrize(("probability", "warned"), [(None, False), (0.3, False), (0.7, True), (0.96, False)])
def test_a_sharpe_ratio_that_may_be_luck_is_said(made: Ran, probability: float | None, warned: bool) -> None:
    metrics = changed(made, "risk", sharpe_probability=probability)
    assert ("may be chance" in warnings(made, metrics=metrics)) == warned


def test_what_is_still_held_and_fees_without_value_and_holes_are_said(made: Ran) -> None:
    clean = warnings(made, metrics=changed(made, "trades", open_lots=0, other_fees=()))
    assert "held" not in clean
    assert "holes" not in clean
    assert "no value" not in clean
    dirty = warnings(
        made,
        metrics=changed(made, "trades", open_lots=2, other_fees=("BNB",)),
        markets=[(made.instrument, with_hole(made))],
        warnings=("Deflated Sharpe 0.4 after 100 trials.",),
    )
    assert "ended with something held" in dirty
    assert "Fees in BNB have no value" in dirty
    assert "holes: 1, the longest of 11 min" in dirty
    assert "Deflated Sharpe 0.4" in dirty


def with_hole(made: Ran) -> Any:
    """The tape without ten of its candles."""
    columns = {name: np.frombuffer(column, np.int64) for name, column in made.tape.columns.items()}
    kept = np.ones(len(made.tape), np.bool_)
    kept[100:110] = False
    cut = {f"{name}s": view(column[kept]) for name, column in columns.items()}
    return structs.replace(made.tape, **cut)


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (grouped, "-1234567.89999", "-1,234,567.89"), (grouped, "0.00001234", "0.00001234"), (grouped, "1000", "1,000"),
        (grouped, "-0.5", "-0.5"), (grouped, "94615.9963", "94,615.99"), (grouped, "1.23456789", "1.234567"), (grouped, "0", "0"), (lasting, 93_784.4, "1 d 2 h"), (lasting, 0.2, "0 s"), (lasting, 61, "1 min 1 s"),
        (number, 0.0123449, "0.01234"), (number, 12345.678, "12,345.68"), (number, -1.5, "-1.5"),
        (moment, "2022-01-01T00:05:00Z", "2022-01-01 00:05"),
    ],
)  # fmt: skip
def test_texts(form: Any, value: Any, text: str) -> None:
    assert form(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sharpe", None, UNDEFINED), ("total_return", 0.1234, "+12.34%"), ("win_rate", 0.5, "50.00%"),
        ("trades", 12_000, "12,000"), ("fees", "1234.5", "1,234.5"), ("currency", "USDT", "USDT"),
        ("other_fees", (), "none"), ("other_fees", ("BNB", "X"), "BNB, X"), ("duration_s", 86_400.0, "1 d"),
        ("start", "2022-01-01T00:00:00Z", "2022-01-01 00:00"),
    ],
)  # fmt: skip
def test_a_figure_is_written_by_its_name(name: str, value: Any, text: str) -> None:
    assert said(name, value) == text


def test_a_run_that_never_traded_has_a_page(made: Ran) -> None:
    flat = np.full(len(made.curve), 10**10, np.int64)
    curve = Curve(made.curve.times, flat, flat * 0, Time(made.curve.start), 10**10, 8, Asset("USDT"))
    trades = Trades([], [])
    html = page(report_of(outcome(made, curve=curve, trades=trades, metrics=metrics_of(curve, trades), fills=[])))
    assert "No round trip was completed." in html
    assert UNDEFINED in html
