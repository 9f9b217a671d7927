"""Parquet files of int64 columns with one header: how every tape is stored.

polars' writer takes no encoding per column, so DELTA_BINARY_PACKED is out of reach; plain pages under zstd take 9 MB and
30 ms a year of minutes. The header is a key in the Parquet footer, not a file beside it: one rename publishes both.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PanicException, PolarsError

from domain.errors import InputError, MissingError
from infrastructure.market_data.atomic_file import written_whole
from infrastructure.market_data.columns_file import integers, view

HEADER_KEY = "truetape"
# A damaged file can make polars' reader panic, which is no Exception.
UNREADABLE = (PolarsError, PanicException, OSError)


def write_columns(path: Path, columns: Mapping[str, memoryview], header: bytes) -> None:
    """Write a tape file, whole or not at all."""
    frame = pl.DataFrame({name: integers(column) for name, column in columns.items()})
    with written_whole(path) as part:
        frame.write_parquet(part, metadata={HEADER_KEY: header.decode()}, row_group_size=max(1, frame.height))


def header_of(source: Path | bytes) -> bytes | None:
    """The header in a Parquet file, None where it has none; raises what `UNREADABLE` names."""
    # Bytes, never a path: polars reads `*` and `[` in a path as a pattern.
    raw = source if isinstance(source, bytes) else _footer(source)
    header = pl.read_parquet_metadata(BytesIO(raw)).get(HEADER_KEY)
    return None if header is None else header.encode()


def read_header(path: Path) -> bytes:
    """The header of a tape file, without its columns."""
    try:
        header = header_of(path)
    except FileNotFoundError:
        raise MissingError(f"{path}: there is no such tape") from None
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if header is None:
        raise InputError(f"{path} is a Parquet file, but no tape")
    return header


def read_columns(path: Path, names: Sequence[str]) -> dict[str, memoryview]:
    """The columns of a tape file, which must be these and int64."""
    try:
        raw = path.read_bytes()
        frame = pl.read_parquet(BytesIO(raw))
    except FileNotFoundError:
        raise MissingError(f"{path}: there is no such tape") from None
    except UNREADABLE as error:
        raise unreadable(path, error) from None
    if frame.columns != list(names) or any(dtype != pl.Int64 for dtype in frame.dtypes):
        raise InputError(f"{path} was changed: its columns are not {', '.join(names)} of int64")
    if any(frame.null_count().row(0)):
        raise InputError(f"{path} was changed: it has missing values")
    return {name: view(frame[name].rechunk().to_numpy()) for name in names}


def unreadable(path: Path, error: BaseException) -> InputError:
    """What to say of a Parquet file that cannot be read."""
    reason: Any = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return InputError(f"{path} cannot be read as Parquet: {reason}")


def _footer(path: Path) -> bytes:
    """The file's end with the footer, so that a listing does not read whole tapes."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(4), "little") + 8
        file.seek(max(0, size - length))
        return file.read()
