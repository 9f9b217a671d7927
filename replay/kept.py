"""Keeping a backtest: its records into Postgres as it runs, its projections after."""

from typing import Any

import msgspec

from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.event_store.runs import Run
from infrastructure.read_models import update_all
from infrastructure.venues.simulated import RULES, Rules
from replay.game import Game, Window, name_of


class KeptRun:
    """A run in Postgres while it is being made. Left without `end` it is interrupted, as it is."""

    def __init__(self, database: Database, game: Game) -> None:
        self._database = database
        self.ledger = PostgresLedger.begin(self._database, _opening(game), game.start())

    @property
    def run(self) -> int:
        """The run's number."""
        return self.ledger.run

    def project(self) -> None:
        """Bring the read models up to the end of the log."""
        update_all(self._database)


def tapes_of(run: Run) -> dict[str, str]:
    """The digests of the tapes that a kept run names, by instrument; "" is that of its only one.

    A run on one instrument names its tape in the run's own row, a run on several in its settings.
    """
    if run.tape_digest is not None:
        return {"": run.tape_digest}
    try:
        return msgspec.convert(run.settings.get("tapes", {}), dict[str, str])
    except msgspec.ValidationError:
        return {}  # somebody altered the row: what it says are no tapes


def window_of(run: Run) -> Window | None:
    """The stretch of its tapes that a kept run was played on, None where it was all of them."""
    try:
        found: Window | None = msgspec.convert(run.settings.get("window"), Window | None)
    except msgspec.ValidationError:
        return None  # as in `tapes_of`
    return found


def rules_of(run: Run) -> Rules:
    """The fill rules that a kept run was played by."""
    try:
        found: Rules = msgspec.convert(run.settings.get("rules", RULES), Rules)
    except msgspec.ValidationError:
        return RULES  # as in `tapes_of`
    return found


def _opening(game: Game) -> RunOpening:
    first, *others = game.markets
    name = name_of(game)
    cut: dict[str, Any] = {} if game.window is None else {"window": list(game.window)}
    if game.rules != RULES:
        cut["rules"] = game.rules
    if others:
        ids: list[str] = [market.instrument.id for market in game.markets]
        tapes = {market.instrument.id: market.tape.digest for market in game.markets}
        return RunOpening(
            f"{name} {', '.join(ids)}",
            "backtest",
            {"strategy": name, "instruments": ids, "tapes": tapes, **cut},
            rules=game.rules,
        )
    return RunOpening(
        label=f"{name} {first.instrument.id}",
        mode="backtest",
        settings={"strategy": name, "instrument": first.instrument.id, **cut},
        tape_name=first.tape.instrument or None,
        tape_digest=first.tape.digest,
        rules=game.rules,
    )
