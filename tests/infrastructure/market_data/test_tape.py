"""A stored tape is what was written, or an error; views of it copy nothing."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AmountError, InputError, MissingError
from domain.values import Time
from infrastructure.market_data.columns_file import integers
from infrastructure.market_data.importers import read_candles
from infrastructure.market_data.parquet import HEADER_KEY
from infrastructure.market_data.tape import COLUMNS, Tape, folder, make_tape
from infrastructure.market_data.trade_tape import TradeTape
from tests.infrastructure.market_data.candles import MINUTE, START, minutes, write_csv


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return read_candles(write_csv(tmp_path / "a.csv", minutes(0, 1, 2, 5, 6)), instrument="BTC/USDT")


def contents(tape: Tape) -> dict[str, list[int]]:
    return {name: column.tolist() for name, column in tape.columns.items()}


def test_a_tape_comes_back_as_it_was(tape: Tape, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tape.parquet"
    tape.save(path)
    again = Tape.load(path)
    assert again.header == tape.header
    assert contents(again) == contents(tape)
    assert again.instrument == "BTC/USDT"
    assert all(column.format == "q" and column.readonly for column in again.columns.values())
    assert sorted(each.name for each in path.parent.iterdir()) == ["plain", "tape.parquet"]


def test_the_file_is_plain_parquet_of_quanta(tape: Tape, tmp_path: Path) -> None:
    tape.save(tmp_path / "tape.parquet")
    frame = pl.read_parquet(tmp_path / "tape.parquet")
    assert frame.columns == list(COLUMNS)
    assert frame.dtypes == [pl.Int64] * 6
    assert frame["open"].to_list() == [1050] * 5


def test_the_digest_names_the_content_and_nothing_else(tape: Tape) -> None:
    columns = {name: integers(column) for name, column in tape.columns.items()}
    facts = (tape.price_scale, tape.volume_scale, tape.interval)
    assert make_tape(columns, *facts).digest == make_tape(columns, *facts, "ETH/USDT").digest == tape.digest
    others = [make_tape(columns, 3, 0, MINUTE), make_tape(columns, 2, 1, MINUTE), make_tape(columns, 2, 0, 1)]
    others.append(make_tape({**columns, "low": columns["low"] - 1}, *facts))
    others.append(make_tape({**columns, "open": columns["close"], "close": columns["open"]}, *facts))
    assert len({tape.digest, *(other.digest for other in others)}) == 6


def test_the_digest_is_for_ever() -> None:
    # Changing it would cut every kept run off from its tape.
    columns = {name: integers(memoryview(bytes(8)).cast("q")) + number for number, name in enumerate(COLUMNS)}
    assert make_tape(columns, 2, 5, MINUTE).digest == (
        "c726c88d7285d8594f5353a99130a319d19826af0236f5d54a7f601fd68f4f72"
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_an_altered_value_is_found(tape: Tape, tmp_path: Path, name: str) -> None:
    path = folder(tmp_path) / "tape.parquet"
    tape.save(path)
    metadata = pl.read_parquet_metadata(path)
    frame = pl.read_parquet(path)
    changed = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(pl.col(name) + 1).otherwise(name).alias(name)
    )
    changed.write_parquet(path, metadata={HEADER_KEY: metadata[HEADER_KEY]})
    with pytest.raises(InputError, match="was changed"):
        Tape.load(path)
    with pytest.raises(MissingError, match="was changed"):
        Tape.find_by_digest(tmp_path, tape.digest)


def test_an_altered_header_is_found(tape: Tape, tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    tape.save(path)
    header = pl.read_parquet_metadata(path)[HEADER_KEY]
    frame = pl.read_parquet(path)
    for old, new in [
        ('"price_scale":2', '"price_scale":3'),
        ('"interval":60000000', '"interval":30000000'),
        ('"rows":5', '"rows":6'),
        ('"count":1', '"count":0'),
        ('"format":1', '"format":2'),
        ('"kind":"candles"', '"kind":"trades"'),
        ("{", "["),
    ]:
        assert old in header
        frame.write_parquet(path, metadata={HEADER_KEY: header.replace(old, new, 1)})
        with pytest.raises(InputError):
            Tape.load(path)


def test_a_flipped_bit_never_gives_another_tape(tape: Tape, tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    tape.save(path)
    raw = path.read_bytes()
    chance = random.Random(5)
    refused = 0
    for _ in range(60):
        damaged = bytearray(raw)
        damaged[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            found = Tape.load(path)
        except InputError:
            refused += 1
        else:
            assert (contents(found), found.digest) == (contents(tape), tape.digest)
    assert refused


def test_what_is_no_tape_is_refused(tape: Tape, tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    with pytest.raises(MissingError, match="no such tape"):
        Tape.load(path)
    pl.DataFrame({"open_time": [1]}).write_parquet(path)
    with pytest.raises(InputError, match="no tape"):
        Tape.load(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        Tape.load(path)
    tape.save(path)
    with pytest.raises(InputError, match="a tape of candles, not trades"):
        TradeTape.load(path)


def test_a_tape_is_found_by_its_digest_past_a_damaged_copy(tape: Tape, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=tape.digest):
        Tape.find_by_digest(tmp_path, tape.digest)
    tape.save(folder(tmp_path) / "b.parquet")
    (folder(tmp_path) / "a.parquet").write_text("hello")
    assert contents(Tape.find_by_digest(tmp_path, tape.digest)) == contents(tape)
    with pytest.raises(MissingError):
        Tape.find_by_digest(tmp_path, "0" * 64)


def test_a_file_that_cannot_be_written_leaves_nothing(tape: Tape, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        tape.save(tmp_path / "file" / "tape.parquet")
    (tmp_path / "taken.parquet").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        tape.save(tmp_path / "taken.parquet")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "file", "taken.parquet"]


# --- views -----------------------------------------------------------------------------------------------------------


@given(st.integers(-2, 9), st.integers(-2, 9))
def test_a_slice_has_what_opens_from_its_start_and_before_its_end(first: int, last: int) -> None:
    times = [START + number * MINUTE for number in (0, 1, 2, 5, 6)]
    columns = {name: integers(memoryview(_quanta(times))) for name in COLUMNS}
    tape = make_tape(columns, 2, 0, MINUTE)
    start, end = Time(START + first * MINUTE), Time(START + last * MINUTE)
    part = tape.slice(start, end)
    assert part.open_times.tolist() == part.volumes.tolist() == [at for at in times if start <= at < end]
    assert part.digest == tape.digest


def _quanta(values: list[int]) -> memoryview:
    return memoryview(b"".join(value.to_bytes(8, "little", signed=True) for value in values)).cast("q")


def test_a_slice_is_the_same_memory(tape: Tape) -> None:
    part = tape.slice(Time(tape.open_times[1]), Time(tape.open_times[3]))
    assert part.highs.obj is tape.highs.obj
    assert integers(part.highs).ctypes.data == integers(tape.highs).ctypes.data + 8


def test_a_view_cannot_be_saved_under_the_tapes_digest(tape: Tape, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="view of a tape"):
        tape.rescaled(4).save(tmp_path / "tape.parquet")


def test_prices_rescale_to_finer_quanta_only(tape: Tape) -> None:
    finer = tape.rescaled(5)
    assert finer.price_scale == 5
    assert finer.lows.tolist() == [low * 1000 for low in tape.lows]
    assert finer.volumes.tolist() == tape.volumes.tolist()
    assert finer.digest == tape.digest
    assert tape.rescaled(2) is tape
    with pytest.raises(InputError, match="scale 1 is coarser than the tape's 2"):
        tape.rescaled(1)
    with pytest.raises(AmountError, match="64 bits"):
        tape.rescaled(18)
