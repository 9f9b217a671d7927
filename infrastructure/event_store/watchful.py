"""A connection that tells a server which is slow from one that has stopped, which on one machine no network ever says.

A stopped process (a paused container, a frozen disk) keeps its sockets open, and its kernel answers for it.
"""

from time import monotonic
from typing import ClassVar

import psycopg
from psycopg.abc import RV, PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow


class WatchfulConnection(psycopg.Connection[DictRow]):
    """Where no word comes for so long, it knocks at the server's door; where nobody opens, it gives itself up."""

    silence_seconds: ClassVar[float] = 20.0
    knock_seconds: ClassVar[int] = 5
    gave_up = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(self._watched(gen), interval, timeout)

    def knock(self) -> None:
        """Raises OperationalError where the server takes no new connection; one that refuses it lives."""
        door = make_conninfo(self.info.dsn, password=self.info.password or None, connect_timeout=self.knock_seconds)
        try:
            psycopg.connect(door).close()
        except psycopg.errors.ConnectionTimeout as error:
            self.gave_up = True
            self.pgconn.finish()
            raise psycopg.OperationalError("Postgres has stopped: it neither answers nor lets anybody in") from error
        except psycopg.OperationalError:
            return

    def _watched(self, gen: PQGen[RV]) -> PQGen[RV]:
        """As the generator, which is given nothing at every interval in which nothing has come."""
        patient_until = monotonic() + self.silence_seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    patient_until = monotonic() + self.silence_seconds
                elif monotonic() >= patient_until:
                    self.knock()
                    patient_until = monotonic() + self.silence_seconds
                wanted = gen.send(ready)
        except StopIteration as done:
            answer: RV = done.value
            return answer
