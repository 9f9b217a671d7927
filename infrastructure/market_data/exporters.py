"""Tapes leave as the decimals that they came as: CSV text, or Parquet with Decimal columns."""

from pathlib import Path

import polars as pl

from domain.errors import InputError
from infrastructure.market_data.atomic_file import written_whole
from infrastructure.market_data.columns_file import Integers, integers
from infrastructure.market_data.tape import Tape

_PRECISION = 38
_SECOND = 1_000_000


def export_tape(tape: Tape, path: Path) -> None:
    """Write the candles as `path` says, .csv or .parquet; what is there is replaced. Importing it gives the same tape."""
    kind = path.suffix.lower()
    if kind not in {".csv", ".parquet"}:
        raise InputError(f"{path} is of no known kind; allowed are .csv and .parquet")
    if path.is_dir():
        raise InputError(f"{path} is a folder")
    frame = decimal_frame(tape)
    with written_whole(path) as part:
        if kind == ".csv":
            frame.with_columns(_time_texts(frame["open_time"])).write_csv(part)
        else:
            scales = {name: tape.volume_scale if name == "volume" else tape.price_scale for name in frame.columns[1:]}
            frame.with_columns(
                pl.col(name).cast(pl.Decimal(_PRECISION, scale)) for name, scale in scales.items()
            ).write_parquet(part)


def decimal_frame(tape: Tape) -> pl.DataFrame:
    """Open times as datetimes, amounts as decimal text."""
    amounts = {name: column for name, column in tape.columns.items() if name != "open_time"}
    return pl.DataFrame(
        [pl.Series("open_time", integers(tape.open_times)).cast(pl.Datetime("us", "UTC"))]
        + [
            _decimal_texts(name, integers(column), tape.volume_scale if name == "volume" else tape.price_scale)
            for name, column in amounts.items()
        ]
    )


def _decimal_texts(name: str, quanta: Integers, scale: int) -> pl.Series:
    """Quanta, none below 0, as `decimal_text` writes them."""
    text = pl.Series(name, quanta).cast(pl.String)
    if scale == 0:
        return text
    text = text.str.zfill(scale + 1)
    number = text.str.head(-scale) + "." + text.str.tail(scale)
    return number.str.strip_chars_end("0").str.strip_chars_end(".").alias(name)


def _time_texts(times: pl.Series) -> pl.Series:
    whole = (times.to_physical() % _SECOND == 0).all()
    return times.dt.strftime("%Y-%m-%dT%H:%M:%SZ" if whole else "%Y-%m-%dT%H:%M:%S.%6fZ")
