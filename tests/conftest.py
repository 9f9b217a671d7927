"""What every test can ask for: a real Postgres, a database and a data folder of its own, the shared data."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from domain.strategy import registry
from infrastructure.embedded_postgres import OWNER, SUPERUSER, WRITER, EmbeddedPostgres
from infrastructure.event_store import migrations
from infrastructure.event_store.database import Database, connect

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
TEMPLATE = "template_of_tests"
_NUMBERS = itertools.count(1)

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def shared_data(path: str) -> Path:
    """A file or folder of the data set beside the repository; the test is skipped where that is missing."""
    found = SHARED_DATA / path
    if not found.exists():
        pytest.skip(f"needs {found}, which is not here")
    return found


class TestServer:
    """The tests' own PostgreSQL, which hands out migrated databases."""

    __test__ = False

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.server = server
        self._administer(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        migrations.migrate(server.url_of(OWNER, TEMPLATE))

    def url(self, name: str, role: str = WRITER) -> str:
        return self.server.url_of(role, name)

    def create(self, template: str = TEMPLATE) -> str:
        name = f"test_{next(_NUMBERS)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {OWNER}")
        return name

    def drop(self, name: str) -> None:
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres", SUPERUSER), autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def test_server() -> Iterator[TestServer]:
    # Not under pytest's own temporary folder: the server, which never runs as root, could not enter that.
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, EmbeddedPostgres(Path(folder)) as server:
        yield TestServer(server)


@pytest.fixture
def database_name(test_server: TestServer) -> Iterator[str]:
    """A migrated database of this test's own."""
    name = test_server.create()
    yield name
    test_server.drop(name)


@pytest.fixture
def database(test_server: TestServer, database_name: str) -> Iterator[Database]:
    """The test's own database, open as the application opens it: as the writer role."""
    with connect(test_server.url(database_name)) as opened:
        yield opened


@pytest.fixture
def make_database(test_server: TestServer) -> Callable[[], AbstractContextManager[Database]]:
    """Further databases, for a test that needs several: a context manager each."""

    @contextmanager
    def made() -> Iterator[Database]:
        name = test_server.create()
        try:
            with connect(test_server.url(name)) as opened:
                yield opened
        finally:
            test_server.drop(name)

    return made


@pytest.fixture
def owner_url(test_server: TestServer, database_name: str) -> str:
    """The test's own database, as the owner of its tables."""
    return test_server.url(database_name, OWNER)


@pytest.fixture
def superuser_url(test_server: TestServer, database_name: str) -> str:
    """The test's own database, as the server's superuser."""
    return test_server.url(database_name, SUPERUSER)


@pytest.fixture
def shipped_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No strategies but those that ship, until the test registers some; what it registers is gone after it."""
    for cached in (registry.parameters_of, registry.memory_of):
        cached.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(registry, "_registered", {})
        yield
    for cached in (registry.parameters_of, registry.memory_of):
        cached.cache_clear()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder, set as TRUETAPE_HOME; no other TRUETAPE_ variable is set."""
    for name in [name for name in os.environ if name.startswith("TRUETAPE_")]:
        monkeypatch.delenv(name)
    # Short, so that a socket fits, and outside pytest's folder for the reason above.
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder:
        monkeypatch.setenv("TRUETAPE_HOME", folder)
        yield Path(folder)
