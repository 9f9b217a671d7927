"""A delivery's body as JSON, its texts and its numbers: what is wrong with it is said by key and code.

Numbers are exact: JSON numbers are read as decimals, never as floats.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from domain.errors import InputError
from domain.values import parse_decimal

Content = Mapping[str, Any]
"""A JSON object, numbers as Decimal."""

TEXT_MAX = 200
BRACKETS_MAX = 100
"""So that a body's verdict does not depend on how deep a stack its reader has."""


class MalformedAlertError(InputError):
    """The body is not an alert; `code` is for machines, the message for people, `key` is the key at fault."""

    def __init__(self, code: str, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.key = key


def read_object(body: str) -> dict[str, Any]:
    """The JSON object that a body is; raises MalformedAlertError."""
    if body.count("[") + body.count("{") > BRACKETS_MAX:
        raise MalformedAlertError("TOO_NESTED", f"the body has more than {BRACKETS_MAX} brackets")
    try:
        content = _JSON.decode(body)
    except MalformedAlertError:
        raise
    except (ValueError, ArithmeticError):
        # The parser's own words are not the same in every version, and what is recorded must be.
        raise MalformedAlertError("NOT_JSON", "the body is not JSON") from None
    if not isinstance(content, dict):
        raise MalformedAlertError("NOT_AN_OBJECT", "the body is not a JSON object")
    return content


def text_of(content: Content, key: str, *, required: bool = True) -> str:
    """A key's text, stripped; a number is text too. `""` where it is missing and may be."""
    value = content.get(key)
    if value is None and not required:
        return ""
    if value is None:
        raise MalformedAlertError("FIELD_MISSING", f"{key} is missing", key)
    if isinstance(value, bool) or not isinstance(value, _TEXT_OR_NUMBER):
        raise MalformedAlertError("FIELD_INVALID", f"{key} is not text", key)
    text = str(value).strip()
    if len(text) > TEXT_MAX or not text.isprintable() or (required and not text):
        raise MalformedAlertError("FIELD_INVALID", f"{key} must be 1 to {TEXT_MAX} printable characters", key)
    return text


def number_of(content: Content, key: str, code: str) -> Decimal | None:
    """A key's number, None where it is missing; `code` is the verdict on what is none."""
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, _TEXT_OR_NUMBER):
        raise MalformedAlertError(code, f"{key} is not a number", key)
    try:
        return parse_decimal(value)
    except InputError as error:
        raise MalformedAlertError(code, f"{key} {str(error)[:TEXT_MAX]}", key) from None


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedAlertError("NUMBER_NOT_FINITE", f"{name} is not a number")


_JSON = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant)
"""Made once: `json.loads` with these makes one for every alert."""
_TEXT_OR_NUMBER = (str, int, Decimal)
