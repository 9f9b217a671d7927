"""What people see on a terminal: summaries, fills, events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from api.terminal import console, printable

_BARS = "▁▂▃▄▅▆▇█"


def summary_view(summary: dict[str, Any], out: Path | None) -> None:
    """A backtest's result: money first, then what happened, then how to find it again."""
    quote, counts = summary["quote"], summary["counts"]
    alerts, metrics = counts.get("alerts"), summary.get("metrics") or {}
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name in ("final_equity", "realized_pnl", "unrealized_pnl", "fees"):
        table.add_row(name.replace("_", " "), grouped(summary[name]), quote)
    for name, label in (("total_return", "return"), ("max_drawdown", "deepest drawdown")):
        if metrics.get(name) is not None:
            table.add_row(label, f"{metrics[name]:.2%}", "")
    if metrics.get("sharpe") is not None:
        table.add_row("Sharpe ratio", f"{metrics['sharpe']:.2f}", f"of daily returns, {metrics['periods']:,} days")
    if metrics.get("win_rate") is not None:
        table.add_row("round trips", f"{metrics['trades']:,}", f"{metrics['win_rate']:.1%} of them won")
    if alerts is not None:
        table.add_row("alerts", f"{alerts['received']:,}", _verdicts(alerts))
    table.add_row("orders", f"{counts['orders']:,}", f"{counts['denied']:,} denied by risk")
    table.add_row("fills", f"{counts['fills']:,}", f"{counts['events']:,} events in {counts['records']:,} records")
    table.add_row("candles", f"{counts['candles']:,}", f"rules {summary['rules']}")
    console.print(table)
    spent = ", ".join(f"{name} {seconds:.2f}" for name, seconds in summary["seconds"].items())
    for bot, error in summary.get("failed", {}).items():
        console.print(Text(printable(f"{bot} broke and decided nothing more: {error}"), "bold red"), soft_wrap=True)
    labelled("log", summary["log_sha256"])
    labelled("seconds", spent)
    if summary["run"] is not None:
        labelled("kept as run", summary["run"])
    if out is not None:
        labelled("written to", out)


def labelled(label: str, value: object) -> None:
    """A line of a dim label and what it labels."""
    console.print(Text.assemble((label, "dim"), " ", printable(str(value))), soft_wrap=True)


def events_view(lines: Sequence[dict[str, Any]]) -> None:
    """Events, one per line, cut to the terminal's width."""
    for line in lines:
        text = Text(f"{line['position']:>7} ")
        text.append(line["at"], "dim")
        text.append(f" {line['stream']} ")
        text.append(line["event"], "cyan")
        text.append(f" {facts(line['data'])}")
        console.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    if not lines:
        console.print("no events")


def facts(data: dict[str, Any]) -> str:
    """An event's fields on one line, without those that its stream already says."""
    return " ".join(
        f"{name}={printable(str(value))}" for name, value in data.items() if name not in {"account", "bot", "source"}
    )


def sparkline(values: Sequence[int], width: int) -> str:
    """A row of bars, each the last value of its share of the series."""
    if not values:
        return ""
    count = min(width, len(values))
    picked = [values[(index + 1) * len(values) // count - 1] for index in range(count)]
    low, high = min(picked), max(picked)
    return "".join(_BARS[(value - low) * (len(_BARS) - 1) // max(1, high - low)] for value in picked)


def grouped(amount: str) -> str:
    """Decimal text with thousands set apart, to eight places as it is."""
    sign = "-" if amount.startswith("-") else ""
    whole, dot, part = amount.removeprefix("-").partition(".")
    return f"{sign}{int(whole):,}{dot}{part}"


def _verdicts(alerts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in alerts.items() if name != "received" and count)
