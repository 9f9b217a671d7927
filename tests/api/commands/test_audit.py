"""`truetape audit` and its API: checkpoints, packs, the check; what each says and with which exit code."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infrastructure.event_store.database import Database
from infrastructure.event_store.leaf_order import leaves_of
from infrastructure.proof.checkpoints import open_checkpoints
from infrastructure.proof.evidence_verifier import verify
from infrastructure.proof.signed_note import VerifierKey
from infrastructure.settings import Settings
from tests.api.server import problem_of, serving
from tests.api.stage import Stage, run, run_apart
from tests.test_living_server import Server


@pytest.fixture
def logged(kept: Stage) -> Stage:
    """A kept run."""
    kept.backtest("--keep")
    return kept


def tamper(url: str, statement: str, *parameters: Any) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
        assert connection.execute(statement.encode(), parameters).rowcount == 1


def test_from_a_checkpoint_to_a_proof_that_needs_no_truetape(logged: Stage) -> None:
    made = run("audit", "checkpoint", "--json").json
    assert (made["is_new"], made["note"]) == (True, Path(made["path"]).read_text())
    key = run("audit", "key").out
    assert VerifierKey.parse(key).open(made["note"]).startswith(made["origin"] + "\n")

    pack, program, key_file = logged.folder / "pack.json", logged.folder / "check.py", logged.folder / "verifier.key"
    key_file.write_text(key)
    event = run("events", "list", "--json").json[20]
    ended = run("audit", "prove", event["position"], f"{event['stream']}@{event['version']}", "--out", pack)
    assert (ended.code, ended.err) == (0, "")
    assert run("audit", "verifier", "--out", program).code == 0
    command = [sys.executable, "-I", str(program), str(pack), "--key", str(key_file), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for proven in json.loads(done.stdout)["records"]:
        assert proven["event"] == event["position"]
        first = proven["record"]["version"]
        assert proven["record"]["events"][event["version"] - first][0] == event["event"]


def test_printed_it_is_the_same_pack(logged: Stage) -> None:
    made = run("audit", "checkpoint", "--json").json
    printed = run("audit", "prove", 1, "--older", made["path"], "--checkpoint", made["path"])
    assert (printed.code, printed.json["older"]) == (0, {"checkpoint": made["note"], "proof": []})
    assert run("audit", "prove", 1, "--older", made["path"], "--json").json == printed.json
    assert logged.out.exists()


def test_a_second_checkpoint_of_the_same_log_is_the_first(logged: Stage) -> None:
    ended = run("audit", "checkpoint")
    assert (ended.code, "signed and exported to " in ended.out) == (0, True)
    ended = run("audit", "checkpoint")
    assert (ended.code, "nothing new since " in ended.out) == (0, True)
    logged.backtest("--keep")
    assert run("audit", "checkpoint", "--json").json["is_new"] is True


def test_check_finds_the_log_sound(logged: Stage) -> None:
    made = run("audit", "checkpoint", "--json").json
    ended = run("audit", "check")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(
        f"sound: {made['position']:,} events in {made['size']:,} records; the first {made['size']:,}"
    )
    assert "newer" not in ended.out
    logged.backtest("--keep")
    ended = run("audit", "check")
    assert (ended.code, f"{made['size']:,} records are newer than it" in ended.out) == (0, True)
    found = run("audit", "check", "--json").json
    assert (found["covered"], found["records"], found["damage"]) == (made["size"], 2 * made["size"], None)


def test_check_names_what_was_changed(logged: Stage, superuser_url: str, tmp_path: Path) -> None:
    made = run("audit", "checkpoint", "--json").json
    changed = "state = set_byte(state, 9, get_byte(state, 9) # 1)"
    rewritten = (
        f"UPDATE records SET {changed}, leaf = sha256('\\x00'::bytea || set_byte(state, 9, get_byte(state, 9) # 1))"
    )
    position = run("events", "list", "--json").json[30]["position"]
    with psycopg.connect(superuser_url) as connection:
        ((first,),) = connection.execute(
            "SELECT max(position) FROM records WHERE position <= %s", [position]
        ).fetchall()
    tamper(superuser_url, f"{rewritten} WHERE position = %s", first)
    ended = run("audit", "check", "--json")
    assert (ended.code, ended.json["damage"]["position"]) == (1, first)
    ended = run("audit", "check")
    assert (ended.code, ended.err) == (1, "")
    assert f"at event {first}: " in ended.out
    copy = tmp_path / "copy"
    copy.write_text(made["note"])
    assert run("audit", "check", "--checkpoint", copy).code == 1
    for words in (("checkpoint",), ("prove", 1)):
        ended = run("audit", *words)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (1, "", 1), words
    assert logged.out.exists()


def test_what_cannot_be_done_exits_with_two(logged: Stage, tmp_path: Path) -> None:
    nothing = run("audit", "check")
    assert (nothing.code, nothing.out) == (2, "")
    assert "make one with `truetape audit checkpoint`" in nothing.err
    assert run("audit", "prove", 1).code == 2
    made = run("audit", "checkpoint", "--json").json
    for event, said in (("0", "no event at position 0"), ("x", "is no event"), ("99999999", "no event at position")):
        ended = run("audit", "prove", event)
        assert (ended.code, ended.out, said in ended.err) == (2, "", True), event
    forged = tmp_path / "forged"
    forged.write_text(made["note"].replace("position", "Position"))
    for content in (forged.read_bytes(), b"", b"\xff\xfe", made["note"].replace("\n\n", "\n").encode()):
        forged.write_bytes(content)
        ended = run("audit", "check", "--checkpoint", forged)
        assert (ended.code, ended.out, str(forged) in ended.err) == (2, "", True), content
    assert run("audit", "check", "--checkpoint", tmp_path / "none").code == 2
    assert logged.out.exists()


def test_an_empty_log_has_no_checkpoint(kept: Stage) -> None:
    ended = run("audit", "checkpoint")
    assert (ended.code, ended.out, "nothing on the log yet" in ended.err) == (2, "", True)
    assert not kept.out.exists()


def test_the_leaves_are_numbered_as_reports_number_them(logged: Stage, database: Database) -> None:
    logged.backtest("--keep")
    run("audit", "checkpoint")
    rows = [(index, kept.position) for number in (1, 2) for index, kept in leaves_of(database, number)]
    chosen = rows[:: len(rows) // 7]
    pack = run("audit", "prove", *(position for _, position in chosen)).json
    assert [(each["index"], each["position"]) for each in pack["records"]] == chosen


def test_a_server_that_is_stopped_leaves_a_checkpoint(
    test_server: Any, database_name: str, database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(home, test_server.url(database_name))
    server.start()
    assert server.kill(signal.SIGTERM) == 0
    (note,) = (home / "checkpoints").glob("*/checkpoints/*")
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", database.url)
    ended = run_apart("audit", "check", "--json")
    assert (ended.code, ended.json["damage"], ended.json["covered"]) == (0, None, int(note.name))
    assert ended.json["records"] == ended.json["covered"] > 0


# --- the API ---------------------------------------------------------------------------------------------------------


def test_over_http(database: Database, home: Path) -> None:
    with serving(database, home) as server:
        assert server.get("/audit/checkpoints").json() == {"items": [], "next": None}
        problem_of(server.get("/audit/checkpoints/latest"), 404)
        problem_of(server.get("/audit/proof/1"), 404)
        checkpoints = open_checkpoints(database, Settings(home=home))
        sizes = []
        for name in ("one", "two", "three"):
            position = server.open_account(name).json()["position"]
            sizes.append(checkpoints.make(whole=False).checkpoint.size)
        assert server.get("/audit/key").text == checkpoints.key.verifier.text + "\n"
        latest = server.get("/audit/checkpoints/latest")
        assert latest.headers["content-type"].startswith("text/plain")
        assert checkpoints.read(latest.text).checkpoint.size == sizes[-1]

        page = server.get("/audit/checkpoints?limit=2").json()
        assert [each["size"] for each in page["items"]] == [sizes[2], sizes[1]]
        rest = server.get(f"/audit/checkpoints?limit=2&below={page['next']}").json()
        assert ([each["size"] for each in rest["items"]], rest["next"]) == ([sizes[0]], None)
        assert page["items"][0]["note"] == latest.text

        pack = server.get(f"/audit/proof/{position}?older={sizes[0]}").json()
        found = verify(pack, checkpoints.key.verifier.text)
        assert [each["event"] for each in found["records"]] == [position]
        assert found["continues"]["size"] == sizes[0]
        problem_of(server.get(f"/audit/proof/{position}?older={sizes[0] + 1}"), 404)
        problem_of(server.get("/audit/proof/1000000"), 404)
        problem_of(server.get("/audit/proof/0"), 422)


def test_nobody_asks_without_a_token(database: Database, home: Path) -> None:
    with serving(database, home) as server:
        server.headers = {}
        for path in ("checkpoints", "checkpoints/latest", "key", "proof/1"):
            problem_of(server.get(f"/audit/{path}"), 401)
