"""What a trader does at the desk: `pool`, `queue`, `offset`, `risk`, `group`, `bot set`, `webhook mapping`, `user`."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.remote import Remote
from infrastructure.event_store.database import Database
from tests.api.commands.living import Living, living
from tests.api.server import PASSWORD
from tests.api.stage import Ended, run

ALERT = {"time": "2026-01-01T00:00:00Z", "action": "buy"}


@pytest.fixture
def desk(database: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Living]:
    """A server with an account on two instruments, a price of each, and a running bot on each."""
    with living(database, home) as made:
        monkeypatch.setenv("TRUETAPE_URL", made.url)
        monkeypatch.setenv("TRUETAPE_USER", "admin")
        monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
        assert run("login").code == 0
        assert made.open_account().code == 0
        done(run("account", "instrument", "main", "ETH/USDT", "--tick", "0.01", "--step", "0.0001"))
        made.push("50000")
        for bot, instrument in (("dca", "BTC/USDT"), ("eth", "ETH/USDT")):
            done(run("bot", "create", bot, "--account", "main", "--instrument", instrument, "--config", made.config))
            done(run("bot", "start", bot))
        yield made


def done(ended: Ended) -> Ended:
    assert (ended.code, ended.err) == (0, ""), ended
    return ended


def names(ended: Ended) -> list[str]:
    return [line["event"].split(".")[1] for line in ended.json["events"]]


def seen(*words: object) -> Ended:
    """What a read prints, all that was commanded before included."""
    Remote().catch_up()
    return done(run(*words))


def refused(ended: Ended, code: str) -> None:
    assert (ended.code, ended.err, ended.out.split(":")[0]) == (1, "", f"refused {code}"), ended


def unable(ended: Ended, *said: str) -> None:
    """Bad input: exit 2, in at most three lines, and nothing on standard output."""
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) <= 3
    assert all(part in ended.err for part in said), ended.err


def alert(bot: str, symbol: str, price: str) -> str:
    """An alert for a bot's new webhook, which is returned once the alert has been taken."""
    made = done(run("webhook", "create", bot, "--json")).json
    Remote().deliver(made["path"], {**ALERT, "symbol": symbol, "price": price})
    done(run("resume", "--bot", bot))  # what comes after it has been carried out
    return str(made["webhook"])


def test_a_setting_is_changed_and_the_others_stay_even_at_once(desk: Living) -> None:
    assert names(done(run("pool", "set", "main", "max_open_groups=3", "--json"))) == ["configured"]
    assert names(done(run("pool", "set", "main", "queue_expiry_minutes=60", "--json"))) == ["configured"]
    settings = seen("pool", "show", "main", "--json").json["settings"]
    assert (settings["version"], settings["max_open_groups"], settings["queue_expiry_minutes"]) == (3, 3, 60)
    assert done(run("pool", "set", "main", "max_open_groups=3")).out == "nothing had to change\n"
    done(run("pool", "set", "main", "queue_expiry_minutes="))
    assert seen("pool", "show", "main", "--json").json["settings"]["queue_expiry_minutes"] is None
    assert "0 of 3 slots in use, 0 signals wait" in run("pool", "show", "main").out
    unable(run("pool", "set", "main", "max_open_groups=0"), "1 to 1000")
    unable(run("pool", "set", "main"), "--config")
    unable(run("pool", "set", "none", "max_open_groups=1"), "NOT_FOUND")
    unable(run("pool", "show", "none"), "NOT_FOUND")
    assert desk.url


@pytest.mark.parametrize(
    ("show", "first"),
    [
        (("pool", "show", "main"), ["pool", "set", "main", "max_open_groups=3"]),
        (("offset", "show", "main"), ["offset", "set", "main", "loss_threshold_pct=-7.5", "enabled=false"]),
        (("risk", "show", "main"), ["risk", "set", "main", "currency=USDT", "order_notional_max=900", "flatten=true"]),
        (("bot", "show", "dca"), ["bot", "set", "dca", "max_pyramids=2", "stop_loss_pct=3.5"]),
    ],
    ids=lambda words: words[0],
)
def test_settings_as_toml_are_those_that_are_in_force(desk: Living, show: tuple[str, ...], first: list[str]) -> None:
    before = seen(*show, "--toml").out if show[0] != "offset" else ""
    done(run(*first))
    after = seen(*show, "--toml").out
    assert before != after
    told = dict(pair.split("=") for pair in first[3:])
    (table,) = tomllib.loads(after).values()
    assert {key: str(table[key]).lower() if isinstance(table[key], bool) else str(table[key]) for key in told} == told
    path = desk.home / "settings.toml"
    path.write_text(after)
    words = [show[0], "set", show[2], "--config", str(path)]
    assert done(run(*words)).out == "nothing had to change\n"
    if before:
        path.write_text(before)
        done(run(*words))
        assert seen(*show, "--toml").out == before


def test_a_signal_waits_is_put_first_and_let_go(desk: Living) -> None:
    done(run("pool", "set", "main", "max_open_groups=1"))
    alert("dca", "BTCUSDT", "50000")
    source = alert("eth", "ETHUSDT", "2000")
    waiting = seen("queue", "list", "main")
    assert f"{source}/1" in waiting.out
    assert "1 of 1 slots in use, 1 signal waits" in run("pool", "show", "main").out
    assert "no signals" in run("queue", "list", "main", "--status", "expired").out
    assert names(done(run("queue", "promote", "main", "eth", f"{source}/1", "--json"))) == ["signal_preferred"]
    (first,) = seen("queue", "list", "main", "--json").json
    assert (first["preferred"], first["status"]) == (1, "waiting")
    removed = done(run("queue", "remove", "main", "eth", f"{source}/1", "--reason", "news", "--json"))
    assert names(removed) == ["signal_removed"]
    assert "no signal waits" in seen("queue", "list", "main").out
    assert "removed: news" in run("queue", "list", "main", "--status", "all").out
    told = run("delivery", "list", "--bot", "eth", "--json").json
    assert [(each["verdict"], each["code"]) for each in told] == [("refused", "QUEUE_REMOVED")]
    assert '"action": "buy"' in run("delivery", "show", source, 1).out
    for what in ("promote", "remove"):
        refused(run("queue", what, "main", "eth", f"{source}/1"), "NOT_WAITING")
        unable(run("queue", what, "main", "eth", "1"), "SOURCE/NUMBER")
    unable(run("queue", "list", "none"), "NOT_FOUND")
    unable(run("queue", "list", "main", "--status", "gone"), "status")


def test_a_group_its_fills_and_what_it_made(desk: Living) -> None:
    alert("dca", "BTCUSDT", "50000")
    desk.push("50000", "50100")
    assert "dca" in seen("group", "list", "--bot", "dca").out
    shown = run("group", "show", "dca", 1)
    assert "dca/1: long BTC/USDT on main" in shown.out
    group = run("group", "show", "dca", 1, "--json").json
    assert [leg["status"] for leg in group["legs"]] == ["filled", "working"]
    fills = run("fill", "list", "--bot", "dca", "--json").json
    assert [(each["price"], each["quantity"]) for each in fills] == [("50000", group["legs"][0]["filled"])]
    order = run("order", "show", "main", fills[0]["order"], "--json").json
    assert (order["status"], order["group"]) == ("FILLED", 1)
    assert "FILLED" in run("order", "show", "main", fills[0]["order"]).out
    (total,) = run("pnl", "--by", "group", "--json").json
    assert (total["bot"], total["group"], total["unrealized"]) == ("dca", 1, group["unrealized"])
    assert "unrealized" in run("pnl", "--by", "day").out
    (btc,) = [each for each in run("market", "prices", "--json").json if each["instrument"] == "BTC/USDT"]
    assert btc["last"]["price"] == "50100"
    unable(run("group", "show", "dca", 2), "NOT_FOUND")
    unable(run("pnl", "--by", "moon"), "by")


def test_an_offset_is_begun_looked_at_and_kept_off_a_group(desk: Living) -> None:
    unable(run("offset", "show", "main"), "is not configured")
    alert("dca", "BTCUSDT", "50000")
    desk.push("50000")
    begun = done(run("offset", "set", "main", "loss_threshold_pct=-1", "--json"))
    assert names(begun) == ["configured", "group_watched"]
    done(run("offset", "set", "main", "post_full_wait_minutes=0"))
    desk.push("40000")
    assert names(done(run("offset", "evaluate", "main", "--json"))) == ["evaluated"]
    shown = seen("offset", "show", "main", "--json").json
    assert (shown["settings"]["loss_threshold_pct"], shown["settings"]["post_full_wait_minutes"]) == ("-1", 0)
    assert shown["latest"]["outcome"] in run("offset", "show", "main").out.replace(" ", "_")
    assert shown["latest"]["losers_count"] == 1
    assert str(shown["latest"]["number"]) in run("offset", "evaluations", "main").out
    assert names(done(run("offset", "block", "main", "dca", 1, "--json"))) == ["group_blocked"]
    assert seen("offset", "show", "main", "--json").json["groups"][0]["blocked"] is True
    assert names(done(run("offset", "unblock", "main", "dca", 1, "--json"))) == ["group_unblocked"]
    assert len(names(done(run("offset", "skip", "main", "--json")))) == 1
    assert "passed over" in seen("offset", "show", "main").out
    assert run("offset", "list", "main", "--json").json == []


def test_limits_deny_and_a_halt_ends_by_the_number_that_is_told(desk: Living) -> None:
    done(run("risk", "set", "main", "currency=USDT", "order_notional_max=100"))
    order = ("order", "place", "main", "buy", "0.01", "BTC/USDT", "--limit", "40000")
    refused(run(*order), "ORDER_NOTIONAL")
    done(run("risk", "set", "main", "order_notional_max=500"))
    done(run(*order))
    shown = seen("risk", "show", "main").out
    assert "main: ACTIVE, limits: version 2" in shown
    assert "order_notional_max" in shown
    assert "price_collar_pct" not in shown, "what is not limited is not shown"
    done(run("risk", "halt", "main", "--reducing", "--reason", "drift"))
    assert seen("risk", "show", "main", "--json").json["state"] == "REDUCING"
    told = run("risk", "resume", "main")
    refused(told, "HALT_UNCONFIRMED")
    assert "halt=1, because=KILL: drift" in told.out
    refused(run("risk", "resume", "main", "--halt", 2), "HALT_UNCONFIRMED")
    assert names(done(run("risk", "resume", "main", "--halt", 1, "--json"))) == ["trading_resumed"]
    refused(run("risk", "resume", "main", "--halt", 1), "NOT_HALTED")
    (halt,) = seen("risk", "halts", "main", "--json").json
    assert (halt["number"], halt["reason"], halt["resumed_at"] is None) == (1, "drift", False)
    assert "KILL: drift" in run("risk", "halts", "main").out
    refused(run("risk", "reference", "main", "VIX", "14"), "INDEX_NOT_WATCHED")
    unable(run("risk", "set", "main", "order_notional_max=x"), "decimal")
    unable(run("risk", "show", "none"), "NOT_FOUND")
    assert desk.url


def test_money_and_a_bots_settings(desk: Living) -> None:
    done(run("account", "deposit", "main", "USDT", "2500"))
    assert seen("account", "show", "main", "--json").json["portfolio"][0]["cash"] == "12500"
    refused(run("account", "instrument", "main", "ETH/USDT", "--tick", "0.01", "--step", "0.0001"), "INSTRUMENT_LISTED")
    assert names(done(run("bot", "set", "dca", "capital=250", "--json"))) == ["configured"]
    settings = seen("bot", "show", "dca", "--json").json["bot"]["settings"]
    assert (settings["capital"], len(settings["legs"])) == ("250", 2)
    unable(run("bot", "set", "dca", "capital=-1"), "group.capital")
    unable(run("bot", "set", "none", "capital=1"), "group")
    assert desk.url


def test_a_mapping_is_shown_and_changed(desk: Living) -> None:
    made = done(run("webhook", "create", "dca", "--map", "symbol=$.s", "--map", "action=$.old", "--json")).json
    Remote().deliver(made["path"], {"s": "BTCUSDT", "old": "exit", "new": "buy"})
    changed = done(run("webhook", "mapping", "dca", "--map", "symbol=$.s", "--map", "action=$.new", "--json"))
    assert names(changed) == ["source_mapped"]
    Remote().deliver(made["path"], {"s": "BTCUSDT", "old": "exit", "new": "buy"})
    shown = seen("webhook", "show", "dca", "--json").json
    assert (shown["mapping"], shown["webhook"]) == ({"symbol": "$.s", "action": "$.new"}, made["webhook"])
    assert "$.new" in run("webhook", "show", "dca").out
    done(run("order", "place", "main", "buy", "0.001", "BTC/USDT", "--limit", "40000"))  # comes after both alerts
    said = seen("delivery", "list", "--bot", "dca", "--json").json
    assert [each["action"] for each in said] == ["buy", "exit"]
    done(run("webhook", "mapping", "dca", "--none"))
    assert "told by its keys" in seen("webhook", "show", "dca").out
    for wrong in ([], ["--none", "--map", "symbol=$.s"], ["--map", "symbol=$.s"], ["--map", "symbol"]):
        unable(run("webhook", "mapping", "dca", *wrong))
    unable(run("webhook", "mapping", "eth", "--none"), "no webhook")
    unable(run("webhook", "show", "eth"), "no webhook")
    assert "none" in run("webhook", "unauthorized").out
    assert desk.url


def test_users_come_and_go(desk: Living, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "another-password-9c1e"
    monkeypatch.setenv("TRUETAPE_NEW_PASSWORD", other)
    made = done(run("user", "create", "vera", "--role", "viewer", "--json"))
    assert (made.json["name"], made.json["role"], other in made.out) == ("vera", "viewer", False)
    refused(run("user", "create", "vera", "--role", "viewer"), "CONFLICT")
    unable(run("user", "create", "x", "--role", "king"), "role")
    unable(run("user", "change", "vera"), "--role")
    monkeypatch.setenv("TRUETAPE_PASSWORD", other)
    done(run("login", "--user", "vera"))
    done(run("pool", "show", "main"))
    unable(run("pool", "set", "main", "max_open_groups=1"), "FORBIDDEN")
    unable(run("user", "list"), "FORBIDDEN")
    monkeypatch.setenv("TRUETAPE_PASSWORD", PASSWORD)
    done(run("login"))
    assert done(run("user", "change", "vera", "--role", "trader", "--disable", "--json")).json["disabled"] is True
    assert "vera" in run("user", "list").out
    assert "user.created" in run("user", "log", "--json").out
    assert other not in run("user", "log").out
    assert desk.url
