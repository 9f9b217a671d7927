"""A backtest from start to files: played, perhaps kept, written, summed up, each phase timed."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from domain.errors import InputError
from domain.ports import Ledger
from infrastructure.event_store.database import Database
from infrastructure.venues.simulated import RULES
from replay import result
from replay.backtest import STRATEGY, Game, Watch, play
from replay.kept import KeptRun, Ledgers
from replay.spool import Spool

PHASES = ("import", "load", "engine", "write", "report")
SUMMARY_FILE, FILLS_FILE, EVENTS_FILE = "summary.json", "fills.csv", "events.jsonl"


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
    for name in (SUMMARY_FILE, FILLS_FILE, EVENTS_FILE):
        if (out / name).is_dir():
            raise InputError(f"{out / name} cannot be written: it is a folder")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from None


def carry_out(
    game: Game, out: Path, watch: Stopwatch, keep_in: Database | None = None, progress: Watch | None = None
) -> dict[str, Any]:
    """Play the game, write its files into `out`, return its summary; with `keep_in`, keep the run in Postgres."""
    with ExitStack() as stack:
        spool = stack.enter_context(Spool())
        kept: KeptRun | None = None
        ledger: Ledger = spool
        if keep_in is not None:
            with watch.phase("write"):
                kept = KeptRun(keep_in, game)
            ledger = Ledgers((spool, _Timed(kept.ledger, watch)))
        with watch.phase("engine"):
            play(game, ledger, watch=progress)
            spool.flush()
        with watch.phase("write"):
            if kept is not None:
                kept.ledger.end()
            result.write_events(out / EVENTS_FILE, spool.records())
            result.write_fills(out / FILLS_FILE, spool.records())
        with watch.phase("report"):
            figures = result.summarize(spool.records(), game.markets[0].instrument)
            if kept is not None:
                kept.project()
        summary = {
            "run": None if kept is None else kept.ledger.run,
            "strategy": STRATEGY,
            **_instruments(game),
            "rules": RULES,
            "counts": {"candles": game.candles, **figures.pop("counts")},
            **figures,
            "log_sha256": spool.digest.hexdigest(),
            **_tapes(game),
            "seconds": {name: round(seconds, 4) for name, seconds in watch.seconds.items()},
            "versions": result.versions(),
        }
        result.write_summary(out / SUMMARY_FILE, summary)
        return summary


def _instruments(game: Game) -> dict[str, Any]:
    ids = [market.instrument.id for market in game.markets]
    return {"instrument": ids[0]} if len(ids) == 1 else {"instruments": ids}


def _tapes(game: Game) -> dict[str, Any]:
    digests = {market.instrument.id: market.tape.digest for market in game.markets}
    return {"tape_digest": next(iter(digests.values()))} if len(digests) == 1 else {"tape_digests": digests}


class _Timed:
    """A ledger whose time counts as writing, not as the engine's."""

    def __init__(self, ledger: Ledger, watch: Stopwatch) -> None:
        self._ledger = ledger
        self._watch = watch

    def append(self, records: list[Any]) -> None:
        with self._watch.phase("write"):
            self._ledger.append(records)
