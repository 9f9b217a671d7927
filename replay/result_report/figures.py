"""A run's figures as the page writes them."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from replay.metrics.metrics import Metrics
from replay.result_report.report import Figure, Table

UNDEFINED = "not defined"

_DIGITS = 7

Form = Callable[[Any], str]


def percent(value: float) -> str:
    return f"{value:.2%}"


def gain(value: float) -> str:
    return f"{value:+.2%}"


def number(value: float) -> str:
    """Four digits that count."""
    return f"{value:,.2f}" if abs(value) >= 100 else f"{value:.4g}"  # noqa: PLR2004


def grouped(amount: str) -> str:
    """Decimal text with its thousands set apart, cut to some seven digits; below one it has all its places."""
    sign, digits = ("-", amount[1:]) if amount.startswith("-") else ("", amount)
    whole, _, places = digits.partition(".")
    if whole != "0":
        places = places[: max(2, _DIGITS - len(whole))].rstrip("0")
    return f"{sign}{int(whole):,}{'.' if places else ''}{places}"


def lasting(seconds: float) -> str:
    """A duration in its two largest units."""
    rest, parts = round(seconds), []
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:,} {name}")
    return " ".join(parts[:2]) or "0 s"


def moment(at: str) -> str:
    return at.replace("T", " ").removesuffix("Z").removesuffix(":00")


def _count(value: int) -> str:
    return f"{value:,}"


_GAINS = frozenset(
    "total_return cagr annual_return best_period worst_period average_trade_return geometric_trade_return "
    "best_trade_return worst_trade_return benchmark_return excess_return alpha".split()
)
_PERCENTS = frozenset(
    "volatility compounded_volatility downside_volatility sharpe_probability value_at_risk_95 expected_shortfall_95 "
    "max_drawdown average_drawdown exposure_time average_exposure highest_exposure win_rate kelly batting_average".split()
)
_TIMES = frozenset("start end max_drawdown_from max_drawdown_at max_drawdown_recovered_at".split())
_SHORT = {"_s": "", "_95": " 95 %"}
"""How names end, and what is written for it."""


def figure_tables(metrics: Metrics) -> list[Table]:
    """Every figure that there is, part by part."""
    parts: tuple[tuple[str, Struct | None], ...] = (
        ("Growth", metrics.growth),
        ("Risk, of daily returns", metrics.risk),
        ("Drawdowns", metrics.drawdown),
        ("Round trips and costs", metrics.trades),
        ("Exposure", metrics.exposure),
        ("Beside buying and holding", metrics.benchmark),
    )
    return [
        Table(title, tuple(Figure(_name(name), said(name, value)) for name, value in asdict(part).items()))
        for title, part in parts
        if part is not None
    ]


def said(name: str, value: Any) -> str:
    """A figure as text, by its name: a fraction as percent, seconds as a duration, an exact amount with its thousands."""
    if value is None:
        return UNDEFINED
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if name.endswith("_s"):
        return lasting(value)
    form: Form = _count if isinstance(value, int) else number
    if name in _GAINS:
        form = gain
    elif name in _PERCENTS:
        form = percent
    elif name in _TIMES:
        form = moment
    elif isinstance(value, str):
        form = grouped if name != "currency" else str
    return form(value)


def _name(name: str) -> str:
    for suffix, written in _SHORT.items():
        if name.endswith(suffix):
            name = name.removesuffix(suffix) + written
    return name.replace("_", " ")


def headline(metrics: Metrics) -> tuple[Figure, ...]:
    """The eight that a reader looks for first."""
    growth, risk, trades = metrics.growth, metrics.risk, metrics.trades
    days = f"{risk.periods_per_year:g} days a year"
    fall = metrics.drawdown.max_drawdown_from
    shown = (
        (
            "Total return",
            "total_return",
            growth.total_return,
            f"{grouped(growth.final_equity)} {growth.currency} at the end",
        ),
        ("Return a year", "cagr", growth.cagr, "compounded"),
        ("Sharpe", "sharpe", risk.sharpe, days),
        ("Sortino", "sortino", risk.sortino, days),
        ("Max drawdown", "max_drawdown", metrics.drawdown.max_drawdown, "" if fall is None else f"from {moment(fall)}"),
        ("Profit factor", "profit_factor", trades.profit_factor, f"{trades.trades:,} round trips"),
        ("Win rate", "win_rate", trades.win_rate, f"{trades.wins:,} won, {trades.losses:,} lost"),
        (f"Fees in {growth.currency}", "fees", trades.fees, f"{trades.fills:,} fills"),
    )
    return tuple(Figure(title, said(name, value), note) for title, name, value, note in shown)
