"""Verify: the same log is found to be the same, and what a superuser altered is found and named."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from domain.account.events import InstrumentListed, OrderDenied, OrderFilled, OrderIntended, RiskPassed
from domain.bot.events import BotCreated
from domain.engine_events import EngineStarted
from domain.errors import MissingError
from domain.message import Event, Record
from domain.position_group.events import GroupOpened
from domain.signal.events import AlertReceived, SignalAccepted
from infrastructure.embedded_postgres import SUPERUSER
from infrastructure.event_store import codec
from infrastructure.event_store.database import connect
from infrastructure.event_store.runs import find_run
from replay import verify as module
from replay.game import play
from replay.verify import Verdict, verify
from tests.api.stage import Stage, run
from tests.conftest import TestServer

ENVELOPE = (
    "run, stream, version, events, at, observed_at, venue_at, clock_offset, actor, cause_stream, cause_version, key"
)


class Kept:
    """A database with one kept run (or two), and the data folder that its tape is in."""

    def __init__(self, home: Path, url: str, superuser_url: str) -> None:
        self.home = home
        self.url = url
        self._superuser_url = superuser_url

    def verdict(self, number: int = 1) -> Verdict:
        with connect(self.url) as database:
            return verify(database, self.home, find_run(database, number))

    def tamper(self, statement: str, *parameters: Any) -> int:
        """Run a statement as the superuser, who can take the triggers off; returns how many rows it touched."""
        with psycopg.connect(self._superuser_url) as connection:
            guarded = connection.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'")
            for (table,) in guarded.fetchall():
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only".encode())
            return connection.execute(statement.encode(), parameters).rowcount

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._superuser_url) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def find(self, kind: type[Event], skip: int = 0) -> tuple[int, int, Record[Event]]:
        """(position, index) of an event of a kind, and its record."""
        for position, state in self.rows("SELECT position, state FROM records ORDER BY position"):
            record = codec.decode(state)
            for index, event in enumerate(record.events):
                if type(event) is kind:
                    if not skip:
                        return position, index, record
                    skip -= 1
        pytest.fail(f"no {kind.__name__} on the log")

    def rewrite(self, kind: type[Event], change: Callable[[Any], Event], skip: int = 0) -> int:
        """Alter an event of a kind, with a leaf that agrees; returns the event's position."""
        position, index, record = self.find(kind, skip)
        events = (*record.events[:index], change(record.events[index]), *record.events[index + 1 :])
        state = codec.encode(replace(record, events=events))
        assert state != codec.encode(record)
        self.put(position, state)
        return position + index

    def put(self, position: int, state: bytes) -> None:
        changed = self.tamper(
            "UPDATE records SET state = %s, leaf = %s WHERE position = %s", state, codec.leaf_of(state), position
        )
        assert changed == 1


@pytest.fixture(scope="module")
def original(test_server: TestServer) -> Iterator[tuple[str, Path]]:
    """The name of a database with a kept run, and the data folder."""
    name = test_server.create()
    # Not the `home` fixture: that is one test's.
    with tempfile.TemporaryDirectory(prefix="truetape-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUETAPE_HOME", str(Path(folder) / "home"))
        patch.setenv("TRUETAPE_DATABASE_URL", test_server.url(name))
        stage = Stage(Path(folder))
        # Too little for both legs at once, so that something is denied.
        stage.backtest("--keep", balance="USDT=700")
        yield name, Path(folder) / "home"
    test_server.drop(name)


@pytest.fixture
def kept(original: tuple[str, Path], test_server: TestServer, tmp_path: Path) -> Iterator[Kept]:
    """A copy of both, to be spoilt."""
    template, home = original
    name = test_server.create(template)
    shutil.copytree(home, tmp_path / "home")
    yield Kept(tmp_path / "home", test_server.url(name), test_server.url(name, SUPERUSER))
    test_server.drop(name)


def diverged(verdict: Verdict, kind: str, position: int | None) -> module.Divergence:
    assert verdict.status == "diverged"
    found = verdict.divergence
    assert found is not None
    assert (found.kind, found.position) == (kind, position), found
    return found


def test_a_kept_run_is_the_same(kept: Kept) -> None:
    verdict = kept.verdict()
    ((records, digest),) = kept.rows("SELECT records, encode(log_sha256, 'hex') FROM run_ends")
    assert (verdict.status, verdict.divergence) == ("same", None)
    assert (verdict.records, verdict.log_sha256) == (records, digest)
    assert records > 100
    for kind in (OrderFilled, OrderDenied, RiskPassed, SignalAccepted, GroupOpened):
        kept.find(kind)


# --- one payload altered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["state", "leaf"])
def test_bytes_that_are_not_what_was_hashed(column: str, kept: Kept) -> None:
    position, _, record = kept.find(OrderFilled)
    last = f"octet_length({column}) - 1"
    flipped = f"set_byte({column}, {last}, get_byte({column}, {last}) # 1)"
    assert kept.tamper(f"UPDATE records SET {column} = {flipped} WHERE position = %s", position) == 1
    found = diverged(kept.verdict(), "tampered", position)
    assert str(position) in found.message
    assert "hashed" in found.message
    if column == "leaf":
        assert found.recorded is not None
        assert found.recorded["stream"] in {"account/main", str(record.stream)}


def test_bytes_that_are_no_record(kept: Kept) -> None:
    position, _, _ = kept.find(OrderFilled)
    kept.put(position, b"\xc1 no MessagePack")
    assert "cannot be decoded" in diverged(kept.verdict(), "tampered", position).message


def test_a_fill_price_altered_with_its_hash(kept: Kept) -> None:
    position = kept.rewrite(OrderFilled, lambda fill: replace(fill, price=fill.price - 1), skip=3)
    found = diverged(kept.verdict(), "fill", position)
    assert found.recorded is not None
    assert found.rerun is not None
    assert (found.recorded["event"], found.rerun["event"]) == ("account.order_filled.v1",) * 2
    prices = [Decimal(side["data"]["price"]) for side in (found.recorded, found.rerun)]
    assert prices[1] - prices[0] == Decimal("0.01")
    # Beside the price both sides say the same.
    found.recorded["data"].pop("price")
    found.rerun["data"].pop("price")
    assert found.recorded == found.rerun
    assert f"position {position}" in found.message


CLASSES: list[tuple[str, type[Event], Callable[[Any], Event]]] = [
    ("pricing", OrderIntended, lambda intent: replace(intent, quantity=intent.quantity + 1)),
    ("risk", OrderDenied, lambda denied: replace(denied, code="PRICE_OFF_TICK")),
    ("risk", RiskPassed, lambda passed: replace(passed, order=passed.order + 1)),
    ("pricing", GroupOpened, lambda opened: replace(opened, group=opened.group + 1)),
    ("signal", SignalAccepted, lambda accepted: replace(accepted, alert_id="other")),
]


@pytest.mark.parametrize(("kind", "event", "change"), CLASSES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_decision_altered_with_its_hash(
    kind: str, event: type[Event], change: Callable[[Any], Event], kept: Kept
) -> None:
    position = kept.rewrite(event, change)
    found = diverged(kept.verdict(), kind, position)
    assert found.recorded is not None
    assert found.rerun is not None
    assert found.recorded["data"] != found.rerun["data"]


# --- a fact altered --------------------------------------------------------------------------------------------------


def test_an_alert_made_an_exit(kept: Kept) -> None:
    """The rerun believes the fact, so the decisions after it are found."""
    received, _, record = kept.find(SignalAccepted)
    position = kept.rewrite(AlertReceived, lambda alert: replace(alert, body=alert.body.replace("buy", "exit")))
    assert received <= position < received + len(record.events)
    found = diverged(kept.verdict(), "signal", position + 1)
    assert found.recorded is not None
    assert found.rerun is not None
    assert (found.recorded["data"]["action"], found.rerun["data"]["action"]) == ("buy", "exit")


def test_an_alert_altered_where_nothing_reads_it(kept: Kept) -> None:
    kept.rewrite(AlertReceived, lambda alert: replace(alert, body=alert.body + " "))
    found = diverged(kept.verdict(), "tampered", None)
    assert "digest" in found.message


FACTS: list[tuple[type[Event], Callable[[Any], Event]]] = [
    (InstrumentListed, lambda listed: replace(listed, taker_fee=Decimal("0.002"))),
    (InstrumentListed, lambda listed: replace(listed, instrument=replace(listed.instrument, tick=0))),
    (InstrumentListed, lambda listed: replace(listed, instrument=replace(listed.instrument, price_scale=0))),
    (InstrumentListed, lambda listed: replace(listed, instrument=replace(listed.instrument, size_scale=-5))),
    (InstrumentListed, lambda listed: replace(listed, instrument=replace(listed.instrument, id="ETH/USDT"))),
    (BotCreated, lambda bot: replace(bot, settings=replace(bot.settings, capital=Decimal(999)))),
    (BotCreated, lambda bot: replace(bot, settings=replace(bot.settings, legs=()))),
    (BotCreated, lambda bot: replace(bot, bot="other")),
]


@pytest.mark.parametrize(("event", "change"), FACTS, ids=range(len(FACTS)))
def test_an_opening_fact_altered(event: type[Event], change: Callable[[Any], Event], kept: Kept) -> None:
    """Whatever the loop makes of it, even nothing at all, verify ends with a finding."""
    kept.rewrite(event, change)
    verdict = kept.verdict()
    assert verdict.status == "diverged"
    assert verdict.divergence is not None
    assert verdict.divergence.message


# --- records gone, added, moved --------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [0, 5])
def test_a_record_deleted(skip: int, kept: Kept) -> None:
    position, _, record = kept.find(OrderFilled, skip)
    assert kept.tamper("DELETE FROM records WHERE position = %s", position) == 1
    found = diverged(kept.verdict(), "fill", position + len(record.events))
    assert found.rerun is not None
    assert found.rerun["event"] == "account.order_filled.v1"


def test_the_last_record_deleted(kept: Kept) -> None:
    ((last,),) = kept.rows("SELECT max(position) FROM records")
    kept.tamper("DELETE FROM records WHERE position = %s", last)
    found = diverged(kept.verdict(), "missing", None)
    assert found.rerun is not None
    assert found.rerun["event"] == "account.valued.v1"


def test_every_record_deleted(kept: Kept) -> None:
    kept.tamper("DELETE FROM records")
    diverged(kept.verdict(), "missing", None)


def test_all_but_the_engine_deleted(kept: Kept) -> None:
    kept.tamper("DELETE FROM records WHERE stream > 0")
    assert "instrument" in diverged(kept.verdict(), "missing", None).message


def test_the_engine_deleted(kept: Kept) -> None:
    kept.tamper("DELETE FROM records WHERE stream = 0")
    diverged(kept.verdict(), "missing", 2)


def append(kept: Kept, event: Event, stream: int, version: int, column: int | None = None) -> int:
    """One more record at the end of the log; `column` is what its stream column says."""
    ((position,),) = kept.rows("SELECT max(position + events) FROM records")
    ((at,),) = kept.rows("SELECT max(at) FROM records")
    state = codec.encode(Record(stream, version, at, "core", None, (event,)))
    row = (1, stream if column is None else column, version, 1, at, None, None, 0, "core", None, None, None)
    kept.tamper(
        f"INSERT INTO records (position, {ENVELOPE}, topic, leaf, state) VALUES ({', '.join(['%s'] * 16)})",
        position, *row, codec.TOPIC, codec.leaf_of(state), state,
    )  # fmt: skip
    return int(position)


@pytest.mark.parametrize("column", [None, 0], ids=["in its stream", "hidden in the engine's"])
def test_a_record_appended(column: int | None, kept: Kept) -> None:
    _, index, record = kept.find(OrderFilled)
    position = append(kept, record.events[index], record.stream, 100_000, column)
    found = diverged(kept.verdict(), "added" if column is None else "tampered", position)
    assert found.recorded is not None
    assert found.recorded["event"] == "account.order_filled.v1"


@pytest.mark.parametrize("event", [EngineStarted("9", "9", "candle-v1"), None], ids=["an engine", "a fill"])
def test_a_record_appended_to_the_engines_stream(event: Event | None, kept: Kept) -> None:
    """What the projections would fold must not hide where verify does not look."""
    if event is None:
        _, index, record = kept.find(OrderFilled)
        event = record.events[index]
    position = append(kept, event, 0, 2)
    diverged(kept.verdict(), "added", position)


def test_two_records_exchanged(kept: Kept) -> None:
    first, index, _ = kept.find(OrderFilled, skip=2)
    second, _, _ = kept.find(OrderFilled, skip=3)
    kept.tamper("UPDATE records SET position = 1000000 WHERE position = %s", first)
    kept.tamper("UPDATE records SET position = %s WHERE position = %s", first, second)
    kept.tamper("UPDATE records SET position = %s WHERE position = 1000000", second)
    diverged(kept.verdict(), "fill", first + index)


def test_an_envelope_altered_with_its_hash(kept: Kept) -> None:
    position, _, record = kept.find(OrderFilled)
    kept.put(position, codec.encode(replace(record, clock_offset=1)))
    assert "envelope" in diverged(kept.verdict(), "tampered", position).message


def test_the_same_record_in_other_bytes(kept: Kept) -> None:
    position, _, record = kept.find(OrderFilled)
    plain = codec.encode(record)
    # The stream's number as 32 bits instead of one byte: another spelling of the same.
    longer = plain[:1] + b"\xce" + record.stream.to_bytes(4) + plain[2:]
    assert codec.decode(longer) == record
    kept.put(position, longer)
    diverged(kept.verdict(), "tampered", position)


def test_the_engine_altered(kept: Kept) -> None:
    kept.rewrite(EngineStarted, lambda started: replace(started, engine_version="0.0.0"))
    assert "engine" in diverged(kept.verdict(), "tampered", 1).message


# --- the run's own rows ----------------------------------------------------------------------------------------------


def test_the_digest_altered(kept: Kept) -> None:
    kept.tamper("UPDATE run_ends SET log_sha256 = set_byte(log_sha256, 0, get_byte(log_sha256, 0) # 1)")
    assert "digest" in diverged(kept.verdict(), "tampered", None).message


@pytest.mark.parametrize("column", ["records", "events"])
def test_the_counts_altered(column: str, kept: Kept) -> None:
    kept.tamper(f"UPDATE run_ends SET {column} = {column} + 1")
    assert "counts" in diverged(kept.verdict(), "tampered", None).message


def test_the_code_that_is_said_to_have_run_altered(kept: Kept) -> None:
    """Nobody can pass a forged log off as the work of other code."""
    kept.tamper("UPDATE runs SET rules_hash = repeat('0', 64)")
    diverged(kept.verdict(), "tampered", 1)


def test_changed_code_is_a_class_of_its_own(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    position = kept.rewrite(OrderFilled, lambda fill: replace(fill, price=fill.price - 1))
    diverged(kept.verdict(), "fill", position)
    monkeypatch.setattr(module, "rules_hash", lambda: "another")
    found = diverged(kept.verdict(), "code", position)
    assert "code has changed" in found.message
    assert found.rerun is not None


def test_changed_code_does_not_excuse_tampering(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "rules_hash", lambda: "another")
    assert kept.verdict().status == "same", "code that decides the same has not diverged"
    position, _, _ = kept.find(OrderFilled)
    kept.tamper("UPDATE records SET state = state || '\\x00' WHERE position = %s", position)
    diverged(kept.verdict(), "tampered", position)


# --- runs that broke off, or go on -----------------------------------------------------------------------------------


def whole_inputs(kept: Kept) -> list[int]:
    """Positions between two inputs: where an alert's first record stands."""
    return [
        position for (position,) in kept.rows("SELECT position FROM records WHERE actor = 'signals' ORDER BY position")
    ]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.77, 0.999])
def test_a_run_that_broke_off_between_inputs(share: float, kept: Kept) -> None:
    starts = whole_inputs(kept)
    end = starts[int(share * len(starts))]
    kept.tamper("DELETE FROM run_ends")
    kept.tamper("DELETE FROM records WHERE position >= %s", end)
    ((left,),) = kept.rows("SELECT count(*) FROM records WHERE stream > 0")
    verdict = kept.verdict()
    assert (verdict.status, verdict.records) == ("interrupted", left)


def test_a_run_that_broke_off_before_its_end_was_said(kept: Kept) -> None:
    kept.tamper("DELETE FROM run_ends")
    assert kept.verdict().status == "interrupted"


def test_a_run_cut_inside_an_input(kept: Kept) -> None:
    position, _, record = kept.find(GroupOpened)
    assert record.cause is not None
    kept.tamper("DELETE FROM run_ends")
    kept.tamper("DELETE FROM records WHERE position > %s", position)
    assert "in the middle of an input" in diverged(kept.verdict(), "missing", None).message


def test_a_run_that_goes_on_meanwhile(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that come between verify's two readings are no divergence."""
    starts = whole_inputs(kept)
    cut = starts[len(starts) // 2]
    moved = "SELECT * FROM records WHERE position >= %s"
    kept.tamper("DELETE FROM run_ends")
    kept.tamper(f"CREATE TABLE later AS {moved}", cut)
    kept.tamper("DELETE FROM records WHERE position >= %s", cut)

    def more_then_play(*arguments: Any) -> Any:
        kept.tamper("INSERT INTO records SELECT * FROM later")
        return play(*arguments)

    monkeypatch.setattr(module, "play", more_then_play)
    verdict = kept.verdict()
    assert verdict.status == "interrupted", verdict.divergence
    ((left,),) = kept.rows("SELECT count(*) FROM records WHERE stream > 0 AND position < %s", cut)
    assert verdict.records == left


# --- what is missing -------------------------------------------------------------------------------------------------


def test_a_run_without_a_tape(kept: Kept) -> None:
    kept.tamper("UPDATE runs SET tape_digest = NULL")
    with pytest.raises(MissingError, match="names no market tape"):
        kept.verdict()
    kept.tamper("UPDATE runs SET tape_digest = repeat('0', 64)")
    with pytest.raises(MissingError, match="no sound tape"):
        kept.verdict()


def test_a_run_that_is_not_there(kept: Kept) -> None:
    with pytest.raises(MissingError, match="run 2 is not kept"):
        kept.verdict(2)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The command line looks at the same."""
    monkeypatch.setenv("TRUETAPE_HOME", str(kept.home))
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", kept.url)
    return kept


def test_the_command_says_the_same(command: Kept) -> None:
    ended = run("verify")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("run 1 (dca_signals BTC/USDT): the same, ")
    assert run("verify", "1").out == ended.out
    ((digest,),) = command.rows("SELECT encode(log_sha256, 'hex') FROM run_ends")
    (verdict,) = run("verify", "--json").json
    assert (verdict["status"], verdict["log_sha256"], verdict["divergence"]) == ("same", digest, None)


def test_the_command_names_a_divergence(command: Kept) -> None:
    position = command.rewrite(OrderFilled, lambda fill: replace(fill, price=fill.price - 1))
    ended = run("verify")
    assert ended.code == 1
    for part in ("run 1", "DIVERGED (fill)", f"position {position}", "recorded: {", "rerun: {"):
        assert part in ended.out
    ended = run("verify", "1", "--json")
    assert ended.code == 1
    assert ended.json[0]["divergence"]["position"] == position
    assert ended.json[0]["divergence"]["kind"] == "fill"


def test_markup_in_an_alert_is_shown_as_it_is(command: Kept) -> None:
    command.rewrite(AlertReceived, lambda alert: replace(alert, body="[/red] \x1b[31m"))
    ended = run("verify")
    assert ended.code == 1
    assert "\x1b" not in ended.out


def second_run(kept: Kept, folder: Path) -> Path:
    """A second kept run, on a tape of its own; returns the tape's file."""
    stage = Stage(folder, minutes=300, alerts=5)
    stage.candles = stage.candles.rename(folder / "second.csv")
    stage.backtest("--keep")
    return kept.home / "market" / "second.parquet"


@pytest.mark.parametrize("damage", ["gone", "altered", "no tape"])
def test_a_lost_tape_does_not_stop_the_others(damage: str, command: Kept, tmp_path: Path) -> None:
    tape = second_run(command, tmp_path)
    whole = tape.read_bytes()
    assert run("verify").code == 0
    if damage == "gone":
        tape.unlink()
    else:
        middle = len(whole) // 2
        tape.write_bytes(
            whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if damage == "altered" else b"x"
        )
    ended = run("verify", "--json")
    assert ended.code == 2
    assert [verdict["status"] for verdict in ended.json] == ["same", "missing"]
    assert "no sound tape" in ended.json[1]["reason"]
    said = run("verify").out.splitlines()
    assert said[0].startswith("run 1 (dca_signals BTC/USDT): the same")
    assert said[1].startswith("run 2 (dca_signals BTC/USDT): cannot be verified: ")
    assert run("verify", "2").code == 2
    assert run("verify", "1").code == 0
    assert run("doctor").code == 1
    command.rewrite(OrderFilled, lambda fill: replace(fill, price=fill.price - 1))
    assert run("verify").code == 1, "a divergence outweighs a missing tape"


@pytest.mark.parametrize("number", ["7", "99999999999999999999"])
def test_an_unknown_run(number: str, command: Kept) -> None:
    ended = run("verify", number)
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: run {number} is not kept\n")


def test_no_run_at_all(command: Kept) -> None:
    command.tamper("TRUNCATE runs CASCADE")
    ended = run("verify")
    assert (ended.code, "No run is kept yet" in ended.out) == (0, True)
    assert run("verify", "--json").json == []


@pytest.mark.parametrize("left", ["stream = 0", "false"], ids=["the engine", "nothing"])
def test_a_run_that_decided_nothing(left: str, command: Kept) -> None:
    command.tamper("DELETE FROM run_ends")
    command.tamper(f"DELETE FROM records WHERE NOT ({left})")
    ended = run("verify")
    assert (ended.code, "the same up to where it broke off, 0 records" in ended.out) == (0, True)
