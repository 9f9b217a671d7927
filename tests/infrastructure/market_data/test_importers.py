"""Every kind of bad file and bad row is refused by name, and times are told by magnitude."""

import gzip
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain.errors import InputError
from infrastructure.market_data.importers import read_candles
from tests.infrastructure.market_data.candles import HEADER, MINUTE, START, kline, minutes, write_csv

MILLISECONDS = START // 1000


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_candles(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(path))


# --- rows ------------------------------------------------------------------------------------------------------------

BAD_ROWS = [
    ("{t},NaN,11,10,10.75,3", "open 'NaN' is not a finite number"),
    ("{t},10.5,inf,10,10.75,3", "high 'inf' is not a finite number"),
    ("{t},10.5,11,,10.75,3", "low is missing"),
    ("{t},10.5,11,10,ten,3", "close 'ten' is not a decimal number"),
    ("{t},10.5,11,10,10.75,-1", "volume -1 is below 0"),
    ("{t},10.5,11,0,10.75,3", "low 0 is not above 0"),
    ("{t},-10.5,11,10,10.75,3", "open -10.5 is not above 0"),
    ("{t},10.5,10.5,11,10.5,3", "high 10.5 is below low 11"),
    ("{t},11.25,11,10,10.75,3", "open 11.25 is not between low 10 and high 11"),
    ("{t},10.5,11,10,9.5,3", "close 9.5 is not between low 10 and high 11"),
    ("{t},10.5,99999999999999999999,10,10.75,3", "does not fit 64 bits"),
    ("{t},10.5,11,10,10.75,1e-19", "has more than 18 decimal places"),
    ("noon,10.5,11,10,10.75,3", "open_time 'noon' is no time"),
    (",10.5,11,10,10.75,3", "open_time is missing"),
    ("2022-13-01T00:00:00Z,10.5,11,10,10.75,3", "open_time '2022-13-01T00:00:00Z' is no time"),
    ("2022-01-01T00:00:60Z,10.5,11,10,10.75,3", "open_time '2022-01-01T00:00:60Z' is no time"),
    ("2201-01-01T00:00:00Z,10.5,11,10,10.75,3", "not from 1970 to 2200"),
    ("-60000,10.5,11,10,10.75,3", "not from 1970 to 2200"),
    ("99999999999999999999999,10.5,11,10,10.75,3", "out of range"),
    (f"{START},10.5,11,10,10.75,3", "open_time 2022-01-01T00:00:00Z is a duplicate of row 1"),
    (f"{START + 3 * MINUTE},10.5,11,10,10.75,3", "open_time 2022-01-01T00:03:00Z is a duplicate of row 4"),
    (f"{START - MINUTE},10.5,11,10,10.75,3", "open_time 2021-12-31T23:59:00Z is out of order"),
    ("{half},10.5,11,10,10.75,3", "is 90 s after the row before, no multiple of the interval of 60 s"),
    ("{t},10.5,11,10,10.75", "has 5 columns where 6 are needed"),
    ("{t},10.5,11,10,10.75,3,4", "has 7 columns where 6 are needed"),
    ("", "has no columns where 6 are needed"),
]


@pytest.mark.parametrize(("row", "what"), BAD_ROWS)
def test_a_bad_row_is_refused_by_number_and_line(tmp_path: Path, row: str, what: str) -> None:
    rows = minutes(*range(6))
    rows[4] = row.format(t=START + 4 * MINUTE, half=START + 4 * MINUTE + MINUTE // 2)
    message = refusal(write_csv(tmp_path / "bad.csv", rows))
    assert message.startswith(": row 5 (line 6)")
    assert what in message


@pytest.mark.parametrize(("row", "what"), [case for case in BAD_ROWS if "columns" not in case[1]])
def test_a_bad_row_is_refused_among_quoted_ones(tmp_path: Path, row: str, what: str) -> None:
    rows = [",".join(f'"{field}"' for field in line.split(",")) for line in minutes(*range(6))]
    rows[4] = row.format(t=START + 4 * MINUTE, half=START + 4 * MINUTE + MINUTE // 2)
    message = refusal(write_csv(tmp_path / "bad.csv", rows))
    assert message.startswith(": row 5 (line 6)")
    assert what in message


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("open", float("nan"), "not a finite number"),
        ("volume", float("inf"), "not a finite number"),
        ("low", None, "low is missing"),
        ("close", 0.0, "close 0 is not above 0"),
        ("high", 9.5, "high 9.5 is below low 10"),
        ("high", 1e19, "does not fit 64 bits"),
        ("open_time", None, "open_time is missing"),
        ("open_time", START, "is a duplicate of row 1"),
    ],
)
def test_a_bad_row_in_parquet_is_refused_by_number(tmp_path: Path, column: str, value: Any, what: str) -> None:
    columns: dict[str, list[Any]] = {
        "open_time": [START + number * MINUTE for number in range(6)],
        **{
            name: [number] * 6
            for name, number in zip(HEADER.split(",")[1:], (10.5, 11.0, 10.0, 10.75, 3.0), strict=True)
        },
    }
    columns[column][3] = value
    path = tmp_path / "bad.parquet"
    pl.DataFrame(columns).write_parquet(path)
    message = refusal(path)
    assert message.startswith(": row 4: ")
    assert what in message


def test_a_bad_kline_row_is_refused_by_number(tmp_path: Path) -> None:
    path = tmp_path / "klines.csv"
    lines = [kline(MILLISECONDS), kline(MILLISECONDS + 60_000, "10.5,11,12,10.75,3")]
    path.write_text("\n".join(lines))
    assert refusal(path) == ": row 2: high 11 is below low 12"
    path.write_text(lines[0] + "\n" + lines[0].rsplit(",", 1)[0] + "\n")
    assert refusal(path) == ": row 2 (line 2) has 11 columns where 12 are needed"


def test_the_earliest_bad_row_is_named(tmp_path: Path) -> None:
    rows = minutes(*range(6))
    rows[4] = rows[4].replace("10.5", "x")
    rows[2] = rows[2].replace("10.75", "y")
    assert "row 3" in refusal(write_csv(tmp_path / "bad.csv", rows))


def test_epoch_seconds_are_refused(tmp_path: Path) -> None:
    rows = [f"{START // 1_000_000 + 60 * number},10.5,11,10,10.75,3" for number in range(4)]
    assert "in epoch seconds" in refusal(write_csv(tmp_path / "seconds.csv", rows))


# --- files -----------------------------------------------------------------------------------------------------------


def _zip(**files: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return packed.getvalue()


GOOD_CSV = "\n".join([HEADER, *minutes(0, 1)]).encode()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"", " is empty"),
        ("a.csv", b"\n\r\n", " is empty"),
        ("a.csv", b"\xef\xbb\xbf", " is empty"),
        ("a.csv", HEADER.encode(), " has a header and no rows"),
        ("a.csv", b"time,open,high,low,close,volume\n1,1,1,1,1,1\n", "line 1 has no column open_time"),
        ("a.csv", HEADER.encode() + b",open\n1,1,1,1,1,1,1\n", "line 1 has more than one column open"),
        ("a.csv", b"1640995200000,1,2,1,1,1\n", "row 1 has 6 columns; a Binance kline file has 12"),
        ("a.csv", HEADER.encode() + b"\n1,\xff,1,1,1,1\n", "line 2 is not UTF-8 text"),
        ("a.csv", HEADER.encode() + b'\n1,"1,1,1,1,1\n', ": row 1 (line 2)"),
        ("a.csv", b"PAR1 and so on PAR1", "line 1 has no column open_time"),
        ("a.csv.gz", b"not packed", "cannot be unpacked"),
        ("a.csv.gz", gzip.compress(GOOD_CSV, mtime=0)[:-12], "cannot be unpacked"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), " is empty"),
        ("a.zip", b"PK not packed", "cannot be unpacked"),
        ("a.zip", _zip(a_csv=GOOD_CSV, b_csv=GOOD_CSV), "must have one .csv file in it, it has 2 files"),
        ("a.zip", _zip(a_txt=GOOD_CSV), "must have one .csv file"),
        ("a.parquet", GOOD_CSV, "cannot be read as Parquet"),
        ("a.parquet", b"", " is empty"),
        ("a.txt", GOOD_CSV, "is of no known kind"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert what in refusal(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "none.csv")
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert "is a folder" in refusal(folder)
    assert "is not a regular file" in refusal(Path("/dev/null"))


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (pl.DataFrame({"open_time": [START]}), "has no column open"),
        (pl.DataFrame(schema=dict.fromkeys(HEADER.split(","), pl.Float64)), "has no rows"),
        (pl.DataFrame({name: [True] for name in HEADER.split(",")}), "has the type Boolean"),
    ],
)
def test_bad_parquet_is_refused(tmp_path: Path, frame: pl.DataFrame, what: str) -> None:
    path = tmp_path / "bad.parquet"
    frame.write_parquet(path)
    assert what in refusal(path)


def test_a_stored_tape_is_not_taken_for_candles(tmp_path: Path) -> None:
    read_candles(write_csv(tmp_path / "a.csv", minutes(0, 1))).save(tmp_path / "tape.parquet")
    assert "is a stored tape" in refusal(tmp_path / "tape.parquet")


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.csv", bytes), ("a.csv.gz", gzip.compress), ("a.zip", lambda content: _zip(a_csv=content))],
)
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_packings_and_line_ends_do_not_matter(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], ends: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(b"\xef\xbb\xbf" + GOOD_CSV.replace(b"\n", ends) + ends * 2))
    tape = read_candles(path)
    assert tape.open_times.tolist() == [START, START + MINUTE]
    assert tape.digest == read_candles(write_csv(tmp_path / "plain.csv", minutes(0, 1))).digest


def test_other_columns_are_ignored_and_order_is_free(tmp_path: Path) -> None:
    rows = [f'"a, note",3,10.75,{START + number * MINUTE},10,11,10.5' for number in range(2)]
    tape = read_candles(write_csv(tmp_path / "a.csv", rows, "note,volume,close,open_time,low,high,open"))
    plain = [f"{number},3,10.75,{START + number * MINUTE},10,11,10.5" for number in range(2)]
    same = read_candles(write_csv(tmp_path / "b.csv", plain, "note,volume,close,open_time,low,high,open"))
    assert tape.digest == same.digest == read_candles(write_csv(tmp_path / "c.csv", minutes(0, 1))).digest


# --- times -----------------------------------------------------------------------------------------------------------

MOMENT = datetime(2022, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        str(MILLISECONDS),
        str(START),
        "2022-01-01T00:00:00Z",
        "2022-01-01 00:00:00",
        "2022-01-01",
        "2022-01-01T00:00Z",
        "2022-01-01T05:30:00+05:30",
        "2021-12-31T19:00:00-0500",
        "2022-01-01T00:00:00.000Z",
        "2022-01-01T00:00:00.000000000Z",
    ],
)
def test_spellings_of_one_time(tmp_path: Path, text: str) -> None:
    rows = [f"{text},10.5,11,10,10.75,3", *minutes(1)]
    assert read_candles(write_csv(tmp_path / "a.csv", rows)).open_times.tolist() == [START, START + MINUTE]


def test_microseconds_of_a_text_are_kept(tmp_path: Path) -> None:
    rows = [f"2022-01-01T00:00:00.{part},10.5,11,10,10.75,3" for part in ("000001Z", "5Z", "9999990")]
    tape = read_candles(write_csv(tmp_path / "a.csv", rows))
    assert [at - START for at in tape.open_times] == [1, 500_000, 999_999]
    rows.append("2022-01-01T00:00:01.5Z,10.5,11,10,10.75,3")
    assert "is 0.500001 s after the row before, no multiple" in refusal(write_csv(tmp_path / "b.csv", rows))


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([MILLISECONDS]),
        pl.Series([float(MILLISECONDS)]),
        pl.Series([START]),
        pl.Series([MOMENT]).cast(pl.Datetime("ms", "UTC")),
        pl.Series([MOMENT]).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Kolkata"),
        pl.Series([MOMENT]).cast(pl.Datetime("us", "UTC")).dt.replace_time_zone(None),
        pl.Series([date(2022, 1, 1)]),
        pl.Series(["2022-01-01T00:00:00Z"]),
        pl.Series(["2022-01-01T00:00:00Z"]).cast(pl.Categorical),
    ],
    ids=lambda times: str(times.dtype),
)
def test_types_of_one_time(tmp_path: Path, times: pl.Series) -> None:
    path = tmp_path / "a.parquet"
    amounts = {name: [10] for name in HEADER.split(",")[1:]}
    pl.DataFrame({"open_time": times, **amounts}).write_parquet(path)
    assert read_candles(path).open_times.tolist() == [START]


@pytest.mark.parametrize(
    ("times", "what"),
    [
        (pl.Series([START * 1_000 + 1]).cast(pl.Datetime("ns")), "finer than a microsecond"),
        (pl.Series([2**62]).cast(pl.Datetime("ms")), "not from 1970 to 2200"),
        (pl.Series([START + 0.5]), "not a whole number"),
        (pl.Series([float("nan")]), "not a whole number"),
        (pl.Series([2**63], dtype=pl.UInt64), "out of range"),
    ],
)
def test_bad_times_in_parquet_are_refused(tmp_path: Path, times: pl.Series, what: str) -> None:
    path = tmp_path / "a.parquet"
    amounts = {name: [10] for name in HEADER.split(",")[1:]}
    pl.DataFrame({"open_time": times, **amounts}).write_parquet(path)
    message = refusal(path)
    assert message.startswith(": row 1: ")
    assert what in message


def test_each_kline_row_is_judged_by_its_own_magnitude(tmp_path: Path) -> None:
    path = tmp_path / "klines.csv"
    new_year = 1_735_689_600_000
    lines = [kline(new_year - 60_000), kline(new_year * 1_000), kline(new_year * 1_000 + MINUTE)]
    path.write_text("\n".join(lines))
    tape = read_candles(path)
    assert tape.open_times.tolist() == [new_year * 1_000 + number * MINUTE for number in (-1, 0, 1)]
    assert tape.gaps.count == 0


# --- interval and gaps -----------------------------------------------------------------------------------------------


def test_gaps_are_counted(tmp_path: Path) -> None:
    tape = read_candles(write_csv(tmp_path / "a.csv", minutes(0, 1, 2, 5, 6, 7, 9)))
    assert tape.interval == MINUTE
    assert (tape.gaps.count, tape.gaps.longest) == (2, 3 * MINUTE)
    assert [(gap.since - START, gap.until - START) for gap in tape.gaps.first] == [
        (2 * MINUTE, 5 * MINUTE),
        (7 * MINUTE, 9 * MINUTE),
    ]


def test_one_candle_has_no_interval_unless_given(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", minutes(0))
    assert read_candles(path).interval == 0
    assert read_candles(path, interval=MINUTE).interval == MINUTE
