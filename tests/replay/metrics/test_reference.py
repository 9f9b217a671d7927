"""The formulas against cases that others made: empyrical-reloaded's own tests, and freqtrade's."""

import json
import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from replay.metrics import relative, statistics
from replay.metrics.drawdowns import deepest, largest
from replay.metrics.statistics import Floats, rolling
from tests.conftest import shared_data

CASES = "reference/metrics/empyrical_reloaded_test_cases.jsonl"
SERIES = "reference/metrics/empyrical_named_series.json"
FREQTRADE = "reference/metrics/freqtrade_expected_metrics.jsonl"
PERIODS = {"daily": 252, "weekly": 52, "monthly": 12, "yearly": 1}
DAYS = PERIODS["daily"]

# Why a case is not asked, and how many such there are.
NO_EXPECTATION = "its expected frame is not in the data"
BEYOND_INT64 = "prices beyond int64: quanta are int64"
NOT_OURS = {
    "test_gpd_risk_estimates": "a Pareto tail that an optimiser fits: no figure of ours",
    "est_beta_fragility_heuristic": "no figure of ours",
}
NOT_ASKED = {NO_EXPECTATION: 5, BEYOND_INT64: 2, **dict(zip(NOT_OURS.values(), (9, 4), strict=True))}
TOLERANCE = 1e-8
# Cases that say fewer digits.
TOLERANCES = {
    "test_cum_returns": 1e-4,
    "test_cum_returns_final": 1e-4,
    "test_roll_max_drawdown": 1e-4,
    "test_batting_average": 1e-6,
}
Dated = tuple[list[datetime], Floats]
Args = dict[str, Any]


@cache
def named() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared_data(SERIES).read_text())
    return found


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def dated(expression: str) -> Dated:
    """A named series, as the cases write it: `noise`, `-noise`, `2 * noise`, `noise[1:]`. NaN is kept."""
    if expression == "random_100k":
        values = np.random.default_rng(1337).normal(size=100_000)
        return [datetime(2000, 1, 1)] * len(values), values  # noqa: DTZ001  (the series has no times)
    name = expression.removeprefix("2 * ").removeprefix("-").removesuffix("[1:]")
    found = named()[name]
    if "frame" in found:
        frame = found["frame"]
        index, raw = frame["index"], [row[0] for row in frame["data"]]
    else:
        index, raw = found["index"], found["values"]
    values = np.array([math.nan if value is None else float(value) for value in raw])
    times = [when(text) for text in index]
    if expression.startswith("2 * "):
        values = 2 * values
    elif expression.startswith("-"):
        values = -values
    elif expression.endswith("[1:]"):
        times, values = times[1:], values[1:]
    return times, values


def kept(expression: str) -> Floats:
    """Without what is missing, as the means and deviations of the cases take it."""
    _, values = dated(expression)
    return values[~np.isnan(values)]


def zeroed(expression: str) -> Floats:
    """A missing return as none, as compounding takes it: it counts as a period."""
    return np.nan_to_num(dated(expression)[1], nan=0.0)


def aligned(first: str, second: str, clean: Callable[[Floats, Floats], tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Both series at the times that they share."""
    if second[0].isdigit() and not second.startswith("2 * "):
        own = dated(first)[1]
        return clean(own, np.full(len(own), float(second)))
    (own_times, own), (other_times, other) = dated(first), dated(second)
    mine, theirs = dict(zip(own_times, own, strict=True)), dict(zip(other_times, other, strict=True))
    shared = [time for time in mine if time in theirs]
    return clean(np.array([mine[time] for time in shared]), np.array([theirs[time] for time in shared]))


def both_kept(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    there = ~(np.isnan(first) | np.isnan(second))
    return first[there], second[there]


def both_zeroed(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    return np.nan_to_num(first, nan=0.0), np.nan_to_num(second, nan=0.0)


def pair(args: Args) -> tuple[Floats, Floats]:
    return aligned(args["returns"], args.get("benchmark") or args["factor_returns"], both_kept)


def zeroed_pair(args: Args) -> tuple[Floats, Floats]:
    return aligned(args["returns"], args.get("benchmark") or args["factor_returns"], both_zeroed)


def periods(args: Args) -> int:
    return PERIODS[args.get("period", "daily")]


def alpha_beta(own: Floats, other: Floats) -> tuple[float | None, float | None]:
    return relative.alpha(own, other, DAYS), relative.beta(own, other)


def up_alpha_beta(args: Args) -> Any:
    return alpha_beta(*relative.rising(*pair(args)))


def down_alpha_beta(args: Args) -> Any:
    return alpha_beta(*relative.falling(*pair(args)))


def up_down_capture(own: Floats, other: Floats) -> float | None:
    up, down = relative.up_capture(own, other, DAYS), relative.down_capture(own, other, DAYS)
    return None if up is None or down is None else statistics.ratio(up, down)


def sharpe(args: Args) -> Any:
    own, free = aligned(args["returns"], args["risk_free"], both_kept)
    return statistics.sharpe(own - free, DAYS)


def sortino(args: Args) -> Any:
    if args["returns"].startswith("df_"):
        return [statistics.sortino(column, periods(args)) for column in columns(args["returns"])]
    own, required = aligned(args["returns"], args["required_return"], both_kept)
    return statistics.sortino(own, periods(args), required)


def downside(args: Args) -> Any:
    factor = math.sqrt(periods(args))
    if args["returns"].startswith("df_"):
        below = [statistics.downside_deviation(column) for column in columns(args["returns"])]
        return [None if each is None else each * factor for each in below]
    own, required = aligned(args["returns"], args["required_return"], both_kept)
    found = statistics.downside_deviation(own, required)
    return None if found is None else found * factor


def omega(args: Args) -> Any:
    if args["required_return"] <= -1:
        return None  # no return of a day compounds to less than nothing in a year
    own, free = aligned(args["returns"], args["risk_free"], both_kept)
    return statistics.omega(own - free, (1 + args["required_return"]) ** (1 / DAYS) - 1)


def excess_sharpe(args: Args) -> Any:
    return relative.information_ratio(*pair(args))


def cumulative(args: Args) -> Any:
    grown = statistics.cumulative_returns(zeroed(args["returns"]))
    start = args["starting_value"]
    return ((1 + grown) * start if start else grown).tolist()


def cumulative_final(args: Args) -> Any:
    grown = statistics.total_return(zeroed(args["returns"]))
    start = args["starting_value"]
    return grown if grown is None or not start else (1 + grown) * start


def columns(name: str) -> list[Floats]:
    rows = named()[name]["frame"]["data"]
    return [np.nan_to_num(np.array(column, dtype=float)) for column in zip(*rows, strict=True)]


def aggregated(args: Args) -> Any:
    parts: dict[str, Callable[[datetime], Any]] = {
        "weekly": lambda time: time.isocalendar()[:2],
        "monthly": lambda time: (time.year, time.month),
        "quarterly": lambda time: (time.year, (time.month - 1) // 3),
        "yearly": lambda time: time.year,
    }
    times = dated(args["returns"])[0]
    rows = zip(map(parts[args["convert_to"]], times), zeroed(args["returns"]), strict=True)
    return [
        statistics.total_return(np.array([value for _, value in part])) for _, part in groupby(rows, lambda row: row[0])
    ]


def price_returns(args: Args) -> Any:
    prices: Any = dated(args["prices"])[1] if isinstance(args["prices"], str) else np.array(args["prices"], np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):  # the cases have prices of zero; an equity's are above
        if prices.ndim == 1:
            return statistics.simple_returns(prices).tolist()
        return np.array([statistics.simple_returns(column) for column in prices.T]).T.tolist()


def rolled(statistic: Callable[..., float | None]) -> Callable[[Args], Any]:
    return lambda args: rolling(statistic, args["window"], *zeroed_pair(args))


def roll_alpha_beta(args: Args) -> Any:
    """At the times of either, as the cases have it: what one of them lacks is missing."""
    first, second = (dict(zip(*dated(args[name]), strict=True)) for name in ("returns", "benchmark"))
    times = sorted({*first, *second})
    own, other = (np.array([series.get(time, math.nan) for time in times]) for series in (first, second))
    windows = [slice(end - args["window"], end) for end in range(args["window"], len(times) + 1)]
    return [alpha_beta(*both_kept(own[window], other[window])) for window in windows]


def roll_sharpe(args: Args) -> Any:
    def of(window: Floats) -> float | None:
        return statistics.sharpe(window[~np.isnan(window)], DAYS)

    return rolling(of, args["window"], dated(args["returns"])[1])


OURS: dict[str, Callable[[Args], Any]] = {
    "test_simple_returns": price_returns,
    "test_simple_returns_integer_prices": price_returns,
    "test_simple_returns_integer_prices_preserve_one_tick_changes": price_returns,
    "test_cum_returns": cumulative,
    "test_cum_returns_final": cumulative_final,
    "test_aggregate_returns": aggregated,
    "test_max_drawdown": lambda args: statistics.max_drawdown(zeroed(args["returns"])),
    "test_annual_ret": lambda args: statistics.annual_return(zeroed(args["returns"]), periods(args)),
    "test_cagr": lambda args: statistics.annual_return(zeroed(args["returns"]), periods(args)),
    "test_annual_volatility": lambda args: statistics.annual_volatility(kept(args["returns"]), periods(args)),
    "test_calmar": lambda args: statistics.calmar(zeroed(args["returns"]), periods(args)),
    "test_omega": omega,
    "test_sharpe_ratio": sharpe,
    "test_downside_risk": downside,
    "test_sortino": sortino,
    "test_excess_sharpe": excess_sharpe,
    "test_alpha_beta": lambda args: alpha_beta(*pair(args)),
    "test_alpha": lambda args: relative.alpha(*pair(args), DAYS),
    "test_beta": lambda args: relative.beta(*pair(args)),
    "test_up_alpha_beta": up_alpha_beta,
    "test_down_alpha_beta": down_alpha_beta,
    "test_stability_of_timeseries": lambda args: statistics.stability(kept(args["returns"])),
    "test_tail_ratio": lambda args: statistics.tail_ratio(zeroed(args["returns"])),
    "test_capture_ratio": lambda args: relative.capture(*zeroed_pair(args), DAYS),
    "test_up_capture": lambda args: relative.up_capture(*zeroed_pair(args), DAYS),
    "test_down_capture": lambda args: relative.down_capture(*zeroed_pair(args), DAYS),
    "test_up_down_capture": lambda args: up_down_capture(*zeroed_pair(args)),
    "test_roll_max_drawdown": lambda args: rolling(statistics.max_drawdown, args["window"], zeroed(args["returns"])),
    "test_roll_sharpe_ratio": roll_sharpe,
    "test_roll_alpha_beta": roll_alpha_beta,
    "test_roll_up_capture": rolled(lambda own, other: relative.up_capture(own, other, DAYS)),
    "test_roll_down_capture": rolled(lambda own, other: relative.down_capture(own, other, DAYS)),
    "test_roll_up_down_capture": rolled(up_down_capture),
    "test_batting_average": lambda args: batting(*pair(args)),
}


def batting(own: Floats, other: Floats) -> Any:
    return (
        relative.batting_average(own, other),
        relative.batting_average(*relative.rising(own, other)),
        relative.batting_average(*relative.falling(own, other)),
    )


@cache
def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in shared_data(CASES).read_text().splitlines()]


def reason(case: dict[str, Any]) -> str | None:
    """Why a case is not asked, None where it is."""
    if case["class"] == "Test2DStats" and case["test"].endswith("_df"):
        return NO_EXPECTATION
    if "uint64" in case["args"].get("dtype", ""):
        return BEYOND_INT64
    return NOT_OURS.get(case["test"])


def same(got: Any, expected: Any, tolerance: float) -> bool:
    """Whether they agree; what the cases call NaN or infinite is None of a statistic, and itself in a column."""
    if isinstance(expected, dict):
        expected = expected["series"]
    if isinstance(got, list | tuple):
        if expected == "nan":
            expected = ["nan"]
        pairs = zip(got, expected, strict=True)
        return len(got) == len(expected) and all(same(*each, tolerance) for each in pairs)
    if got is None:
        return expected in {"nan", "inf"}
    if not math.isfinite(got):
        return bool(str(got) == expected)
    return not isinstance(expected, str) and math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=tolerance)


def tolerance_of(case: dict[str, Any]) -> float:
    if case["args"].get("returns") == "random_100k":
        return 0.1  # other chance than theirs
    places = case["args"].get("decimal_places")
    return TOLERANCES.get(case["test"], TOLERANCE) if places is None else float(1.5 * 10**-places)


@pytest.mark.parametrize("name", OURS)
def test_empyrical_agrees(name: str) -> None:
    asked = [case for case in cases() if case["test"] == name and reason(case) is None]
    assert asked
    for case in asked:
        got = OURS[name](case["args"])
        assert same(got, case["args"]["expected"], tolerance_of(case)), (case["args"], got)


def test_every_case_is_asked_or_has_its_reason() -> None:
    reasons = Counter(reason(case) for case in cases())
    asked = reasons.pop(None)
    assert reasons == NOT_ASKED
    assert asked == 202 - sum(NOT_ASKED.values()) == sum(case["test"] in OURS and not reason(case) for case in cases())


@pytest.mark.parametrize("wrong", [0.0, 1.0, math.nan, None])
def test_a_wrong_figure_is_found(wrong: float | None) -> None:
    case = next(case for case in cases() if case["test"] == "test_sharpe_ratio" and case["args"]["expected"] != "nan")
    assert not same(wrong, case["args"]["expected"], TOLERANCE)


# --- freqtrade -------------------------------------------------------------------------------------------------------


def freqtrade(metric: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in shared_data(FREQTRADE).read_text().splitlines()]
    return [row for row in rows if row["metric"] == metric]


def test_freqtrade_agrees_on_cagr() -> None:
    rows = freqtrade("cagr")
    assert len(rows) == 6
    for row in rows:
        grown = statistics.cagr(row["start"], row["end"], row["days"] / 365)
        assert grown == pytest.approx(row["expected_round4"], abs=5e-5)


def test_freqtrade_agrees_on_drawdowns() -> None:
    rows = freqtrade("max_drawdown")
    assert len(rows) == 3
    for row in rows:
        # The equity in millionths.
        values = np.round((row["starting_balance"] + np.cumsum(row["profits"])) * 1e6).astype(np.int64)
        found = (deepest if row.get("relative", True) else largest)(values)
        assert found is not None
        assert found.amount / 1e6 == pytest.approx(row["expected_abs"], abs=1e-6)
        assert -found.depth == pytest.approx(row["expected_relative"], abs=1e-6)
        if "high_day" in row:
            assert (found.peak, found.trough) == (row["high_day"], row["low_day"])


def test_the_rest_of_freqtrade_needs_trades_that_are_not_in_the_data() -> None:
    for metric in ("sharpe", "sortino", "calmar"):
        assert [row.get("profits") for row in freqtrade(metric)] == [None]
