"""Keeping a backtest: its records into Postgres as it runs, its projections after."""

from collections.abc import Sequence

from domain.message import Event, Record
from domain.ports import Ledger
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update_all
from replay.backtest import STRATEGY, Game


class KeptRun:
    """A run in Postgres while it is being made. Left without `end` it is interrupted, as it is."""

    def __init__(self, database: Database, game: Game) -> None:
        self._database = database
        tape = game.tape
        opening = RunOpening(
            label=f"{STRATEGY} {game.instrument.id}",
            mode="backtest",
            settings={"strategy": STRATEGY, "instrument": game.instrument.id},
            tape_name=tape.instrument or None,
            tape_digest=tape.digest,
        )
        self.ledger = PostgresLedger.begin(self._database, opening, game.start())

    @property
    def run(self) -> int:
        """The run's number."""
        return self.ledger.run

    def project(self) -> None:
        """Bring the read models up to the end of the log."""
        update_all(self._database)


class Ledgers:
    """Several ledgers as one: each gets every append, in order."""

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        self._ledgers = ledgers

    def append(self, records: list[Record[Event]]) -> None:
        for ledger in self._ledgers:
            ledger.append(records)
