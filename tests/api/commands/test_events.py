"""`truetape events`: the log, listed, shown, exported."""

import json
import subprocess

import psycopg
import pytest
from msgspec.structs import replace

from infrastructure.event_store import codec
from tests.api.stage import Stage, command, environment, run


@pytest.fixture
def logged(kept: Stage) -> Stage:
    """Two kept runs: the stage's, and one of another balance."""
    kept.backtest("--keep", balance="USDT=700")
    kept.backtest("--keep")
    return kept


def test_list_is_what_the_run_wrote(logged: Stage) -> None:
    listed = run("events", "list", "--limit", 100_000, "--json").json
    assert {line["run"] for line in listed} == {2}, "the newest run without --run"
    assert listed[0]["event"] == "engine.started.v1"
    written = logged.events()
    assert [
        {name: value for name, value in line.items() if name not in {"position", "run"}} for line in listed[1:]
    ] == (written)
    positions = [line["position"] for line in listed]
    assert positions == list(range(positions[0], positions[0] + len(listed)))


def test_list_by_run_tag_position_and_count(logged: Stage) -> None:
    first = run("events", "list", "--run", 1, "--limit", 100_000, "--json").json
    assert {line["run"] for line in first} == {1}
    assert len(run("events", "list", "--json").json) == 50
    fills = run("events", "list", "--run", 1, "--tag", "account.order_filled", "--limit", 3, "--json").json
    assert fills == [line for line in first if line["event"].startswith("account.order_filled")][:3]
    after = fills[0]["position"]
    assert run("events", "list", "--run", 1, "--after", after, "--limit", 7, "--json").json == first[after : after + 7]
    assert run("events", "list", "--tag", "no.such", "--json").json == []
    assert "no events" in run("events", "list", "--tag", "no.such").out
    assert logged.out.exists()


def test_list_for_people(logged: Stage) -> None:
    ended = run("events", "list", "--run", 1, "--limit", 4)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert len(lines) == 4
    for line, name in zip(
        lines, ("engine.started", "account.opened", "instrument_listed", "cash_deposited"), strict=True
    ):
        assert name in line
        assert len(line) <= 80
    assert logged.out.exists()


def test_show_finds_every_event_of_a_record(logged: Stage) -> None:
    listed = run("events", "list", "--run", 2, "--limit", 60, "--json").json
    for line in listed[::7]:
        ended = run("events", "show", line["position"], "--json")
        assert (ended.code, ended.json) == (0, line)
        assert json.loads(run("events", "show", line["position"]).out) == line
    assert logged.out.exists()


def test_export(logged: Stage) -> None:
    path = logged.folder / "[b]log[/i].jsonl"
    ended = run("events", "export", path, "--json")
    exported = [json.loads(line) for line in path.read_text().splitlines()]
    assert (ended.code, ended.json) == (0, {"path": str(path), "events": len(exported)})
    assert exported == run("events", "list", "--limit", 100_000, "--json").json
    ended = run("events", "export", path, "--run", 1, "--tag", "signal.")
    assert (ended.code, str(path) in ended.out) == (0, True)
    assert {json.loads(line)["event"].split(".")[0] for line in path.read_text().splitlines()} == {"signal"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("list", "--run", "3"), "run 3 is not kept"),
        (("list", "--run", "99999999999999999999"), "is not kept"),
        (("export", "PATH", "--run", "3"), "run 3 is not kept"),
        (("export", "/proc/nothing/x"), "/proc/nothing/x"),
        (("export", "/proc"), "/proc"),
        (("show", "0"), "no event at position 0"),
        (("show", "1000000"), "no event at position 1000000"),
        (("show", "99999999999999999999"), "no event at position"),
        (("list", "--limit", "0"), "--limit"),
        (("list", "--after", "-1"), "--after"),
        (("show", "x"), "position"),
    ],
)
def test_what_is_not_there(arguments: tuple[str, ...], said: str, logged: Stage) -> None:
    path = logged.folder / "x.jsonl"
    ended = run("events", *(str(path) if each == "PATH" else each for each in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert len(ended.err.splitlines()) <= 3
    assert not path.exists()


def test_nothing_kept(kept: Stage) -> None:
    for arguments in (("list",), ("export", str(kept.folder / "x")), ("show", "1")):
        ended = run("events", *arguments)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
    assert not (kept.folder / "x").exists()


def test_a_hostile_alert_cannot_drive_the_terminal(kept: Stage) -> None:
    body = "[red]x[/blue] \x1b[31m \x07\nsecond line"
    kept.signals.write_text(json.dumps({"at": "2022-01-01T00:05:00Z", "body": body}) + "\n")
    kept.backtest("--keep")
    ended = run("events", "list", "--tag", "signal.alert_received")
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 1
    assert not {"\x1b", "\x07"} & set(ended.out)
    assert run("events", "list", "--tag", "signal.alert_received", "--json").json[0]["data"]["body"] == body


def test_a_damaged_record_is_named(logged: Stage, superuser_url: str) -> None:
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        connection.execute("UPDATE records SET state = 'x' WHERE position = 3")
    for arguments in (("list", "--run", "1"), ("export", str(logged.folder / "x"), "--run", "1"), ("show", "3")):
        ended = run("events", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert "position 3 of run 1" in ended.err
    assert not (logged.folder / "x").exists()


def test_absurd_amounts_are_shown_as_they_lie(kept: Stage, superuser_url: str) -> None:
    """Whoever looks into a forged log gets to see it."""
    kept.backtest("--keep")
    with psycopg.connect(superuser_url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        for position, state in connection.execute("SELECT position, state FROM records ORDER BY position").fetchall():
            forged = codec.encode(replace(codec.decode(state), at=2**62))
            connection.execute("UPDATE records SET state = %s WHERE position = %s", [forged, position])
    listed = run("events", "list", "--json")
    assert (listed.code, listed.json[0]["at"]) == (0, str(2**62))


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["table", "json"])
def test_a_reader_who_leaves(more: tuple[str, ...], logged: Stage) -> None:
    """`| head -1` is no failure of ours."""
    assert logged.out.exists()
    line = command("events", "list", "--limit", "100000", *more)
    with subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()
        said = reader.stderr.read()
        assert (reader.wait(60), said) == (0, b"")
