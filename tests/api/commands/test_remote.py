"""The commands that talk to a running server: `login`, `account`, `bot`, `webhook`, `order`, `kill`, `as-of`, `tail`."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.commands.as_of import LISTS
from api.following import Following
from api.logins import Login, Logins
from api.remote import Remote
from infrastructure.access import Access
from infrastructure.event_store.database import Database
from tests.api.commands.living import Living, living
from tests.api.server import PASSWORD
from tests.api.stage import Ended, command, environment, run, run_apart


@pytest.fixture
def server(database: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Living]:
    """A server with somebody who is logged in."""
    with living(database, home) as made:
        monkeypatch.setenv("TRUETAPE_URL", made.url)
        monkeypatch.setenv("TRUETAPE_USER", "admin")
        monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
        assert run("login").code == 0
        monkeypatch.delenv("TRUETAPE_PASSWORD")
        yield made


@pytest.fixture
def desk(server: Living) -> Living:
    """The same with an account, a price, and a bot that runs."""
    assert server.open_account().code == 0
    server.push("50000", "50000")
    assert server.create_bot().code == 0
    assert run("bot", "start", "dca").code == 0
    return server


def kept(server: Living) -> Login:
    found = Logins(server.home).find(server.url)
    assert found is not None
    return found


def names(ended: Ended) -> list[str]:
    """The events that a command with `--json` caused."""
    return [line["event"].split(".")[1] for line in ended.json["events"]]


def sees(done: Any, *words: object) -> Any:
    """What a command prints as JSON, once it satisfies: reads follow the log by a moment."""
    for _ in range(100):
        found = run(*words, "--json").json
        if done(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


# --- login -----------------------------------------------------------------------------------------------------------


def test_a_login_is_its_owners_and_has_no_password(server: Living) -> None:
    path = server.home / "logins.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()
    assert [each.name for each in server.home.iterdir() if each.name.startswith(".logins.json")] == []


def test_an_access_token_near_its_end_is_renewed_and_one_that_counts_is_not(server: Living) -> None:
    first = kept(server)
    assert run("account", "list").code == 0
    assert kept(server) == first
    Logins(server.home).keep(server.url, msgspec.structs.replace(first, expires_at=time.time() + 30))
    assert run("account", "list").code == 0
    renewed = kept(server)
    assert renewed.refresh_token != first.refresh_token
    Logins(server.home).keep(server.url, msgspec.structs.replace(renewed, access_token="no token of yours"))
    assert run("account", "list").code == 0, "a token that the server does not take is renewed too"


def test_a_login_that_has_ended_says_how_to_go_on(server: Living) -> None:
    Access(server.database).change_user("test", "admin", password=None, role="admin", disabled=None)
    tokens = kept(server)
    assert run("logout", "--json").json == {"url": server.url}
    Logins(server.home).keep(server.url, tokens)
    ended = run("account", "list")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: the login of admin at {server.url} has ended: truetape login\n"
    assert run("account", "list").err == f"error: not logged in at {server.url}: truetape login\n"


def test_login_asks_and_reads_what_it_is_given(server: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUETAPE_USER")
    done = subprocess.run(
        command("login", "--json"), input=f"{PASSWORD}\n", env=environment(), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"url": server.url, "user": "admin", "role": "admin"}
    for given, said in (("wrong\n", "LOGIN_REFUSED"), ("", "TRUETAPE_PASSWORD")):
        refused = subprocess.run(
            command("login"), input=given, env=environment(), capture_output=True, text=True, check=False
        )
        assert (refused.returncode, refused.stdout) == (2, "")
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_a_token_goes_to_its_own_server_only(server: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(dict(self.headers))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        do_POST = do_GET  # noqa: N815  (the library's name)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
            """No lines among a test's."""

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        monkeypatch.setenv("TRUETAPE_URL", f"http://127.0.0.1:{other.server_port}")
        try:
            assert "not logged in" in run("bot", "list").err
            assert heard == []
            monkeypatch.setenv("TRUETAPE_PASSWORD", "canary")
            assert "not as Truetape does" in run("login").err
        finally:
            other.shutdown()
            thread.join()
    assert len(heard) == 1
    assert server.url != os.environ["TRUETAPE_URL"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://127.0.0.1", "http://"), ("nonsense", "http://"), ("http://user:hush@here", "http://"),
        ("http://127.0.0.1:x", "http://"),
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense(url: str, said: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUETAPE_URL", url)
    ended = run("account", "list")
    assert (ended.code, said in ended.err, "hush" in ended.err) == (2, True, False)
    assert list(home.iterdir()) == []


def test_where_no_server_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("TRUETAPE_PORT", str(free.getsockname()[1]))
    url = f"http://127.0.0.1:{os.environ['TRUETAPE_PORT']}"
    Logins(home).keep(url, Login("admin", "ttr_x", "x", time.time() + 900))
    for words in (["account", "list"], ["kill", "--all"], ["events", "tail"]):
        ended = run(*words)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
        assert url in ended.err
    assert "make run" in run("account", "list").err
    monkeypatch.setenv("TRUETAPE_USER", "admin")
    monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
    assert f"no server answers at {url}" in run("login").err


# --- what a trader does ----------------------------------------------------------------------------------------------


def test_from_an_account_to_a_fill_and_back(desk: Living) -> None:
    assert "main" in run("account", "list").out
    placed = run("order", "place", "main", "buy", "0.01", "BTC/USDT", "--json")
    assert (placed.code, names(placed)) == (0, ["order_intended", "risk_passed", "order_accepted"])
    before = placed.json["position"]
    desk.push("50000")
    account = sees(lambda found: found["positions"], "account", "show", "main")
    assert account["positions"][0]["quantity"] == "0.01"
    assert account["portfolio"][0]["cash"] == "9499.5"
    shown = run("account", "show", "main").out
    assert "9,499.5" in shown
    assert "BTC/USDT" in shown
    then = run("as-of", before, "--json").json
    assert then["as_of"]["position"] == before
    assert (then["portfolio"][0]["cash"], then["positions"]) == ("10000", [])
    assert [order["status"] for order in then["orders"]] == ["ACCEPTED"]
    assert f"as of position {before}" in run("as-of", before).out
    at = run("as-of", account["account"]["opened_at"], "--json").json["as_of"]["position"]
    assert at >= 1
    ended = run("as-of", "yesterday")
    assert (ended.code, "ISO 8601" in ended.err) == (2, True)
    for view in LISTS:
        rows = run("as-of", view, before, "--json").json
        assert rows["as_of"]["position"] == before
        assert bool(rows[view]) == (view in {"accounts", "bots", "orders", "portfolio", "positions"})
        assert run("as-of", view, before).code == 0
    ended = run("as-of", "moods", before)
    assert (ended.code, ended.err) == (2, f"error: there is no view 'moods'; allowed: {', '.join(LISTS)}\n")


def test_orders_rest_and_are_cancelled(desk: Living) -> None:
    placed = run("order", "place", "main", "buy", "0.001", "BTC/USDT", "--limit", "40000", "--json").json
    number = placed["events"][0]["data"]["order"]
    (resting,) = sees(len, "order", "list", "--status", "open")
    assert (resting["type"], resting["limit"]) == ("limit", "40000")
    assert "limit 40,000" in run("order", "list", "--account", "main").out
    assert names(run("order", "cancel", "main", number, "--json"))[0] == "cancel_requested"
    sees(lambda found: not found, "order", "list", "--status", "open")
    again = run("order", "cancel", "main", number)
    assert (again.code, again.out.split(":")[0], again.err) == (1, "refused ORDER_NOT_WORKING", "")
    assert desk.url


def test_a_refusal_is_a_result_with_its_code_and_its_events(desk: Living) -> None:
    words = ("order", "place", "main", "buy", "0.00001", "BTC/USDT", "--limit", "40000")
    ended = run(*words)
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.startswith("refused NOTIONAL_BELOW_MINIMUM: notional=0.4, minimum=5\n")
    assert "order_denied" in ended.out
    told = run(*words, "--json")
    assert (told.code, told.json["code"], names(told)[-1]) == (1, "NOTIONAL_BELOW_MINIMUM", "order_denied")
    for wrong, said in (
        (("order", "place", "none", "buy", "1", "BTC/USDT"), "NOT_FOUND"),
        (("order", "place", "main", "buy", "x", "BTC/USDT"), "quantity"),
        (("bot", "show", "none"), "none"),
        (("bot", "start", "a/../b"), "NOT_FOUND"),
    ):
        ended = run(*wrong)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
    assert desk.url


def test_a_bot_lives(desk: Living) -> None:
    sees(lambda found: found[0]["status"] == "running", "bot", "list")
    for what, event in (("pause", "paused"), ("resume", "resumed"), ("stop", "stopped")):
        ended = run("bot", what, "dca", "--json")
        assert (ended.code, names(ended)) == (0, [event])
    assert run("bot", "stop", "dca").code == 1
    sees(lambda found: found["bot"]["status"] == "stopped", "bot", "show", "dca")
    assert "stopped" in run("bot", "show", "dca").out
    assert names(run("bot", "delete", "dca", "--json")) == ["deleted"]
    sees(lambda found: found[0]["status"] == "deleted", "bot", "list")
    assert "no bots" in run("bot", "list").out
    desk.config.write_text(desk.config.read_text().replace('capital = "1000"', 'capital_pct_of_equity = "5"', 1))
    assert desk.create_bot("part").code == 0
    Remote().catch_up()
    found = sees(lambda found: "bot" in found, "bot", "show", "part")["bot"]["settings"]
    assert (found["capital"], found["capital_pct_of_equity"]) == (None, "5")
    assert "5% of the equity by market: " in run("bot", "show", "part").out
    desk.config.write_text("[group]\ncapital = -1\nlegs = []\n")
    ended = desk.create_bot("two")
    assert (ended.code, "capital" in ended.err) == (2, True)
    exists = desk.open_account()
    assert (exists.code, exists.out.split(":")[0]) == (1, "refused ACCOUNT_EXISTS")
    for wrong in (["--balance", "USDT"], ["--balance", "USDT=1", "--balance", "USDT=2"], ["--instrument", "BTC/USDT"]):
        assert run("account", "create", "x", *wrong).code == 2


def test_a_webhook_is_shown_once_and_tried(desk: Living) -> None:
    made = run("webhook", "create", "dca", "--json").json
    assert made["address"] == desk.url + made["path"]
    again = run("webhook", "create", "dca")
    assert (again.code, again.out.split(":")[0]) == (1, "refused WEBHOOK_EXISTS")
    for number, address in enumerate((made["address"], made["path"], made["token"]), 1):
        tried = run("webhook", "test", "dca", address, "--json")
        verdict = "accepted" if number == 1 else "refused"
        assert (tried.code, tried.json["delivery"]["verdict"]) == (int(number > 1), verdict)
    assert "GROUP_LIVE" in run("webhook", "test", "dca", made["token"]).out
    rotated = run("webhook", "rotate", "dca", "--json").json
    assert "TOKEN_UNKNOWN" in run("webhook", "test", "dca", made["token"]).err
    for elsewhere in (f"https://elsewhere.example{made['path']}", "nonsense", ""):
        assert run("webhook", "test", "dca", elsewhere or "ttx_1").code == 2
    listed = sees(lambda found: found[0]["last_delivery"], "webhook", "list")
    assert (listed[0]["bot"], listed[0]["webhook"]) == ("dca", rotated["webhook"])
    assert "refused" in run("webhook", "list").out
    assert made["token"] not in run("webhook", "list", "--json").out


def test_kill_and_resume(desk: Living) -> None:
    assert run("order", "place", "main", "buy", "0.01", "BTC/USDT").code == 0
    desk.push("50000")
    killed = run("kill", "--account", "main", "--flatten", "--reason", "news", "--json")
    assert (killed.code, names(killed)[0]) == (0, "trading_halted")
    assert "order_intended" in names(killed), "what is held is sold"
    sees(lambda found: found[0]["halt"], "account", "list")
    assert "halted: news" in run("account", "list").out
    assert run("order", "place", "main", "buy", "0.01", "BTC/USDT").code == 1
    assert names(run("resume", "--account", "main", "--json")) == ["trading_resumed"]
    assert names(run("kill", "--bot", "dca", "--json")) == ["trading_halted"]
    assert names(run("resume", "--bot", "dca", "--json")) == ["trading_resumed"]
    assert names(run("kill", "--all", "--json")) == ["trading_halted"]
    assert names(run("resume", "--all", "--json")) == ["trading_resumed"]
    assert "nothing had to change" in run("resume", "--all").out
    for wrong in ([], ["--all", "--bot", "dca"], ["--bot", "dca", "--account", "main"]):
        ended = run("kill", *wrong)
        assert (ended.code, "one of" in ended.err) == (2, True)


def test_a_command_whose_answer_is_lost_counts_once(desk: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay drops the first answer to each command; the same request goes out again under the same key."""
    dropped: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as relay:

        def serve() -> None:
            while True:
                try:
                    caller, _ = relay.accept()
                except OSError:
                    return
                with caller, socket.create_connection(("127.0.0.1", int(desk.url.rpartition(":")[2]))) as upstream:
                    asked = caller.recv(65_536)
                    while b"\r\n\r\n" not in asked or (b"POST /api/v1/orders" in asked and not asked.endswith(b"}")):
                        asked += caller.recv(65_536)
                    upstream.sendall(asked.replace(b"Host:", b"Connection: close\r\nHost:", 1))
                    answer = b"".join(iter(lambda: upstream.recv(65_536), b""))
                    if b"POST /api/v1/orders" in asked and not dropped:
                        dropped.append(answer.decode())
                    else:
                        caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        through = f"http://127.0.0.1:{relay.getsockname()[1]}"
        Logins(desk.home).keep(through, kept(desk))
        monkeypatch.setenv("TRUETAPE_URL", through)
        placed = run("order", "place", "main", "buy", "0.001", "BTC/USDT", "--limit", "40000", "--json")
        assert placed.code == 0, placed.err
        monkeypatch.setenv("TRUETAPE_URL", desk.url)
        relay.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert "201 Created" in dropped[0]
    assert len(sees(len, "order", "list")) == 1


# --- tail ------------------------------------------------------------------------------------------------------------


def test_tail_tells_the_log_from_a_position(desk: Living) -> None:
    ended = run("events", "tail", "--from", 3, "--limit", 4, "--json")
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert (ended.code, ended.err, [line["position"] for line in lines]) == (0, "", [3, 4, 5, 6])
    logged = {line["position"]: line for line in Remote().items("events")}
    assert [line["data"] for line in lines] == [logged[position] for position in (3, 4, 5, 6)]
    people = run("events", "tail", "--from", 1, "--limit", 3, "--channel", "bots", "--channel", "portfolio").out
    assert len(people.splitlines()) == 3
    assert "equity" in people
    assert "created" in people
    ended = run("events", "tail", "--from", 10**9, "--limit", 1)
    assert (ended.code, "RESUME_AHEAD" in ended.err) == (2, True)
    ended = run("events", "tail", "--channel", "gossip")
    assert (ended.code, "MESSAGE_INVALID" in ended.err) == (2, True)
    assert desk.url


def test_tail_goes_on_after_the_server_was_away(
    database: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUETAPE_USER", "admin")
    monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
    heard: list[dict[str, Any]] = []
    notices: list[str] = []
    wanted = threading.Event()

    def listen() -> None:
        for message in Following(Remote(), ["events", "orders"], 1).messages():
            if isinstance(message, str):
                notices.append(message)
                continue
            heard.append(message)
            if message["data"]["event"] == "bot.stopped.v1":
                wanted.set()
                return

    with living(database, home) as first:
        monkeypatch.setenv("TRUETAPE_URL", first.url)
        assert run("login").code == 0
        assert first.open_account().code == 0
        first.push("50000")
        listener = threading.Thread(target=listen)
        listener.start()
        assert run("order", "place", "main", "buy", "0.001", "BTC/USDT", "--limit", "40000").code == 0
        port = int(first.url.rpartition(":")[2])
    with living(database, home, port) as second:
        assert second.create_bot().code == 0
        assert run("bot", "start", "dca").code == 0
        assert run("bot", "stop", "dca").code == 0
        assert wanted.wait(30)
        listener.join()
        logged = Remote().items("events")
    assert [each["data"] for each in heard if each["channel"] == "events"] == logged
    orders = [each["position"] for each in heard if each["channel"] == "orders"]
    assert len(orders) == len(set(orders)) > 0
    assert [notice.count("going on behind position") for notice in notices] == [1]


def test_tail_as_a_program_prints_at_once(desk: Living) -> None:
    with subprocess.Popen(
        command("events", "tail", "--from", "1", "--json"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["position"] == 1
        process.terminate()
    assert run_apart("account", "list", "--json").json[0]["account"] == "main"
    assert desk.url
