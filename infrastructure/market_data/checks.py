"""What is wrong with a table, said of its earliest bad row."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.errors import InputError
from domain.values import decimal_text
from infrastructure.market_data.amounts import RowError
from infrastructure.market_data.columns_file import Integers
from infrastructure.market_data.sources import Source

T = TypeVar("T")
Check = tuple[NDArray[np.bool_], Callable[[int], str]]
"""The rows that are wrong, and what is wrong with one."""


def read_column(source: Source, name: str, read: Callable[[pl.Series], T], errors: list[RowError]) -> T | None:
    """A column as `read` makes it; None where it refuses a row, which `errors` keeps."""
    try:
        return read(source.frame[name])
    except RowError as error:
        errors.append(error)
        return None
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from None


def raise_first(source: Source, errors: Sequence[RowError]) -> None:
    """Raise what was found in the earliest row, if anything was."""
    if errors:
        first = min(errors, key=lambda error: error.row)
        raise source.error(first.row, first.what)


def refuse_first(source: Source, checks: Sequence[Check]) -> None:
    """Raise the error of the earliest row that a check finds."""
    found = [(int(mask.argmax()), describe) for mask, describe in checks if mask.any()]
    if found:
        row, describe = min(found, key=lambda each: each[0])
        raise source.error(row, describe(row))


def positive(name: str, column: Integers, scale: int) -> Check:
    return column <= 0, lambda row: f"{name} {amount_text(column, row, scale)} is not above 0"


def amount_text(column: Integers, row: int, scale: int) -> str:
    """A row's amount as decimal text."""
    return decimal_text(int(column[row]), scale)
