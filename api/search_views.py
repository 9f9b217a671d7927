"""What people see of searches on a terminal: the best trials and the doubt about them, windows, percentiles."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from api.terminal import console, printable
from api.views import labelled

FIGURES = ("total_return", "sharpe", "max_drawdown", "trades")
PARTS = frozenset({"total_return", "max_drawdown", "annual_return", "win_rate", "train_return", "test_return"})
"""Fractions that are said in percent."""


def sweep_view(summary: dict[str, Any], out: object) -> None:
    """A sweep: what was tried, the best of it, and how likely that is luck."""
    counts, objective = summary["counts"], summary["objective"]["name"]
    names = summary["searched"]
    figures = [objective, *(name for name in FIGURES if name != objective)]
    table = _table(["", *names, *figures])
    for place, best in enumerate(summary["best"], start=1):
        parameters = (str(best["parameters"][name]) for name in names)
        table.add_row(str(place), *map(printable, parameters), *(_text(name, best.get(name)) for name in figures))
    if summary["best"]:
        console.print(table)
    else:
        console.print(f"no trial has a {objective}")
    told = ", ".join(
        f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items() if number and name != "trials"
    )
    labelled("trials", told)
    for each in summary["failed"][:3]:
        labelled("failed", " ".join(f"{k}={v}" for k, v in each["parameters"].items()) + f": {each['error']}")
    if (doubt := summary["overfitting"]) is not None:
        labelled("deflated sharpe", doubt_text(doubt))
    labelled("seconds", f"{summary['seconds']:.2f}")
    labelled("written to", out)


def doubt_text(doubt: dict[str, Any]) -> str:
    """The doubt about the best of many trials as a sentence."""
    if doubt["deflated_sharpe"] is None:
        return "not defined for its daily returns"
    return (
        f"{doubt['deflated_sharpe']:.1%} likely to be more than the luck of the best of {doubt['trials']:,} trials "
        f"({doubt['sharpe_probability']:.1%} had it been the only one)"
    )


def walk_forward_view(summary: dict[str, Any], out: object) -> None:
    """A walk-forward: each window's choice, in the sample and behind it, and what all of it came to."""
    names, objective = summary["searched"], summary["objective"]["name"]
    table = _table(["test from", *names, f"{objective}: train", "test", "return: train", "test", "trades"])
    for row in summary["windows"]:
        figures = [f"train_{objective}", f"test_{objective}", "train_return", "test_return", "test_trades"]
        chosen = ("-" if row[name] is None else printable(str(row[name])) for name in names)
        table.add_row(row["test_from"].partition("T")[0], *chosen, *(_text(name, row[name]) for name in figures))
    console.print(table)
    total = summary["out_of_sample"]
    labelled(
        "out of sample", f"{total['days']:,} days in {total['windows']:,} windows, {total['traded']:,} of them traded"
    )
    for name in ("total_return", "annual_return", "sharpe", "max_drawdown"):
        labelled(name.replace("_", " "), _text(name, total[name]))
    efficiency = total["efficiency"]
    labelled("efficiency", "not defined" if efficiency is None else f"{efficiency:.0%} of what the choices promised")
    labelled("seconds", f"{summary['seconds']:.2f}")
    labelled("written to", out)


def monte_carlo_view(summary: dict[str, Any], currency: str) -> None:
    """Percentiles over all paths, beside what really was."""
    table = _table(["", f"final equity {currency}", "max drawdown"])
    for name, equity in summary["final_equity"].items():
        table.add_row(name, f"{equity:,.2f}", f"{summary['max_drawdown'][name]:.2%}")
    table.add_row("as it was", f"{summary['actual_final_equity']:,.2f}", f"{summary['actual_max_drawdown']:.2%}")
    console.print(table)
    labelled("paths", f"{summary['paths']:,} of {summary['trades']:,} trades, by {summary['method']}")
    labelled("below the start", f"{summary['loss']:.1%} of them")
    labelled("nothing left", f"{summary['ruin']:.1%} of them at some time")


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    return table


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.removeprefix("train_").removeprefix("test_") in PARTS or name in PARTS:
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
