"""The embedded PostgreSQL: shared, stopped by the last, started again after anything; the database is checked."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
import pytest

from domain.errors import InputError, StoreError
from infrastructure import embedded_postgres
from infrastructure.database import migrate_database, open_database
from infrastructure.embedded_postgres import SUPERUSER, WRITER, EmbeddedPostgres
from infrastructure.event_store.database import connect
from infrastructure.event_store.reading import select
from infrastructure.event_store.server_advice import advice
from infrastructure.settings import load_settings
from tests.conftest import TestServer
from tests.infrastructure.event_store.rows import begin

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from infrastructure.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1])).start()
print("open", flush=True)
sys.stdin.read()
"""

SLEEPER = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    print(connection.info.backend_pid, flush=True)
    try:
        connection.execute("SELECT count(*) FROM generate_series(1, 30000000)")
    except psycopg.OperationalError:
        pass
"""


def hold(home: Path) -> subprocess.Popen[str]:
    """Another process that has the server open until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )


def wait_until_open(holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"


def let_go(holder: subprocess.Popen[str]) -> None:
    holder.communicate("", timeout=30)
    assert holder.returncode == 0


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def alter(url: str, setting: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_sleep(0.3)")


def socket_folder_of(server: EmbeddedPostgres) -> Path:
    return Path(str(psycopg.conninfo.conninfo_to_dict(server.url)["host"]))


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.folder / "postmaster.pid").read_text().splitlines()[0])


def test_the_last_one_stops_it(home: Path) -> None:
    holders = [hold(home), hold(home)]
    for holder in holders:
        wait_until_open(holder)
    with EmbeddedPostgres(home) as server, EmbeddedPostgres(home) as again:
        assert server.url == again.url
        let_go(holders[0])
        assert answers(server.url)
    assert answers(server.url)
    let_go(holders[1])
    assert not answers(server.url)


def test_a_killed_process_does_not_keep_it_up(home: Path) -> None:
    holder = hold(home)
    wait_until_open(holder)
    holder.kill()
    holder.communicate()
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)
    assert not answers(server.url)


def test_a_killed_server_starts_again_with_its_data(home: Path) -> None:
    with open_database(load_settings()) as database:
        run = begin(database).run
        os.kill(postmaster(EmbeddedPostgres(home)), signal.SIGKILL)
    with open_database(load_settings()) as database:
        assert begin(database).run > run


def test_a_server_that_dies_under_its_holders_is_revived(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        server.revive()
        first = postmaster(server)
        os.kill(first, signal.SIGKILL)
        while answers(server.url):
            pass  # until the kernel has ended it
        EmbeddedPostgres(home).revive()
        assert answers(server.url)
        assert postmaster(server) != first
    assert not answers(server.url)


def test_what_a_killed_server_leaves_behind_is_waited_for(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        url = server.url_of(SUPERUSER, "postgres")
        with subprocess.Popen([sys.executable, "-c", SLEEPER, url], stdout=subprocess.PIPE, text=True) as sleeper:
            assert sleeper.stdout is not None
            backend = int(sleeper.stdout.readline())
            os.kill(postmaster(server), signal.SIGKILL)
            # A backend in the middle of a statement outlives its server; nobody may start another one beside it.
            with EmbeddedPostgres(home) as again:
                assert not psutil.pid_exists(backend) or psutil.Process(backend).status() == psutil.STATUS_ZOMBIE
                assert answers(again.url)
            sleeper.kill()


def test_a_home_by_another_name_is_the_same(home: Path) -> None:
    (home / "link").symlink_to(home / "data")
    with EmbeddedPostgres(home / "data") as server, EmbeddedPostgres(home / "link") as other:
        assert other.url == server.url


def test_lock_files_that_name_somebody_else_are_not_believed(home: Path) -> None:
    names = ["postmaster.pid", ".s.PGSQL.5432.lock"]
    with EmbeddedPostgres(home) as server:
        texts = [(server.folder / name).read_text() for name in names]
    # As after a restart of a container: the id is a running process's of the same user, but not the server's. (Not
    # this very process: PostgreSQL itself sees through its own ancestors.)
    user = server.folder.stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=user) as stranger:
        for name, text in zip(names, texts, strict=True):
            (server.folder / name).write_text("\n".join([str(stranger.pid), *text.split("\n")[1:]]))
        with server:
            assert answers(server.url)
        assert stranger.poll() is None
        stranger.kill()


def test_a_start_that_was_killed_leaves_nothing_in_the_way(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)


@pytest.mark.parametrize("name", ["two words", "it's, well", "long" * 30])
def test_any_folder_will_do(home: Path, name: str) -> None:
    with EmbeddedPostgres(home / name) as server:
        assert answers(server.url)
        socket_folder = socket_folder_of(server)
        assert socket_folder.stat().st_mode & 0o077 == 0
    if socket_folder != server.folder:
        socket_folder.rmdir()


def test_a_socket_folder_of_somebody_elses_is_refused(home: Path) -> None:
    server = EmbeddedPostgres(home / ("long" * 30))
    folder = socket_folder_of(server)
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    try:
        with pytest.raises(StoreError, match="is not ours alone"):
            server.start()
    finally:
        folder.rmdir()


def test_nothing_of_the_callers_environment_gets_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGUSER", "nobody")
    with EmbeddedPostgres(home) as server:
        assert answers(server.url)


@pytest.mark.parametrize("name", ['"', "$(true)", "`", "\\"])
def test_a_home_that_a_shell_would_read_is_refused(home: Path, name: str) -> None:
    with pytest.raises(StoreError, match="set TRUETAPE_HOME to a folder without"):
        EmbeddedPostgres(home / name).start()
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("place", ["/dev/null/home", "/proc/home"])
def test_a_home_that_cannot_be_written(place: str) -> None:
    with pytest.raises(StoreError, match="set TRUETAPE_HOME"):
        EmbeddedPostgres(Path(place)).start()


def test_a_folder_that_is_no_cluster_is_left_alone(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no PostgreSQL folder"):
        EmbeddedPostgres(home).start()
    assert (home / "postgres" / "thesis.txt").read_text() == "mine"


def test_another_version_is_named(home: Path) -> None:
    (home / "postgres").mkdir()
    (home / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StoreError, match="made by PostgreSQL 16; this Truetape brings 18"):
        EmbeddedPostgres(home).start()


def test_a_server_that_does_not_start_says_why(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        pass
    with (server.folder / "postgresql.conf").open("a") as settings:
        settings.write("shared_buffers = 'plenty'\n")
    with pytest.raises(StoreError, match=r"does not start: .*FATAL: .*; its log is .*server\.log"):
        server.start()
    assert not (server.folder / "postmaster.pid").exists()


def test_its_settings_hold_for_a_folder_that_is_there_already(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(embedded_postgres, "SETTINGS", {})
        with open_database(load_settings()) as database:
            assert "min_wal_size = '512MB'" in advice(database)[0]
            alter(EmbeddedPostgres(home).url_of(SUPERUSER, "postgres"), "SET min_wal_size = '512MB'")
            assert advice(database) == []
            alter(EmbeddedPostgres(home).url_of(SUPERUSER, "postgres"), "RESET min_wal_size")
            assert advice(database) != []
    with open_database(load_settings()) as database:
        assert advice(database) == []
        names = [*embedded_postgres.SETTINGS, "fsync", "full_page_writes", "synchronous_commit"]
        found = [select(database, f"SHOW {name}")[0][0] for name in names]
    assert found == ["off", "512MB", "on", "on", "on"]


@pytest.mark.parametrize("setting", ["fsync = off", "full_page_writes = off", "synchronous_commit = off"])
def test_an_unsafe_server_is_refused_with_the_mend(home: Path, setting: str) -> None:
    name = setting.split(maxsplit=1)[0]
    with open_database(load_settings()):
        pass
    with EmbeddedPostgres(home) as server:
        alter(server.url_of(SUPERUSER, "postgres"), f"SET {setting}")
        with pytest.raises(StoreError, match=rf"{name} is off .* run `ALTER SYSTEM SET {name} = on`"):
            open_database(load_settings())
        alter(server.url_of(SUPERUSER, "postgres"), f"SET {name} = on")
        open_database(load_settings()).close()
    # Refused or not, nobody holds the server any more.
    assert not answers(server.url)


@pytest.mark.parametrize(("mode", "safe"), [("remote_write", True), ("remote_apply", True), ("local", False)])
def test_modes_of_commit(
    test_server: TestServer, database_name: str, superuser_url: str, mode: str, safe: bool
) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database_name} SET synchronous_commit = {mode}".encode())
    if safe:
        connect(test_server.url(database_name)).close()
    else:
        with pytest.raises(StoreError, match="synchronous_commit is local"):
            connect(test_server.url(database_name))


@pytest.mark.parametrize("of", ["DATABASE {0}", "ROLE {1} IN DATABASE {0}"])
def test_the_mend_mends_a_setting_wherever_it_comes_from(
    test_server: TestServer, database_name: str, superuser_url: str, of: str
) -> None:
    """The server's own setting would not help: that of a database or a role is stronger."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(f"ALTER {of.format(database_name, WRITER)} SET synchronous_commit = off".encode())
        with pytest.raises(StoreError, match="synchronous_commit is off") as refused:
            connect(test_server.url(database_name))
        (mend,) = re.findall("`(.*?)`", str(refused.value))
        connection.execute(mend.encode())
    connect(test_server.url(database_name)).close()


def test_a_setting_of_the_urls_own_is_refused(test_server: TestServer, database_name: str) -> None:
    unsafe = test_server.url(database_name) + "&options=-c%20synchronous_commit%3Doff"
    with pytest.raises(StoreError, match="take it out of the options of TRUETAPE_DATABASE_URL"):
        connect(unsafe)


@pytest.mark.parametrize("value", ["y", "1", "true", "maybe"])
def test_database_functions_are_refused(
    test_server: TestServer, database_name: str, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", value)
    with pytest.raises(StoreError, match="unset POSTGRES_ENABLE_DB_FUNCTIONS"):
        connect(test_server.url(database_name))


def test_database_functions_off_are_fine(
    test_server: TestServer, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "n")
    connect(test_server.url(database_name)).close()


def test_ones_own_server_is_migrated_by_command_only(
    test_server: TestServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = test_server.create("template0")
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(name, SUPERUSER))
    with pytest.raises(StoreError, match="run `truetape migrate`"):
        open_database(load_settings())
    assert migrate_database(load_settings())[0] == "0001-event-store.sql"
    with open_database(load_settings()) as database:
        begin(database).end()
    assert not (home / "postgres").exists()
    test_server.drop(name)


def test_a_database_that_cannot_be_reached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", f"postgresql://x:sesame@/y?host={home}")
    with pytest.raises(StoreError, match="see TRUETAPE_DATABASE_URL") as caught:
        open_database(load_settings())
    assert "sesame" not in str(caught.value)


def test_a_url_that_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", "my database")
    with pytest.raises(InputError, match=r"database_url.* must begin with postgresql://"):
        load_settings()
