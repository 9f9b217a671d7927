"""The eventsourcing library's own projection runner, as its documentation has it: one row for each event, in Postgres."""

from collections.abc import Mapping

from eventsourcing.application import Application
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from benchmarks import library_application

SAVED_AT_ONCE = 100


class FillsView(PostgresTrackingRecorder):
    """A table of fills, each written with the position that it takes the view to."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: str) -> None:
        super().__init__(datastore, **kwargs)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (version bigint PRIMARY KEY, price bigint, quantity bigint, cash bigint)"
            ).format(Identifier("library_fills"))
        )

    def add(self, event: object, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            fields = [getattr(event, name, 0) for name in ("originator_version", "price", "quantity", "cash")]
            cursor.execute(
                "INSERT INTO library_fills VALUES (%s, %s, %s, %s)",
                fields,
                prepare=True,
            )
            self._insert_tracking(cursor, tracking)

    def forget(self) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("TRUNCATE library_fills")
            cursor.execute(
                SQL("DELETE FROM {} WHERE application_name <> '__migration__'").format(
                    Identifier(self.tracking_table_name)
                )
            )


class FillsProjection(Projection[FillsView]):
    """Every event is a row."""

    name = "libraryfills"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        self.view.add(domain_event, tracking)


class Prepared:
    """An application with events, to be projected from the first one on as often as asked."""

    def __init__(self, environment: Mapping[str, str], events: int) -> None:
        self._environment = {**environment, "TRACKING_TABLE_NAME": "library_tracking"}
        application = library_application.application(environment)
        library_application.save(application, events, SAVED_AT_ONCE)
        self._last = application.recorder.max_notification_id()
        application.close()

    def run(self) -> None:
        """Project all of it: begin, wait for the last event, and forget."""
        runner = ProjectionRunner(
            application_class=Application, projection_class=FillsProjection, view_class=FillsView, env=self._environment
        )
        with runner:
            runner.wait(self._last, timeout=600)
            runner.view.forget()


def prepare(environment: Mapping[str, str], events: int) -> Prepared:
    return Prepared(environment, events)
