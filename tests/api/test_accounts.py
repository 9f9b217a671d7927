"""Accounts by request: opened whole, listed, paid in; and what an idempotency key does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.event_store.database import Database
from infrastructure.inbox import Inbox
from infrastructure.worker import paper_run
from tests.api.server import INSTRUMENT, Server, problem_of, serving, tags

ACCOUNT = {
    "name": "main",
    "mode": "paper",
    "kind": "spot",
    "balances": {"USDT": "10000.5"},
    "instruments": [INSTRUMENT],
}


@pytest.fixture
def server(database: Database, home: Path) -> Iterator[Server]:
    with serving(database, home) as served:
        yield served


def test_an_account_is_opened_with_what_it_trades_and_has(server: Server) -> None:
    answer = server.post("/accounts", ACCOUNT)
    assert answer.status_code == 201
    assert tags(answer) == [
        "account.opened.v1", "execution_pool.opened.v1", "account.instrument_listed.v1", "account.cash_deposited.v1",
    ]  # fmt: skip
    events = answer.json()["events"]
    pool = events.pop(1)
    assert (pool["actor"], pool["stream"]) == ("core", "execution_pool/main")
    assert {event["actor"] for event in events} == {"user:admin"}
    assert {event["stream"] for event in events} == {"account/main"}
    assert events[-1]["data"] == {"account": "main", "asset": "USDT", "amount": "10000.5"}
    assert events[-1]["position"] == answer.json()["position"]
    assert problem_of(server.post("/accounts", ACCOUNT), 409)["code"] == "ACCOUNT_EXISTS"


def test_only_paper_accounts_are_opened(server: Server) -> None:
    detail = problem_of(server.post("/accounts", {**ACCOUNT, "mode": "live"}), 422)["detail"]
    assert "this server trades on paper only" in detail


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"balances": {"USDT": "0.000000001"}}, "balances.USDT"),
        ({"balances": {"USDT": "0"}}, "balances.USDT"),
        ({"balances": {"USDT": "100000000.1"}}, "100000000 USDT"),
        ({"balances": {"USDT": "NaN"}}, "balances.USDT"),
        ({"balances": {"USDT": "1e5"}}, "balances.USDT"),
        ({"balances": {"USDT": 5.5}}, "balances.USDT"),
        ({"balances": {"U\0": "5"}}, "balances"),
        ({"instruments": [{**INSTRUMENT, "tick": "0"}]}, "tick"),
        ({"instruments": [{**INSTRUMENT, "maker_fee": "0.2"}]}, "instruments[0].maker_fee"),
        ({"instruments": [{**INSTRUMENT, "symbol": "BTCUSDT"}]}, "symbol"),
        ({"instruments": [{**INSTRUMENT, "min_notional": "99999999999999999999"}]}, "instruments[0]"),
        ({"instruments": [INSTRUMENT, INSTRUMENT]}, "twice"),
        ({"name": "a/b"}, "name"),
        ({"kind": "futures"}, "kind"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_account_is_refused_by_name(server: Server, change: dict[str, object], named: str) -> None:
    assert named in problem_of(server.post("/accounts", {**ACCOUNT, **change}), 422)["detail"]
    assert Inbox(server.database).rows(0, 1) == []


def test_an_instrument_is_listed_later_and_keeps_its_quanta(server: Server) -> None:
    server.open_account()
    ether = {**INSTRUMENT, "symbol": "ETH/USDT"}
    assert tags(server.post("/accounts/main/instruments", ether)) == ["account.instrument_listed.v1"]
    assert problem_of(server.post("/accounts/main/instruments", ether), 409)["code"] == "INSTRUMENT_LISTED"
    problem_of(server.post("/accounts/other/instruments", ether), 404)
    server.post("/accounts", {"name": "other", "mode": "paper"})
    finer = problem_of(server.post("/accounts/other/instruments", {**ether, "tick": "0.001"}), 409)
    assert finer["code"] == "INSTRUMENT_DIFFERENT"
    coarser = server.post("/accounts/other/instruments", {**ether, "tick": "0.5"})
    assert coarser.json()["events"][0]["data"]["instrument"]["price_scale"] == 2


def test_money_is_paid_in(server: Server) -> None:
    server.open_account()
    paid = server.post("/accounts/main/deposits", {"asset": "USDT", "amount": "0.00000001"})
    assert paid.json()["events"][0]["data"]["amount"] == "0.00000001"
    problem_of(server.post("/accounts/main/deposits", {"asset": "USDT", "amount": "99999999"}), 422)
    problem_of(server.post("/accounts/nobody/deposits", {"asset": "USDT", "amount": "1"}), 404)


def test_a_key_makes_a_repeat_the_same_request(server: Server) -> None:
    first = server.post("/accounts", ACCOUNT, Idempotency_Key="one")
    again = server.post("/accounts", ACCOUNT, Idempotency_Key="one")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len(Inbox(server.database).rows(0, 10)) == 3
    other = server.post("/accounts", {**ACCOUNT, "name": "other"}, Idempotency_Key="one")
    assert problem_of(other, 422)["code"] == "IDEMPOTENCY_KEY_REUSED"
    problem_of(server.post("/accounts", ACCOUNT, Idempotency_Key="a/1"), 422)


def test_a_key_counts_for_its_user_only(server: Server) -> None:
    server.open_account()
    deposit = {"asset": "USDT", "amount": "1"}
    assert server.post("/accounts/main/deposits", deposit, Idempotency_Key="one").status_code == 201
    server.add_user("ada", "trader")
    server.act_as("ada")
    answer = server.post("/accounts/main/deposits", deposit, Idempotency_Key="one")
    assert answer.json()["events"][0]["actor"] == "user:ada"


def test_a_refused_request_binds_no_key(server: Server) -> None:
    problem_of(server.post("/accounts/main/deposits", {"asset": "USDT", "amount": "1"}, Idempotency_Key="one"), 404)
    assert server.post("/accounts", ACCOUNT, Idempotency_Key="one").status_code == 201


def test_what_takes_long_is_accepted(database: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.asking.WAIT_SECONDS", 0.1)
    with serving(database, home, worker=False) as server:
        paper_run(database)
        answer = server.open_account()
    assert answer.status_code == 202
    assert answer.json() == {"row": 3, "status": "pending"}


def test_without_a_run_there_is_nothing_to_command(database: Database, home: Path) -> None:
    with serving(database, home, worker=False) as server:
        assert problem_of(server.open_account(), 503)["code"] == "RUN_MISSING"
