"""A backtest from start to files: played, perhaps kept, written, summed up, each phase timed."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from replay.game import Game, Watch, name_of, play
from replay.metrics.metrics import PERIODS_PER_YEAR
from replay.metrics.metrics import figures as metric_figures
from replay.results import EVENTS_FILE, FILES, FILLS_FILE, REPORT_FILE, Results, write_report, write_tables
from replay.spool import Spool
from replay.strategy_results import Counted, account_results
from replay.table_writer import CANDLES_MIN, TableWriter

if TYPE_CHECKING:
    from infrastructure.event_store.database import Database
    from replay.kept import KeptRun

PHASES = ("import", "load", "engine", "write", "report")
SUMMARY_FILE, LINES_FILE = "summary.json", "events.jsonl"


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
) -> dict[str, Any]:
    """Play the game, write its files into `out`, return its summary; with `keep_in`, keep the run in Postgres."""
    with ExitStack() as stack:
        spool = stack.enter_context(Spool())
        table: TableWriter | None = None
        if game.candles >= CANDLES_MIN:
            table = stack.enter_context(TableWriter(out / EVENTS_FILE, spool))
        kept: KeptRun | None = None
        ledger: Ledger = spool
        if keep_in is not None:
            with watch.phase("write"):
                kept = _kept(keep_in, game)
            ledger = _Ledgers((spool, _Timed(kept.ledger, watch)))
        with watch.phase("engine"):
            play(game, ledger, pace=asked.pace, watch=progress)
            spool.flush()
        counts = Counted()
        with watch.phase("write"):
            if kept is not None:
                kept.ledger.end()
            made = _tables(game, out, counts.passing(spool.records()), asked, table)
            if asked.lines:
                result.write_events(out / LINES_FILE, spool.records())
        with watch.phase("report"):
            summary = summarize(game, counts, made, spool, None if kept is None else kept.ledger.run)
            if kept is not None:
                kept.project()
            if made is not None:
                write_page_of(out / REPORT_FILE, game, made, summary)
        if table is not None:
            with watch.phase("write"):
                table.finish()
        summary["seconds"] = {name: round(seconds, 4) for name, seconds in watch.seconds.items()}
        result.write_summary(out / SUMMARY_FILE, summary)
        return summary


def summarize(
    game: Game, counts: Counted, made: Results | None, spool: Spool, run: int | None = None
) -> dict[str, Any]:
    """The summary of a run whose log has been read, but for its seconds; `run` is its number where it is kept."""
    figures = _figures(game, counts, made, spool)
    return {
        "run": run,
        "strategy": name_of(game),
        **_instruments(game),
        "rules": game.rules,
        "counts": {"candles": game.candles, **figures.pop("counts")},
        **figures,
        "metrics": None if made is None else metric_figures(made.metrics),
        "failed": {event.bot: event.error for event in counts.failed},
        "log_sha256": spool.digest.hexdigest(),
        **_tapes(game),
        "versions": result.versions(),
    }


def write_page_of(path: Path, game: Game, made: Results, summary: Mapping[str, Any]) -> None:
    """Write the page of a run, with its strategies' parameters, and what broke."""
    failed = summary["failed"].items()
    broken = tuple(f"{bot} broke and decided nothing more: {error}" for bot, error in failed)
    write_report(path, game, made, summary, _parameters(game), broken)


def _tables(
    game: Game, out: Path, records: Iterable[Record[Event]], asked: Asked, table: TableWriter | None
) -> Results | None:
    """The tables of a run, read once; where no tape has a candle there are only fills, and no figures."""
    if game.candles:
        return write_tables(out, game, records, asked.periods_per_year, events=table is None)
    result.write_fills(out / FILLS_FILE, records)
    return None


def _figures(game: Game, counts: Counted, made: Results | None, spool: Spool) -> dict[str, Any]:
    """Counts and results: of strategies from what has been read, of bots that hear alerts from the projections."""
    instrument = game.markets[0].instrument
    if made is None or not game.strategies or any(isinstance(each.message, CreateBot) for each in game.opening):
        return result.summarize(spool.records(), instrument)
    return {"counts": counts.counts(), **account_results(made, instrument)}


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
