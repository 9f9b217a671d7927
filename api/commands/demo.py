"""`truetape demo`: the main job on a seeded market, from alerts to a verified log."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, progress

if TYPE_CHECKING:
    from infrastructure.event_store.database import Database

FILLS_SHOWN = 8
WIDTH = 72


@exits
def demo(
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of one-minute candles.")] = 30,
    alerts: Annotated[int, typer.Option(min=1, max=10_000, help="Alerts over these days.")] = 120,
    seed: Annotated[int, typer.Option(help="Same seed, same market, same log.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> int:
    """Seeded alerts on a seeded market: run, kept in Postgres, run again from the log, and compared."""
    from infrastructure.database import open_database
    from infrastructure.settings import load_settings
    from replay.demo import demo_alerts, demo_setup, demo_tape
    from replay.game import game_of
    from replay.session import Stopwatch, carry_out

    settings = load_settings()
    watch = Stopwatch()
    out = settings.home / "runs" / "demo"
    out.mkdir(parents=True, exist_ok=True)
    with watch.phase("import"):
        tape = demo_tape(days, seed)
        tape.save(settings.home / "market" / f"demo-{seed}-{days}d.parquet")
        deliveries = demo_alerts(tape, alerts, seed)
    if not as_json:
        _introduce(tape.closes.tolist(), len(deliveries))
    game = game_of(demo_setup(), tape, deliveries)
    with open_database(settings) as database:
        with progress("candles", len(tape), quiet=as_json) as advance:
            summary = carry_out(game, out, watch, database, advance)
        verdict, differences = _audit(database, settings.home, summary["run"])
    if as_json:
        print_json({"summary": summary, "verdict": verdict, "projection_differences": differences})
    else:
        _show(summary, out, verdict, differences)
    return EXIT_CLEAN if verdict["status"] == "same" and not differences else EXIT_FOUND


def _audit(database: "Database", home: Path, run: int) -> tuple[dict[str, Any], int]:
    """Run it again from its log, and fold the log again beside the read models."""
    import msgspec

    from infrastructure.event_store.runs import find_run
    from infrastructure.row_rebuild import differences
    from replay.verify import verify

    verdict = msgspec.to_builtins(verify(database, home, find_run(database, run)))
    return verdict, len(differences(database))


def _introduce(closes: list[int], deliveries: int) -> None:
    from rich.text import Text

    from api.views import labelled, sparkline
    from domain.values import decimal_text

    console.rule(Text.assemble(("Truetape", "bold"), "  alerts in, orders out, and back again from the log"))
    low, high = (decimal_text(quanta, 2) for quanta in (min(closes), max(closes)))
    labelled("market ", f"BTC/USDT, seeded, {len(closes):,} one-minute candles, {low} to {high}")
    console.print(f"        {sparkline(closes, WIDTH)}", style="cyan")
    labelled("alerts ", f"{deliveries} deliveries, some twice, some damaged")
    console.print()


def _show(summary: dict[str, Any], out: Path, verdict: dict[str, Any], differences: int) -> None:
    from api.views import labelled, summary_view

    _show_fills(out / "fills.csv")
    console.print()
    summary_view(summary, out)
    console.print()
    same = verdict["status"] == "same"
    outcome = "are the same to the byte" if same else "DIVERGED"
    _tick(f"replayed from Postgres: {verdict['records']:,} records {outcome}", good=same)
    _tick(f"read models against a fold of the log: {differences or 'no'} differences", good=not differences)
    labelled("next:", f"truetape events list --run {summary['run']} · truetape verify · README.md for your own data")


def _tick(text: str, *, good: bool) -> None:
    from rich.text import Text

    console.print(Text.assemble(("✓", "green") if good else ("✗", "red"), " ", text))


def _show_fills(path: Path) -> None:
    import csv

    from rich.table import Table
    from rich.text import Text

    from api.views import grouped

    with path.open(newline="") as file:
        fills = list(csv.DictReader(file))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title_justify="left", title_style="dim")
    table.title = f"the last {min(FILLS_SHOWN, len(fills))} of {len(fills):,} fills"
    for name in ("at", "order", "side", "price", "quantity", "fee"):
        table.add_column(name, justify="left" if name in {"at", "side"} else "right")
    for fill in fills[-FILLS_SHOWN:]:
        side = Text(fill["side"], "green" if fill["side"] == "buy" else "magenta")
        table.add_row(
            fill["at"], fill["order_id"], side, grouped(fill["price"]), fill["quantity"],
            f"{fill['fee']} {fill['fee_asset']}",
        )  # fmt: skip
    console.print(table)
