"""A paper run again: its inbox, row by row, through a fresh core and a fresh venue."""

from collections.abc import Iterator

from domain.engine import Core, run
from domain.ports import Ledger
from infrastructure.event_store.database import Database
from infrastructure.inbox import Inbox, InboxRow
from infrastructure.venues.paper import PaperMarket

BATCH = 1000


def play_inbox(database: Database, ledger: Ledger, upto: int) -> None:
    """Run the rows up to id `upto`, which have all been taken; those that were refused then are passed over."""
    core, market = inbox_market(database, upto)
    run(core, market, ledger, market)


def inbox_market(database: Database, upto: int) -> tuple[Core, PaperMarket]:
    """A fresh core, and the market that gives it these rows."""
    rows = _taken(Inbox(database), upto)
    core = Core()
    return core, PaperMarket(core, lambda: next(rows, None), lambda _row: None, lambda _row, _reason: None)


def _taken(inbox: Inbox, upto: int) -> Iterator[InboxRow]:
    last = 0
    while last < upto:
        batch = [row for row in inbox.rows(last, BATCH) if row.id <= upto]
        outcomes = inbox.outcomes([row.id for row in batch])
        for row in batch:
            if outcomes[row.id].error is None:
                yield row
        last = batch[-1].id
