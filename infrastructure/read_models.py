"""Read models: the projections' rows in Postgres, each record in them exactly once.

A batch of records, the rows that it changed and the position of its last record are one transaction, under a lock of
each projection; so a crash loses a batch whole, and two runners take turns. All projections take a batch in the same
transaction, so that whoever reads the rows of several sees them at one position.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg.rows import TupleRow, tuple_row

from domain.errors import StoreError
from domain.values import LARGEST
from infrastructure.event_store.database import Database
from infrastructure.projection_batches import (
    START,
    Folding,
    Runs,
    advance_together,
    flush,
    fold_batch,
    is_old,
    known_versions,
    lock,
    read_batch,
    read_marks,
    read_tracked,
    session,
)
from infrastructure.projection_stops import (
    ProjectionStoppedError,
    Stop,
    find_stops,
    forget_stops,
    note_stop,
    stopped_names,
)
from infrastructure.row_rebuild import fold_anew
from infrastructure.row_tables import KEPT_ROWS, SCHEMA, table_of
from projections.catalogue import PROJECTIONS
from projections.rows import Projection, Row

BATCH = 5000
"""Records that one transaction folds at most; as many as there are where there are fewer."""
_UNHURRIED = "SET LOCAL synchronous_commit = off"
"""Rows and the position they claim are lost together, and folded again: nobody has to wait for the disk."""
R = TypeVar("R", bound=Row)
Cursor = psycopg.Cursor[TupleRow]


class _ApartError(Exception):
    """Some cannot go on with the others: they have stopped, or their rows are of another fold."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class ProjectionRunner:
    """Brings projections forward, and keeps in memory for the next time what it has folded. For one thread at a time."""

    def __init__(
        self,
        database: Database,
        projections: Sequence[Projection] = PROJECTIONS,
        batch: int = BATCH,
        kept_rows: int = KEPT_ROWS,
    ) -> None:
        self._database = database
        self._projections = projections
        self._batch = batch
        self._kept_rows = kept_rows
        self._runs: dict[str, Runs] = {}

    def bring_forward(self) -> dict[str, StoreError]:
        """Update every projection, all of them in one transaction for each batch.

        One that stops does not stop the others: what stopped it is returned under its name.
        """
        apart: set[str] = set()
        while going := [each for each in self._projections if each.name not in apart]:
            try:
                self._go_on(going, repeat(self._batch), together=True)
                break
            except _ApartError as error:
                apart |= error.names
            except ProjectionStoppedError as error:
                apart.add(error.projection)
        stopped: dict[str, StoreError] = {}
        for projection in self._projections:
            if projection.name in apart:
                try:
                    self.update(projection)
                except StoreError as error:
                    stopped[projection.name] = error
        return stopped

    def update(self, projection: Projection) -> int:
        """Fold every record that one projection has not seen; return the position it has reached. Raises StoreError.

        Where it stops, it has taken in every record before the one that stops it.
        """
        first = size = self._batch
        stop = next((stop for stop in find_stops(self._database) if stop.projection == projection.name), None)
        if stop is not None:
            _stay_stopped(self._database, projection, stop)
            first = 1  # nearly always it stops again: that should cost one record
        while True:
            try:
                return self._go_on([projection], chain([first], repeat(size)))
            except ProjectionStoppedError as error:
                if error.records <= 1:
                    if error.records:
                        note_stop(self._database, projection, position_of(self._database, projection), str(error))
                    raise
                first = size = error.records // 2

    def _go_on(self, projections: Sequence[Projection], sizes: Iterator[int], *, together: bool = False) -> int:
        """Fold batches of these sizes until there is nothing more to fold, and return the position of all.

        Those furthest behind go on together until they stand where the next ones do, and from there with them. Raises
        ProjectionStoppedError; `together`, also _ApartError.
        """
        try:
            with session(self._database, projections) as (connection, cursor):
                for each in projections:
                    self._runs.setdefault(each.name, Runs(cursor, SCHEMA, self._kept_rows)).use(cursor)
                while True:
                    with connection.transaction():
                        reached = self._step(cursor, projections, next(sizes), together=together)
                    if reached is not None:
                        return reached
        except BaseException:
            self._runs.clear()  # it may be ahead of what was committed
            raise

    def _step(self, cursor: Cursor, projections: Sequence[Projection], size: int, *, together: bool) -> int | None:
        """One batch, in a transaction; the position of all where there is no more."""
        with cursor.connection.pipeline():  # a fold is outside: who is stopped there must seem idle to Postgres
            cursor.execute(_UNHURRIED)
            lock(cursor, projections)
            found = read_marks(cursor)
            stopped = stopped_names(cursor) if together else set()
        versions = {each.name: known_versions(each, found) for each in projections}
        old = [each for each in projections if is_old(each, versions[each.name])]
        apart = stopped.intersection(versions) | {each.name for each in old}
        if together and apart:
            raise _ApartError(apart)
        if old:
            fold_anew(self._database, cursor, old, self._kept_rows)
            return None
        marks = {each.name: versions[each.name].get(each.schema_version, START) for each in projections}
        lowest = min(mark.position for mark in marks.values())
        behind = [each for each in projections if marks[each.name].position == lowest]
        stop = min((mark.position for mark in marks.values() if mark.position > lowest), default=LARGEST)
        batch = read_batch(cursor, lowest, size, stop)
        if batch is None:
            return lowest
        folding = [Folding(each, self._runs[each.name]) for each in behind]
        for each in folding:
            each.runs.go_to(marks[each.projection.name])
        last = fold_batch(folding, batch)
        with cursor.connection.pipeline():
            flush(folding, batch, last)
            forget_stops(cursor, behind)
            for name, mark in advance_together(cursor, behind, last).items():
                self._runs[name].mark = mark
        return last if len(batch.runs) < size and stop == LARGEST else None


def update(database: Database, projection: Projection, batch: int = BATCH, kept_rows: int = KEPT_ROWS) -> int:
    """Fold every record that this projection has not seen, whatever the others have; return the position it has reached.

    Raises StoreError where an event cannot be folded or the rows are of a newer program; rows of an older
    `schema_version` are folded anew. A projection that stops has taken in every record before the one that stops it.
    """
    return ProjectionRunner(database, [projection], batch, kept_rows).update(projection)


def bring_forward(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> dict[str, StoreError]:
    """Update every projection once; what has stopped one is returned under its name."""
    return ProjectionRunner(database, projections, batch, kept_rows).bring_forward()


def update_all(
    database: Database,
    projections: Sequence[Projection] = PROJECTIONS,
    batch: int = BATCH,
    kept_rows: int = KEPT_ROWS,
) -> None:
    """Bring every projection forward; raises StoreError with what has stopped those that had to."""
    raise_stopped(bring_forward(database, projections, batch, kept_rows))


def raise_stopped(stopped: dict[str, StoreError]) -> None:
    """Raises StoreError with what has stopped these, if any has stopped."""
    if stopped:
        errors = list(stopped.values())
        raise StoreError("\n".join(map(str, errors))) from errors[0]


def _stay_stopped(database: Database, projection: Projection, stop: Stop) -> None:
    """Where the rows could not be folded anew, do not try the whole log again each time."""
    with session(database, [projection]) as (_, cursor):
        old = is_old(projection, read_tracked(cursor, [projection])[projection.name])
    if old and stop.schema_version == projection.schema_version:
        reason = f"{stop.reason}; once that is mended: truetape projections rebuild"
        raise ProjectionStoppedError(projection.name, reason, 0)


def position_of(database: Database, projection: Projection) -> int:
    """The position of the last record in the projection's rows, 0 where there is none."""
    with session(database, [projection]) as (_, cursor):
        return max(read_tracked(cursor, [projection])[projection.name].values(), default=0)


def rows_of(database: Database, row_type: type[R], run: int) -> list[R]:
    """Every row of a run, in the order of their keys."""
    table = table_of(row_type)
    try:
        with (
            database.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            cursor.execute(table.select_ordered, [run])
            return [row_type(*row) for row in cursor]
    except PersistenceError as error:
        raise StoreError(f"{table.name} cannot be read: {error}") from error
