"""A backtest from start to files: played, perhaps kept, written, summed up, each phase timed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from domain.ports import Ledger
from infrastructure.settings import Settings
from infrastructure.venues.simulated import RULES
from replay import result
from replay.backtest import STRATEGY, Game, Watch, play
from replay.kept import KeptRun, Ledgers
from replay.spool import Spool

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


def carry_out(
    game: Game, out: Path, watch: Stopwatch, keep_in: Settings | None = None, progress: Watch | None = None
) -> dict[str, Any]:
    """Play the game, write its files into `out`, return its summary; with `keep_in`, keep the run in Postgres."""
    with ExitStack() as stack:
        spool = stack.enter_context(Spool())
        kept: KeptRun | None = None
        ledger: Ledger = spool
        if keep_in is not None:
            with watch.phase("write"):
                kept = stack.enter_context(KeptRun(keep_in, game))
            ledger = Ledgers((spool, _Timed(kept.ledger, watch)))
        with watch.phase("engine"):
            play(game, ledger, watch=progress)
            spool.flush()
        with watch.phase("write"):
            if kept is not None:
                kept.ledger.end()
            result.write_events(out / "events.jsonl", spool.records())
            result.write_fills(out / "fills.csv", spool.records())
        with watch.phase("report"):
            figures = result.summarize(spool.records(), game.instrument)
            if kept is not None:
                kept.project()
        summary = {
            "run": None if kept is None else kept.ledger.run,
            "strategy": STRATEGY,
            "instrument": game.instrument.id,
            "rules": RULES,
            "counts": {"candles": len(game.tape), **figures.pop("counts")},
            **figures,
            "log_sha256": spool.digest.hexdigest(),
            "tape_digest": game.tape.digest,
            "seconds": {name: round(seconds, 4) for name, seconds in watch.seconds.items()},
            "versions": result.versions(),
        }
        result.write_summary(out / "summary.json", summary)
        return summary


class _Timed:
    """A ledger whose time counts as writing, not as the engine's."""

    def __init__(self, ledger: Ledger, watch: Stopwatch) -> None:
        self._ledger = ledger
        self._watch = watch

    def append(self, records: list[Any]) -> None:
        with self._watch.phase("write"):
            self._ledger.append(records)
