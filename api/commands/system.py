"""`truetape migrate` and `truetape doctor`: the installation itself."""

from collections.abc import Callable
from typing import Any

from api.commands.options import JSON
from api.terminal import EXIT_CLEAN, EXIT_FOUND, console, exits, print_json, printable
from domain.errors import InputError, MissingError, StoreError, TruetapeError

FREE_MIN = 1 << 30
"""Bytes that should be free where the data lives."""


@exits
def migrate(as_json: JSON = False) -> None:
    """Bring the database's schema up to this version; as the tables' owner, before anything else."""
    from infrastructure.database import migrate_database
    from infrastructure.settings import load_settings

    applied = migrate_database(load_settings())
    if as_json:
        print_json({"applied": applied})
    else:
        console.print(f"applied {', '.join(applied)}" if applied else "the schema is up to date")


@exits
def doctor(as_json: JSON = False) -> int:
    """Look the installation over: settings, data folder, database, log. Exit 1 if anything is wrong."""
    findings: list[dict[str, Any]] = []

    def look(name: str, check: Callable[[], str]) -> None:
        try:
            findings.append({"check": name, "ok": True, "found": check()})
        except (TruetapeError, OSError) as error:
            findings.append({"check": name, "ok": False, "found": str(error)})

    look("settings", _settings)
    look("data folder", _folder)
    look("database", _database)
    look("market tapes", _tapes)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            mark = "ok  " if finding["ok"] else "BAD "
            console.print(f"{mark} {finding['check']}: {printable(finding['found'])}", soft_wrap=True)
    return EXIT_CLEAN if all(finding["ok"] for finding in findings) else EXIT_FOUND


def _settings() -> str:
    from infrastructure.settings import load_settings

    settings = load_settings()
    database = "TRUETAPE_DATABASE_URL" if settings.database_url else "embedded"
    return f"home {settings.home}, database {database}"


def _folder() -> str:
    import os
    import shutil

    from infrastructure.settings import load_settings

    home = load_settings().home
    home.mkdir(parents=True, exist_ok=True)
    if not os.access(home, os.W_OK):
        raise TruetapeError(f"{home} cannot be written; set TRUETAPE_HOME to a folder that can")
    free = shutil.disk_usage(home).free
    if free < FREE_MIN:
        raise TruetapeError(f"{home} has {free >> 20} MiB free; the log needs room: at least 1 GiB")
    return f"{home} is writable, {free >> 30} GiB free"


def _tapes() -> str:
    """Every tape is what its digest names."""
    from infrastructure.market_data.shelf import Damaged, list_tapes
    from infrastructure.market_data.trade_tape import TradeTape
    from infrastructure.settings import load_settings

    found = list_tapes(load_settings().home)
    for tape in found:
        if isinstance(tape, Damaged):
            raise InputError(f"{tape.name} is damaged: {tape.reason}")
        if tape.header.kind == "trades":
            TradeTape.load(tape.path)
        else:
            tape.load()
    return f"{len(found)} tapes, none damaged"


def _database() -> str:
    """Opening checks the schema, the server's safety settings and the role; then, that each run's tape is there."""
    from eventsourcing.persistence import PersistenceError

    from infrastructure.database import open_database
    from infrastructure.event_store.runs import list_runs
    from infrastructure.event_store.server_advice import advice
    from infrastructure.market_data.shelf import Stored, list_tapes
    from infrastructure.projection_lag import watch
    from infrastructure.projection_stops import find_stops
    from infrastructure.settings import load_settings
    from replay.kept import tapes_of

    settings = load_settings()
    with open_database(settings) as database:
        runs = list_runs(database)
        try:
            last = database.recorder.max_notification_id()
        except PersistenceError as error:
            raise StoreError(f"the log cannot be read: {error}") from error
        stops, lags, advised = find_stops(database), watch(database).lags, advice(database)
    if stops:
        said = "; ".join(f"{stop.projection} at position {stop.position}: {stop.reason}" for stop in stops)
        raise StoreError(f"trading goes on, but read models have stopped: {said}")
    digests = {tape.header.digest for tape in list_tapes(settings.home) if isinstance(tape, Stored)}
    lost = [str(run.run) for run in runs if not digests.issuperset(tapes_of(run).values())]
    if lost:
        raise MissingError(
            f"the tapes of {len(lost)} kept runs are gone, so verify cannot rerun: {', '.join(lost[:10])}"
        )
    interrupted = sum(run.end is None for run in runs)
    behind = max(lag.events for lag in lags)
    models = f"read models {behind:,} events behind" if behind else "read models up to date"
    found = (
        f"safe settings, append-only role, {len(runs)} runs kept ({interrupted} interrupted), log to position {last or 0}, "
        f"{models}"
    )
    return "; advised: ".join([found, *advised])
