"""A backtest from start to files: played, perhaps kept, written, summed up, each phase timed."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from domain.bot.commands import CreateBot
from domain.errors import InputError
from domain.message import Event, Record
from domain.ports import Ledger
from infrastructure.venues.lane import Pace
from replay import result
from replay.files import FILES, FILLS_FILE, LINES_FILE, REPORT_FILE, SUMMARY_FILE
from replay.game import Game, Watch, name_of, play
from replay.gathered import Gathered
from replay.metrics.metrics import PERIODS_PER_YEAR
from replay.metrics.metrics import figures as metric_figures
from replay.results import Results, write_report, write_tables
from replay.spool import Spool
from replay.strategy_results import account_results
from replay.table_process import CANDLES_MIN, TableProcess

if TYPE_CHECKING:
    from infrastructure.event_store.database import Database
    from replay.kept import KeptRun

PHASES = ("import", "load", "engine", "write", "report")


class Stopwatch:
    """Seconds per phase. Phases are disjoint: one inside another counts for itself only."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._inner = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside."""
        outer, self._inner = self._inner, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] += spent - self._inner
            self._inner = outer + spent


def check_folder(out: Path) -> None:
    """Refuse a folder that a run could not be written to; nothing is left there."""
    nearest = next(folder for folder in (out, *out.parents) if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"{out} cannot be written: {nearest} is a file; allowed: a folder, which may be new")
    for name in (SUMMARY_FILE, LINES_FILE, *FILES):
        if (out / name).is_dir():
            raise InputError(f"{out / name} cannot be written: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None


class Asked(Struct, frozen=True):
    """What a backtest is to leave, and how its tape is gone through.

    `lines` writes the events as JSON lines too, which takes longer than the run itself.
    """

    lines: bool = False
    pace: Pace = "skip"
    periods_per_year: float = PERIODS_PER_YEAR


def carry_out(
    game: Game,
    out: Path,
    watch: Stopwatch,
    keep_in: "Database | None" = None,
    progress: Watch | None = None,
    asked: Asked = Asked(),  # noqa: B008  (it cannot be changed)
    begun: TableProcess | None = None,
) -> dict[str, Any]:
    """Play the game, write its files into `out`, return its summary; with `keep_in`, keep the run in Postgres.

    `begun` is a process for its tables, where one was begun already; it may not be needed.
    """
    with ExitStack() as stack:
        found = Gathered()
        tables = _tables_beside(game, out, stack, begun)
        spool = stack.enter_context(Spool(found.take, tables))
        kept: KeptRun | None = None
        ledger: Ledger = spool
        if keep_in is not None:
            with watch.phase("write"):
                kept = _kept(keep_in, game)
            ledger = _Ledgers((spool, _Timed(kept.ledger, watch)))
        with watch.phase("engine"):
            play(game, ledger, pace=asked.pace, watch=progress)
            spool.flush()
        with watch.phase("write"):
            if kept is not None:
                kept.ledger.end()
            if tables is not None:
                tables.end()
            made = _tables(game, out, spool, found, asked, beside=tables is not None)
            if asked.lines:
                _write_lines(out, spool)
        with watch.phase("report"):
            summary = summarize(game, found, made, spool, None if kept is None else kept.ledger.run)
            if kept is not None:
                kept.project()
            if made is not None:
                write_page_of(out / REPORT_FILE, game, made, summary)
        if tables is not None:
            with watch.phase("write"):
                tables.finish()
        summary["seconds"] = {name: round(seconds, 4) for name, seconds in watch.seconds.items()}
        result.write_summary(out / SUMMARY_FILE, summary)
        return summary


def summarize(
    game: Game, found: Gathered, made: Results | None, spool: Spool, run: int | None = None
) -> dict[str, Any]:
    """The summary of a run whose log is gathered, but for its seconds; `run` is its number where it is kept."""
    figures = _figures(game, found, made, spool)
    return {
        "run": run,
        "strategy": name_of(game),
        **_instruments(game),
        "rules": game.rules,
        "counts": {"candles": game.candles, **figures.pop("counts")},
        **figures,
        "metrics": None if made is None else metric_figures(made.metrics),
        "failed": {event.bot: event.error for event in found.failed},
        "log_sha256": spool.digest.hexdigest(),
        **_tapes(game),
        "versions": result.versions(),
    }


def write_page_of(path: Path, game: Game, made: Results, summary: Mapping[str, Any]) -> None:
    """Write the page of a run, with its strategies' parameters, and what broke."""
    failed = summary["failed"].items()
    broken = tuple(f"{bot} broke and decided nothing more: {error}" for bot, error in failed)
    write_report(path, game, made, summary, _parameters(game), broken)


def _tables_beside(game: Game, out: Path, stack: ExitStack, begun: TableProcess | None) -> TableProcess | None:
    """The process that writes a long run's tables."""
    if game.candles < CANDLES_MIN:
        return None
    tables = begun or stack.enter_context(TableProcess(out))
    tables.begin(game.start())
    return tables


def _tables(game: Game, out: Path, spool: Spool, found: Gathered, asked: Asked, *, beside: bool) -> Results | None:
    """The tables of a run, of which those of the log may be written `beside` it; of no candle there are only fills."""
    if game.candles:
        return write_tables(out, game, found, None if beside else spool.records(), asked.periods_per_year)
    from replay.log_tables import write_fills  # noqa: PLC0415  (polars: only where this process writes tables)

    write_fills(out / FILLS_FILE, spool.records())
    return None


def _write_lines(out: Path, spool: Spool) -> None:
    from replay.event_lines import write_events  # noqa: PLC0415  (only where they are asked for)

    write_events(out / LINES_FILE, spool.records())


def _figures(game: Game, found: Gathered, made: Results | None, spool: Spool) -> dict[str, Any]:
    """Counts and results: of strategies from what was gathered, of bots that hear alerts from the projections."""
    instrument = game.markets[0].instrument
    if made is None or not game.strategies or any(isinstance(each.message, CreateBot) for each in game.opening):
        from replay.summary import summarize as summarize_log  # noqa: PLC0415  (the projections: only for them)

        return summarize_log(spool.records(), instrument)
    return {"counts": found.counts(), **account_results(made, instrument)}


def _parameters(game: Game) -> dict[str, Any]:
    """All strategies' parameters; of several, each under its bot's name."""
    return {
        (key if len(game.strategies) == 1 else f"{each.bot}: {key}"): value
        for each in game.strategies
        for key, value in structs.asdict(each.parameters).items()
        if value is not None
    }


def _instruments(game: Game) -> dict[str, Any]:
    ids = [market.instrument.id for market in game.markets]
    return {"instrument": ids[0]} if len(ids) == 1 else {"instruments": ids}


def _tapes(game: Game) -> dict[str, Any]:
    digests = {market.instrument.id: market.tape.digest for market in game.markets}
    return {"tape_digest": next(iter(digests.values()))} if len(digests) == 1 else {"tape_digests": digests}


def _kept(database: "Database", game: Game) -> "KeptRun":
    """The run in Postgres; the driver takes a third of a second to import, which a run that is not kept need not wait for."""
    from replay.kept import KeptRun  # noqa: PLC0415

    return KeptRun(database, game)


class _Ledgers:
    """Several ledgers as one: each gets every append, in order."""

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        self._ledgers = ledgers

    def append(self, records: list[Record[Event]]) -> None:
        for ledger in self._ledgers:
            ledger.append(records)


class _Timed:
    """A ledger whose time counts as writing, not as the engine's."""

    def __init__(self, ledger: Ledger, watch: Stopwatch) -> None:
        self._ledger = ledger
        self._watch = watch

    def append(self, records: list[Any]) -> None:
        with self._watch.phase("write"):
            self._ledger.append(records)
