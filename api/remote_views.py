"""What people see of the running server: tables, what a command caused, and refusals."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from api.remote import AnsweredError, Lists, RefusedError, Remote
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, print_json, printable

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table as RichTable

    from api.settings_tables import Table

CENTS = 2
DIGITS = 8
_WIDE = 10_000

Text = Callable[[Mapping[str, Any]], str]
Column = tuple[str, str | Text]
"""A title and the field under it, or what makes its text of a row. A title that ends with `>` stands to the right."""


def act(method: str, *path: str | int, body: Any = None, as_json: bool) -> int:
    """Have the server do something and show what it caused, or why it would not; the exit code of that."""
    try:
        done = Remote().command(method, *path, body=body)
    except RefusedError as refusal:
        return show_refusal(refusal, as_json=as_json)
    if as_json:
        print_json(done)
    else:
        show_events(done)
    return EXIT_CLEAN


def put_settings(
    table: "Table",
    standing: Sequence[str],
    path: Sequence[str],
    pairs: Sequence[str],
    config: "Path | None",
    *,
    within: str | None = None,
    as_json: bool,
) -> int:
    """Put settings in force over those that stand there now, or a file's; the exit code of that.

    `within` is the key of the answer and of the request that holds them.
    """
    from api.settings_tables import edited

    found: Any = {} if config is not None else _standing(standing)
    settings = edited(table, found.get(within or "settings", {}), pairs, config)
    return act("PUT", *path, body={within: settings} if within else settings, as_json=as_json)


def _standing(path: Sequence[str]) -> Any:
    """What is there, all that was commanded before included; nothing where it has never been set."""
    remote = Remote()
    remote.catch_up()
    try:
        return remote.get(*path)
    except AnsweredError as error:
        if error.problem["code"] != "NOT_FOUND":
            raise
        return {}  # whether its owner is there is for the command itself to say


def show_refusal(refusal: RefusedError, *, as_json: bool) -> int:
    """A refusal is a result: it goes where results go, with its code, and what it left on the log."""
    problem = refusal.problem
    if as_json:
        print_json(problem)
        return EXIT_FOUND
    console.print(f"refused {problem['code']}: {printable(str(problem['detail']))}", soft_wrap=True)
    if problem.get("events"):
        show_events(problem)
    return EXIT_FOUND


def show_events(done: Mapping[str, Any]) -> None:
    """The events that a command caused."""
    from api.event_line import show_event

    if not done["events"]:
        console.print("nothing had to change")
        return
    for line in done["events"]:
        show_event(line)
    if done.get("more"):
        console.print(f"and more: truetape events list --after {done['events'][-1]['position']}")


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], nothing: str) -> None:
    """Rows as a table, or a line that says there are none."""
    from rich.table import Table

    if not rows:
        console.print(nothing)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title, _ in columns:
        right = title.endswith(">")
        table.add_column(title.rstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row, content) for _, content in columns))
    _show(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Labels and what they label, one to a line."""
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, value in facts.items():
        table.add_row(label, printable(str(value)))
    _show(table)


def show_settings(settings: Mapping[str, Any]) -> None:
    """Names and values, one to a line: what is not set is left out."""
    words = {True: "true", False: "false"}
    show_facts(
        {
            name: words[value] if isinstance(value, bool) else value
            for name, value in settings.items()
            if value not in (None, [])
        }
    )


def print_table(table: "Table", settings: Mapping[str, Any]) -> None:
    """Settings as a configuration has them, for `set --config` and for backtests."""
    from api.settings_tables import toml_text

    console.print(toml_text(table, settings), soft_wrap=True)


def signal_name(row: Mapping[str, Any]) -> str:
    """How commands name a signal."""
    return f"{row['source']}/{row['number']}"


def amount(name: str) -> Text:
    """A field that is decimal text."""
    return lambda row: "-" if row[name] is None else shown(row[name])


def shown(text: str) -> str:
    """An amount as people read it: eight digits, cents at least, thousands set apart. `--json` has every digit."""
    from api.views import grouped

    exact = Decimal(text)
    places = max(CENTS, DIGITS - max(0, exact.adjusted() + 1))
    rounded = f"{round(exact, places):f}"
    return grouped(rounded.rstrip("0").rstrip(".") if "." in rounded else rounded)


def halted(row: Mapping[str, Any]) -> str:
    """Whether a bot or an account is halted, and why."""
    return f"halted: {row['halt']['reason']}" if row["halt"] else "-"


def books(account: str | None) -> Lists:
    """What says where an account stands, or all of them."""
    return {
        "portfolio": {"account": account},
        "positions": {"account": account, "held": True},
        "orders": {"account": account, "status": "open"},
    }


def show_books(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    balances(found["portfolio"])
    positions(found["positions"])
    orders(found["orders"], "no open orders")


def balances(rows: Sequence[Mapping[str, Any]]) -> None:
    columns: list[Column] = [
        ("account", "account"), ("asset", "asset"), ("equity>", amount("equity")), ("cash>", amount("cash")),
        ("realized>", amount("realized")), ("unrealized>", amount("unrealized")), ("fees>", amount("fees")),
    ]  # fmt: skip
    show_rows(rows, columns, "no money")


def positions(rows: Sequence[Mapping[str, Any]]) -> None:
    columns: list[Column] = [
        ("account", "account"), ("held", "instrument"), ("quantity>", amount("quantity")), ("cost>", amount("cost")),
        ("price>", amount("mark")), ("value>", amount("value")), ("unrealized>", amount("unrealized")),
    ]  # fmt: skip
    show_rows(rows, columns, "no positions")


def orders(rows: Sequence[Mapping[str, Any]], nothing: str = "no orders") -> None:
    columns: list[Column] = [
        ("account", "account"), ("order>", "order"), ("bot", "bot"), ("what", _order_wants), ("at", _order_price),
        ("filled>", amount("filled")), ("status", _order_status),
    ]  # fmt: skip
    show_rows(rows, columns, nothing)


def bots(rows: Sequence[Mapping[str, Any]]) -> None:
    columns: list[Column] = [
        ("bot", "bot"), ("account", "account"), ("trades", "instrument"), ("status", "status"), ("halt", halted),
        ("groups>", "groups"), ("live>", "live_group"), ("realized>", _result("realized")),
        ("unrealized>", _result("unrealized")),
    ]  # fmt: skip
    show_rows(rows, columns, "no bots: truetape bot create")


def _result(name: str) -> Text:
    return lambda row: shown(row["pnl"][name])


def _order_wants(row: Mapping[str, Any]) -> str:
    return f"{row['side']} {row['quantity']} {row['instrument']}"


def _order_price(row: Mapping[str, Any]) -> str:
    from api.views import grouped

    prices = [f"{name} {grouped(row[name])}" for name in ("stop", "limit") if row[name] is not None]
    return " ".join(prices) or "market"


def _order_status(row: Mapping[str, Any]) -> str:
    status = str(row["status"]).lower().replace("_", " ")
    return f"{status}: {row['code']}" if row["code"] else status


def _cell(row: Mapping[str, Any], content: str | Text) -> str:
    value = row[content] if isinstance(content, str) else content(row)
    return "-" if value is None else printable(str(value))


def _show(table: "RichTable") -> None:
    """A pipe has no edge: there a row is a line, however long."""
    if console.is_terminal:
        console.print(table)
        return
    for segments in console.render_lines(table, console.options.update(width=_WIDE), pad=False):
        console.print("".join(segment.text for segment in segments).rstrip(), soft_wrap=True)
