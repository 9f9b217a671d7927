"""What requests are made of: names, amounts as decimal text, and their limits."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from domain.errors import InputError
from domain.values import Time, parse_time

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
SYMBOL_PATTERN = r"^[A-Za-z0-9]{1,20}/[A-Za-z0-9]{1,20}$"
BIGINT_MAX = 2**63 - 1


class Body(BaseModel):
    """A request's body: what is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


def _plain(text: str) -> str:
    """Text that Postgres and a terminal can take."""
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def _whole(secret: SecretStr) -> SecretStr:
    """Text that can be hashed: JSON can write half of a surrogate pair, which has no bytes."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("must be whole characters") from None
    return secret


def _time(text: str) -> str:
    try:
        parse_time(text)
    except InputError as error:
        raise ValueError(str(error)) from None
    return text


def time_of(text: str) -> Time:
    """The time of a text that is a `TimeText`."""
    return parse_time(text)


UserName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$"), Field(description="Lower case, at most 64.")
]
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NameInPath = Annotated[str, Path(pattern=NAME_PATTERN)]
OrderInPath = Annotated[int, Path(ge=1, le=BIGINT_MAX)]
Symbol = Annotated[str, StringConstraints(pattern=SYMBOL_PATTERN), Field(examples=["BTC/USDT"])]
Asset = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,20}$")]
AmountText = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,20}(\.[0-9]{1,18})?$"),
    Field(description="A decimal amount as text, exact.", examples=["0.01"]),
]
"""Zero or above; digits only, so never NaN, an exponent or a sign."""
TimeText = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(_time),
    Field(description="ISO 8601 with its offset.", examples=["2026-01-01T00:00:00Z"]),
]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain)]
Password = Annotated[
    SecretStr, Field(min_length=12, max_length=128, description="12 to 128 characters."), AfterValidator(_whole)
]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=512), AfterValidator(_whole)]
