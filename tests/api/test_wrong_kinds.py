"""Every field of every documented body, and each body itself, replaced by what it must not be: refused, never a failure."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from infrastructure.event_store.database import Database
from tests.api.server import Server, serving

WRONG: list[Any] = [[], {}, [[]], None, True, 1.5, -(10**30), "", "\0", "\ud800" * 20, "é" * 3000, {"a": ["b"]}]


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as server:
        yield server


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(method, path, body) of every operation that takes JSON, as documented; `{name}` in a path is left there."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            for choice in [schema, *schema.get("anyOf", [])]:
                named = document["components"]["schemas"].get(choice.get("$ref", "").rpartition("/")[2], {})
                if "examples" in named:
                    yield method.upper(), path, named["examples"][0]


def spoiled(body: Any) -> Iterator[Any]:
    """The body with one thing in it wrong, however deep."""
    yield from WRONG
    for key in body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ():
        for wrong in spoiled(body[key]):
            changed = deepcopy(body)
            changed[key] = wrong
            yield changed


def test_what_is_of_the_wrong_kind_is_refused_by_name(server: Server) -> None:
    server.open_account("main")
    server.create_bot("dca")
    operations = list(examples(server.get("/openapi.json").json()))
    assert len(operations) >= 12, operations
    for number, (method, path, body) in enumerate(operations):
        named = path.removeprefix("/api/v1").format_map(Names())
        for count, wrong in enumerate(spoiled(body)):
            if count % 500 == 0:  # a user may ask so often in a minute
                server.add_user(f"user-{number}-{count}", "admin")
                server.act_as(f"user-{number}-{count}")
            answer = server.ask(method, named, wrong)
            assert answer.status_code < 500, (method, named, wrong, answer.text)


class Names(dict[str, str]):
    """What stands for a name in a path."""

    def __missing__(self, name: str) -> str:
        return {"account": "main", "bot": "dca", "instrument": "BTC-USDT"}.get(name, "1")
