"""A tape's copy in plain columns says what the tape says, or is not asked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.market_data import parquet
from infrastructure.market_data.columns_file import FOLDER, copied_header, integers, read_copy
from infrastructure.market_data.importers import read_candles
from infrastructure.market_data.tape import COLUMNS, Tape, decode_header, make_tape
from tests.infrastructure.market_data.candles import MINUTE, START, minutes, write_csv


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return read_candles(write_csv(tmp_path / "a.csv", minutes(0, 1, 2, 5, 6)), instrument="BTC/USDT")


@pytest.fixture
def stored(tape: Tape, tmp_path: Path) -> Path:
    """A tape that has been read once, so that it has a copy."""
    path = tmp_path / "market" / "tape.parquet"
    tape.save(path)
    Tape.load(path)
    return path


def place_of(stored: Path) -> Path:
    return stored.parent / FOLDER / "tape.columns"


def contents(tape: Tape) -> dict[str, list[int]]:
    return {name: column.tolist() for name, column in tape.columns.items()}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The Parquet files that were opened."""
    seen: list[Path] = []
    read_columns = parquet.read_columns

    def counted(path: Path, names: tuple[str, ...]) -> dict[str, memoryview]:
        seen.append(path)
        return read_columns(path, names)

    monkeypatch.setattr(parquet, "read_columns", counted)
    return seen


def test_what_was_read_once_is_read_from_the_copy(tape: Tape, stored: Path, opened: list[Path]) -> None:
    again = Tape.load(stored)
    assert opened == []
    assert (again.header, contents(again)) == (tape.header, contents(tape))
    assert all(column.format == "q" and column.readonly for column in again.columns.values())
    assert decode_header(stored, "candles") == tape.header
    assert copied_header(stored) is not None


def test_another_file_under_the_same_name_is_read_itself(tape: Tape, stored: Path, opened: list[Path]) -> None:
    columns = {name: integers(column) for name, column in tape.columns.items()}
    higher = make_tape({**columns, "volume": columns["volume"] + 1}, tape.price_scale, tape.volume_scale, MINUTE)
    higher.save(stored)
    assert copied_header(stored) is None
    assert decode_header(stored) == higher.header
    assert [contents(Tape.load(stored)) for _ in range(2)] == [contents(higher)] * 2
    assert opened == [stored]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: raw[:-3] + bytes([raw[-3] ^ 1]) + raw[-2:],
        lambda raw: bytes(len(raw)),
        lambda raw: b"\n" + raw,
        lambda raw: raw.replace(b"BTC/USDT", b"ETH/USDT"),
        lambda raw: raw.replace(b'\\"format\\":1', b'\\"format\\":2'),
        lambda raw: b"",
        lambda raw: b"no line",
    ],
)
def test_a_spoilt_copy_is_made_again(
    spoil: Callable[[bytes], bytes], tape: Tape, stored: Path, opened: list[Path]
) -> None:
    place = place_of(stored)
    sound = place.read_bytes()
    spoilt = spoil(sound)
    assert spoilt != sound
    place.write_bytes(spoilt)
    again = Tape.load(stored)
    assert opened == [stored]
    assert (again.header, contents(again)) == (tape.header, contents(tape))
    assert place.read_bytes() == sound


def test_columns_of_other_names_are_not_taken_for_these(stored: Path) -> None:
    assert read_copy(stored, COLUMNS) is not None
    assert read_copy(stored, COLUMNS[:-1]) is None


def test_a_copy_that_cannot_be_kept_is_none(tape: Tape, tmp_path: Path) -> None:
    path = tmp_path / "market" / "tape.parquet"
    tape.save(path)
    (path.parent / FOLDER).write_text("a file where the folder would be")
    assert [contents(Tape.load(path)) for _ in range(2)] == [contents(tape)] * 2


def test_copies_of_tapes_that_are_gone_are_dropped(tape: Tape, stored: Path) -> None:
    other = stored.with_name("other.parquet")
    stored.replace(other)
    assert contents(Tape.load(other)) == contents(tape)
    assert [each.name for each in place_of(stored).parent.iterdir()] == ["other.columns"]


@given(
    st.lists(st.tuples(*[st.integers(1, 2**62)] * 4, st.integers(0, 2**62)), max_size=40),
    st.integers(1, 10**12),
)
def test_any_tape_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, ...]], step: int) -> None:
    """The copy does not know what candles are: any columns will do."""
    times = [START + step * row for row in range(len(rows))]
    columns = zip(COLUMNS, [times, *([row[place] for row in rows] for place in range(5))], strict=True)
    tape = make_tape({name: np.array(values, np.int64) for name, values in columns}, 2, 0, step)
    path = tmp_path_factory.mktemp("market") / "tape.parquet"
    tape.save(path)
    loaded = Tape.load(path)
    copied = read_copy(path, COLUMNS)
    assert copied is not None
    assert {name: column.tolist() for name, column in copied.columns.items()} == contents(loaded) == contents(tape)
