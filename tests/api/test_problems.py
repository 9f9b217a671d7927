"""Every error is a problem document that says what is allowed and nothing of the inside; no input makes a 5xx."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.problems import clean
from domain.errors import StoreError
from infrastructure.event_store.database import Database
from infrastructure.projection_stops import note_stop
from infrastructure.settings import Settings
from projections.fills import FILLS
from tests.api.server import Server, problem_of, serving


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        served.open_account()
        served.create_bot()
        yield served


def test_nothing_here_and_not_so(server: Server) -> None:
    assert problem_of(server.get("/nothing"), 404)["code"] == "NOT_FOUND"
    answer = server.ask("PUT", "/auth/login")
    assert problem_of(answer, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b'{"name": 1' + b"0" * 5000 + b"}", b'{"a": NaN}', b""]
)
def test_what_is_not_json_is_said(server: Server, body: bytes) -> None:
    headers = {**server.headers, "Content-Type": "application/json"}
    answer = server.client.post("/api/v1/accounts", content=body, headers=headers)
    assert answer.status_code in {400, 422}
    problem_of(answer, answer.status_code)


def test_a_body_is_a_mebibyte_at_most(server: Server) -> None:
    problem_of(server.client.post("/api/v1/accounts", content=b"x" * ((1 << 20) + 1), headers=server.headers), 413)


def test_an_error_never_repeats_what_was_sent(server: Server) -> None:
    answer = server.post("/auth/login", {"name": "canary name", "password": ["canary-password"], "canary": 1})
    document = problem_of(answer, 422)
    assert "canary-password" not in answer.text
    assert {error["where"] for error in document["errors"]} == {"body.name", "body.password", "body.canary"}


@pytest.mark.parametrize("key", ["\ud800", "\0", "a" * 5000, "\u202e"])
def test_strange_keys_are_named_as_they_can_be(server: Server, key: str) -> None:
    body = {"name": "x", "mode": "paper", "balances": {key: "1"}}
    answer = server.post("/accounts", body)
    problem_of(answer, 422)
    assert len(answer.text) < 5000


def test_what_nobody_foresaw_says_nothing_of_the_inside(
    database: Database, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(database, Settings(home=home))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("canary")

    @app.get("/store")
    def store() -> None:
        raise StoreError("canary: postgresql://canary@host")

    with TestClient(app) as client, caplog.at_level(logging.ERROR):
        assert problem_of(client.get("/broken"), 500)["code"] == "UNEXPECTED"
        unavailable = client.get("/store")
    assert problem_of(unavailable, 503)["code"] == "STORE_UNAVAILABLE"
    assert "retry-after" in unavailable.headers
    assert "canary" not in unavailable.text
    assert "unexpected RuntimeError" in caplog.text
    assert "in broken" in caplog.text
    assert "RuntimeError: canary" not in caplog.text


def test_health(database: Database, home: Path) -> None:
    alive, halted = True, None
    settings = Settings(home=home)
    app = create_app(database, settings, worker_alive=lambda: alive, worker_halted=lambda: halted)
    with TestClient(app) as client:
        assert client.get("/health/live").json() == {"status": "ok"}
        assert client.get("/health/ready").json() == {"status": "ok"}
        note_stop(database, FILLS, 7, "projection fills stopped at position 8 of run 1: planted")
        ready = client.get("/health/ready")
        assert ready.status_code == 200, "trading goes on"
        stop = {"projection": "fills", "schema_version": 1, "position": 7}
        reason = "projection fills stopped at position 8 of run 1: planted"
        assert ready.json() == {"status": "degraded", "stopped": [{**stop, "reason": reason}]}
        halted = "canary: no space left on device"
        assert problem_of(client.get("/health/ready"), 503)["code"] == "WORKER_HALTED"
        assert "canary" not in client.get("/health/ready").text
        alive = False
        assert problem_of(client.get("/health/ready"), 503)["code"] == "WORKER_STOPPED"


def test_only_named_origins_may_call(database: Database, home: Path) -> None:
    asked = {"Origin": "https://desk.example", "Access-Control-Request-Method": "POST"}
    with TestClient(create_app(database, Settings(home=home))) as client:
        assert "access-control-allow-origin" not in client.options("/api/v1/auth/login", headers=asked).headers
    with TestClient(create_app(database, Settings(home=home), origins=["https://desk.example"])) as client:
        allowed = client.options("/api/v1/auth/login", headers=asked).headers
        assert allowed["access-control-allow-origin"] == "https://desk.example"
        other = client.options("/api/v1/auth/login", headers={**asked, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_openapi_has_examples_and_problems(server: Server) -> None:
    document = server.get("/openapi.json").json()
    assert "Problem" in document["components"]["schemas"]
    commands = [
        (path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in {"post", "put", "patch"}
    ]
    assert len(commands) > 20
    for path, operation in commands:
        assert "#/components/schemas/Problem" in json.dumps(operation["responses"]["429"]), path
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert example_of(document, content), path


def example_of(document: dict[str, Any], content: dict[str, Any]) -> bool:
    if "example" in content or content["schema"] == {"type": "string"}:
        return True
    schemas = content["schema"].get("anyOf", [content["schema"]])
    names = [schema["$ref"].rpartition("/")[2] for schema in schemas if "$ref" in schema]
    return all("examples" in document["components"]["schemas"][name] for name in names) and bool(names)


@pytest.mark.parametrize("text", ["a\ud800b", "a\0b", "x" * 10_000])
def test_any_text_can_be_answered(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert len(cleaned) <= 520


def test_every_route_asks_who_it_is(server: Server) -> None:
    open_to_all = {"/auth/login", "/auth/refresh"}
    server.headers = {}
    asked = 0
    for path, item in server.get("/openapi.json").json()["paths"].items():
        short = path.removeprefix("/api/v1")
        if short == path or short in open_to_all:
            continue
        for method in item:
            filled = short.replace("{instrument}", "BTC-USDT").replace("{", "").replace("}", "")
            answer = server.ask(method.upper(), filled, {} if method != "get" else None)
            assert answer.status_code == 401, (method, path, answer.status_code)
            asked += 1
    assert asked > 30
