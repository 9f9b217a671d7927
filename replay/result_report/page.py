"""The page: everything of a backtest in one file that opens from disk, in light and dark, and prints."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path

from domain.values import SECOND
from infrastructure.market_data.atomic_file import written_whole
from replay.result_report.charts import (
    BUY,
    COUNTS_BOX,
    PRICE_BOX,
    SELL,
    count_width,
    equity_chart,
    price_chart,
    profit_chart,
)
from replay.result_report.figures import lasting
from replay.result_report.months import Year, years_of
from replay.result_report.report import Figure, Market, Report, Table
from replay.result_report.sampling import MARKS_MAX
from replay.result_report.zoom import FILLS_MAX, zoom_data

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SHADES = 10
"""Of gains and of losses: the classes that page.css has. The month that moved most has the strongest."""


def write_page(path: Path, report: Report) -> None:
    """Write the page, whole or not at all; the same report gives the same bytes."""
    with written_whole(path) as part:
        part.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """The page as HTML. Its policy lets it load nothing and run its own script only, whatever the texts hold."""
    style, script = page_file("page.css"), page_file("page.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{escape(report.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n",
            *(f"{part}\n" for part in _parts(report)),
            f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
        )
    )


def _parts(report: Report) -> Iterator[str]:
    yield f"<header><h1>{escape(report.title)}</h1><p>{escape(report.subtitle)}</p></header>"
    if report.warnings:
        said = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
        yield f'<aside aria-label="Warnings"><strong>Mind</strong><ul>{said}</ul></aside>'
    yield _headline(report.headline)
    keys = [("equity", f"equity in {report.currency}"), ("benchmark", "bought and held"), ("fall", "drawdown")]
    shown = [key for key in keys if key[0] != "benchmark" or report.benchmark is not None]
    drawn = equity_chart(report.equity, report.drawdown, report.benchmark, report.currency)
    yield _chart("Equity and drawdown", drawn, shown)
    yield _months(years_of(report.months))
    share = max(1, len(report.markets))
    for number, market in enumerate(report.markets, 1):
        yield _market(f"market-{number}", market, share)
    keys = [("gain", "gains"), ("loss", "losses"), ("mean", "mean")]
    yield _chart("Profits of the round trips", profit_chart(report.profits, report.currency), keys)
    yield f'<div class="tables">{"".join(map(_table, report.tables))}</div>'


def _headline(figures: Sequence[Figure]) -> str:
    cells = "".join(
        f"<div><dt>{escape(each.name)}</dt><dd>{escape(each.value)}</dd>"
        + (f'<dd class="note">{escape(each.note)}</dd>' if each.note else "")
        + "</div>"
        for each in figures
    )
    return f'<section aria-label="Headline figures"><dl class="headline">{cells}</dl></section>'


def _chart(title: str, drawn: str, keys: Sequence[tuple[str, str]]) -> str:
    said = "".join(f'<span class="key {style}">{escape(name)}</span>' for style, name in keys)
    return f"<section><h2>{escape(title)}</h2><figure>{drawn}<figcaption>{said}</figcaption></figure></section>"


def _market(name: str, market: Market, share: int) -> str:
    drawn = price_chart(name, market)
    keys = [("price", "close"), ("buy", "bought"), ("sell", "sold")]
    count = len(market.fills.times)
    if count > MARKS_MAX:
        keys.append(("note", f"{count:,} fills: a bar counts those of {lasting(count_width(market) / SECOND)}"))
    if count > FILLS_MAX // share:
        keys.append(("note", "they are too many to be shown when looking closer"))
    if len(market.closes.times):
        data = zoom_data(market, share, PRICE_BOX, {"b": BUY, "s": SELL}, COUNTS_BOX if count > MARKS_MAX else {})
        drawn += f'<script type="application/json" id="{name}-data">{data}</script>'
    return _chart(f"Fills on {market.instrument}", drawn, keys)


def _months(years: Sequence[Year]) -> str:
    if not years:
        return ""
    strongest = max((abs(each) for year in years for each in year.months if each is not None), default=0.0)
    head = "".join(f'<th scope="col">{month}</th>' for month in (*MONTHS, "Year"))
    rows = "".join(
        f'<tr><th scope="row">{year.year}</th>{"".join(_cell(each, strongest) for each in (*year.months, year.total))}</tr>'
        for year in years
    )
    return (
        '<section><h2>Monthly returns</h2><div class="wide"><table class="months">'
        "<caption>Percent of the equity at the month's start; a month that is not whole counts as it is</caption>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _cell(value: float | None, strongest: float) -> str:
    if value is None:
        return "<td></td>"
    shade = min(SHADES, round(abs(value) / strongest * SHADES)) if strongest else 0
    style = f' class="{"gain" if value > 0 else "loss"} s{shade}"' if shade else ""
    return f"<td{style}>{value * 100:+.2f}</td>"


def _table(table: Table) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(row.name)}</th><td>{escape(row.value)}'
        + (f"<small>{escape(row.note)}</small>" if row.note else "")
        + "</td></tr>"
        for row in table.rows
    )
    return f"<section><h2>{escape(table.title)}</h2><table>{rows}</table></section>"


@cache
def page_file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """How a content security policy names a style or a script that may run."""
    return f"sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
