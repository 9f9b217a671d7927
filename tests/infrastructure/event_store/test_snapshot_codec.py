"""Snapshots: a core from one and the records after it is the core from all records, and decides the same bytes."""

import random
import zlib
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from domain import engine
from domain import snapshot as snapshots
from domain.deciders import BY_KIND
from domain.engine import Core
from domain.errors import StoreError
from domain.ports import ClockStarted
from domain.wakes import Rounds, Timers, Watches
from infrastructure.event_store import snapshot_codec
from infrastructure.event_store.codec import encode as encode_record
from infrastructure.event_store.engine_version import rules_hash
from infrastructure.event_store.snapshot_codec import COMMANDS, FORMS, decode, encode, schema
from tests.domain.engine_floor import BoundedCore, Setup, portrait
from tests.domain.lived import LIVES, Life, LivedFloor, go_on, live, rich_setup
from tests.domain.test_laws import Play, plays

ROOT = Path(__file__).parents[3]


class SavingFloor(LivedFloor):
    """Its cores are made from a snapshot and what came after it; they must be those of the whole log."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.save()

    def save(self) -> None:
        self.saved = len(self.records), encode(self.core.snapshot())

    def restart(self) -> None:
        count, state = self.saved
        fresh, whole = BoundedCore.from_snapshot(decode(state)), Core()
        fresh.restore_all(self.records[count:])
        whole.restore_all(self.records)
        for core in (fresh, whole):
            core.marks.update(self.core.marks)
            core.start_clock(self.at)
        for before in (portrait(whole), portrait(self.core)):
            after = portrait(fresh)
            for part, seen in before.items():
                assert after[part] == seen, f"{part} is not what it was before the restart"
        assert fresh.interest.deadline == whole.interest.deadline
        assert fresh.interest.watched == whole.interest.watched
        self.shadow, self.core = self.core, fresh


def saved_and_restarted(setup: Setup, seed: int, minutes: int) -> None:
    """Save, go on, restart, go on: from the restart on, each step is held against the core that never stopped."""
    chance = random.Random(seed)
    floor = live(SavingFloor, setup, seed, minutes)
    for _ in range(2):
        floor.save()
        go_on(floor, chance, chance.randint(0, 3))
        floor.restart()
        go_on(floor, chance, 3)
    floor.restart()


@settings(max_examples=60)
@given(LIVES)
def test_a_core_from_a_snapshot_and_the_rest_is_the_core_from_the_whole_log(life: Life) -> None:
    saved_and_restarted(*life)


@given(plays(), st.integers(0, 2**32))
def test_it_goes_on_as_if_it_had_never_stopped(play: Play, seed: int) -> None:
    inputs, chance = play.market.inputs, random.Random(seed)
    cut = chance.randint(0, len(inputs))
    saved = chance.randint(0, cut)
    first = Core()
    first.step(inputs[:saved])
    second = Core.from_snapshot(decode(encode(first.snapshot())))
    second.restore_all(first.step(inputs[saved:cut])[0])
    second.marks.update(first.marks)
    if any(type(fact) is ClockStarted for moment in inputs[:cut] for fact in moment.facts):
        second.start_clock(inputs[cut - 1].at)
    assert list(map(encode_record, second.step(inputs[cut:])[0])) == list(
        map(encode_record, first.step(inputs[cut:])[0])
    )


def _reversed_rounds(rounds: Rounds) -> Any:
    return list(rounds._rounds)[::-1]  # noqa: SLF001


def _reversed_watches(watches: Watches, among: Any) -> Any:
    return {name: [key for key in each if key in among][::-1] for name, each in watches._watches.items()}  # noqa: SLF001


def _late_timers(timers: Timers) -> Any:
    return timers_waiting(timers)[:-1]


timers_waiting = Timers.waiting
PLANTED: dict[str, tuple[Any, str, Any]] = {
    "rounds in another order": (Rounds, "wanted", _reversed_rounds),
    "watches in another order": (Watches, "waiting", _reversed_watches),
    "a timer less": (Timers, "waiting", _late_timers),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*PLANTED[bug])
    with pytest.raises(AssertionError):
        rich_lives()


def rich_lives() -> None:
    for number in range(20):
        saved_and_restarted(rich_setup(number), number, 20)


def test_without_a_planted_bug_nothing_is_found() -> None:
    rich_lives()


def kept_while_others_go_on() -> bool:
    """Whether a snapshot stays what it is while the core that it is of, and one made from it, go on."""
    floor = live(SavingFloor, rich_setup(1), 1, 10)
    taken = floor.core.snapshot()
    before = decode(encode(taken))
    Core.from_snapshot(taken).state("account", "main").cash.clear()
    if decode(encode(taken)) != before:
        return False
    go_on(floor, random.Random(1), 10)
    return decode(encode(taken)) == before


def test_a_snapshot_stays_while_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_while_others_go_on()
    monkeypatch.setattr(engine, "copy_of", lambda state: state)
    assert not kept_while_others_go_on()


def test_every_field_comes_back_as_what_it_was() -> None:
    taken = live(SavingFloor, rich_setup(1), 3, 25).core.snapshot()
    read = decode(encode(taken))
    assert read == taken
    for kind, streams in taken.streams.items():
        for before, after in zip(streams, read.streams[kind], strict=True):
            for name in before.state.__struct_fields__:
                was, now = getattr(before.state, name), getattr(after.state, name)
                assert type(now) is type(was), name
                if isinstance(was, dict):
                    assert list(now.items()) == list(was.items())  # the same order
    (account,) = read.streams["account"]
    assert isinstance(account.state.ended, OrderedDict)


def test_numbers_may_be_wider_than_64_bits() -> None:
    core = live(SavingFloor, rich_setup(1), 1, 10).core
    taken = core.snapshot()
    (group, *_) = taken.streams["position_group"]
    wide = structs.replace(group.state, average=(10**30 + 1, 10**22), held=-(10**20))
    streams = {**taken.streams, "position_group": [structs.replace(group, state=wide)]}
    taken = structs.replace(taken, streams=streams, watches={})
    assert decode(encode(taken)) == taken


def test_every_kind_and_every_command_has_a_form() -> None:
    assert set(FORMS) == set(BY_KIND)
    assert len(COMMANDS) == len(set(COMMANDS.values()))


@pytest.mark.parametrize("harm", [b"", b"x", b"\x00" * 40])
def test_what_is_no_snapshot_is_refused(harm: bytes) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        decode(harm)


def test_a_part_of_a_snapshot_is_refused() -> None:
    whole = zlib.decompress(encode(live(SavingFloor, rich_setup(1), 1, 3).core.snapshot()))
    lines = whole.splitlines(keepends=True)
    with pytest.raises(StoreError, match="lines of streams"):
        decode(zlib.compress(b"".join(lines[:-1])))


def test_another_rule_is_another_schema(tmp_path: Path) -> None:
    copytree(ROOT / "domain", tmp_path / "domain")
    copytree(ROOT / "infrastructure/venues", tmp_path / "infrastructure/venues")
    assert schema(rules_hash(tmp_path)) == schema()
    with (tmp_path / "domain/account/folds.py").open("a") as folds:
        folds.write("# another rounding\n")
    rules_hash.cache_clear()
    assert schema(rules_hash(tmp_path)) != schema()


def test_another_field_is_another_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema()

    class Nested(Struct):
        amount: Decimal

    for states in ({"bot": (str, Nested)}, {"bot": (int, snapshots.STATES["bot"][1])}):
        monkeypatch.setattr(snapshot_codec, "STATES", {**snapshots.STATES, **states})
        assert schema() != before


def test_the_bytes_name_no_code() -> None:
    """Only commands that deciders know can be read."""
    taken = live(SavingFloor, rich_setup(1), 1, 3).core.snapshot()
    head, *rest = zlib.decompress(encode(structs.replace(taken, timers=[]))).splitlines()
    fields = msgspec.json.decode(head)
    fields[1] = [[1, [1, 1], "os.system", ["true"]]]
    lines = b"\n".join([msgspec.json.encode(fields), *rest])
    with pytest.raises(StoreError, match=r"os\.system"):
        decode(zlib.compress(lines))
