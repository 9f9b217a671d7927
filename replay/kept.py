"""Keeping a backtest: its records into Postgres as it runs, its projections after."""

from collections.abc import Sequence
from typing import Self

from domain.message import Event, Record
from domain.ports import Ledger
from infrastructure.database import open_database
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.read_models import update_all
from infrastructure.settings import Settings
from replay.backtest import STRATEGY, Game


class KeptRun:
    """A run in Postgres while it is being made. Closing it without `end` leaves it interrupted, as it is."""

    def __init__(self, settings: Settings, game: Game) -> None:
        self._database: Database = open_database(settings)
        tape = game.tape
        opening = RunOpening(
            label=f"{STRATEGY} {game.instrument.id}",
            mode="backtest",
            settings={"strategy": STRATEGY, "instrument": game.instrument.id},
            tape_name=tape.instrument or None,
            tape_digest=tape.digest,
        )
        self.ledger = PostgresLedger.begin(self._database, opening, game.start())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

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
