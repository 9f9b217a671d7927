"""Reads say what the rows say, in decimal text; lists lose and repeat nothing; what is not there is a problem."""

import base64
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from psycopg.rows import tuple_row

from api.routes.pnl import By
from domain.account.events import TradingHalted
from domain.market import Candle, Trade
from domain.values import InstrumentId, Price, Quantity, Time, decimal_text
from infrastructure.event_store.database import Database
from infrastructure.event_store.ledger import PostgresLedger, RunOpening
from infrastructure.inbox import Entry, Inbox, MarketCandle, MarketTrade, Outcome, write_outcomes
from infrastructure.read_models import rows_of, update_all
from infrastructure.row_queries import FoldedRows, Page, StoredRows, Unequal
from infrastructure.row_tables import PostgresRows
from projections.orders import ENDED, OrderRow
from projections.portfolio import BalanceRow
from projections.positions import PoolRow
from projections.rows import MemoryRows
from tests.api.reading import LISTS, Api, application, keep, log_of, records


@pytest.fixture
def api(database: Database) -> Api:
    return Api(application(database))


@pytest.fixture
def run(database: Database) -> int:
    """A paper run, between a run that is older and a backtest that is newer."""
    keep(database, records(9, 20, 4))
    run = keep(database, records())
    keep(database, records(8, 20, 4), "backtest")
    return run


# --- before there is anything ----------------------------------------------------------------------------------------


def test_without_a_run_lists_are_empty(api: Api) -> None:
    expected: dict[str, Any] = {"items": [], "next": None, "as_of": {"position": 0, "at": None}}
    for path in LISTS:
        assert api.get(path) == expected
        assert api.get(path, as_of=0) == expected
        assert api.get(path, as_of="2026-01-01T00:00:00Z") == expected
        assert api.status(path, as_of=1) == 422


def test_nobody_reads_without_a_token(database: Database) -> None:
    app = application(database)
    app.dependency_overrides.clear()
    for path in (*LISTS, "accounts/a", "bots/b", "orders/a/1", "groups/b/1", "deliveries/s/1", "events/1"):
        assert Api(app).status(path) == 401


# --- what is said ----------------------------------------------------------------------------------------------------


def test_position_is_the_last_event_of_the_run(api: Api, database: Database, run: int) -> None:
    log = log_of(database, run)
    said = {path: api.get(path)["as_of"]["position"] for path in LISTS if path != "runs"}
    assert set(said.values()) == {log[-1][1]}
    assert api.get("runs")["as_of"]["position"] > log[-1][1]


def test_orders_are_the_rows_in_decimal_text(api: Api, database: Database, run: int) -> None:
    rows = {row.order: row for row in rows_of(database, OrderRow, run)}
    said = list(api.pages("orders", limit=7))
    assert [item["order"] for item in said] == sorted(
        rows, key=lambda number: (rows[number].intended_at, number), reverse=True
    )
    for item in said:
        row = rows[item["order"]]
        assert item["quantity"] == decimal_text(row.quantity, 8)
        assert item["limit"] == (None if row.limit is None else decimal_text(row.limit, 2))
        assert item["cash"] == decimal_text(row.cash, 8)
        assert item["fee"] == decimal_text(row.fee, 8)
        assert Decimal(item["filled"]) + Decimal(item["remaining"]) == Decimal(item["quantity"])
        assert (item["status"], item["bot"], item["group"]) == (row.status, row.bot, row.group)
        one = api.get(f"orders/main/{row.order}")
        del one["as_of"]
        assert one == item
    assert any(Decimal(item["fee"]) for item in said)


def test_fills_add_up_to_their_orders(api: Api, run: int) -> None:
    fills = list(api.pages("fills", limit=3))
    assert [fill["at"] for fill in fills] == sorted((fill["at"] for fill in fills), reverse=True)
    filled: Counter[int] = Counter()
    for fill in fills:
        filled[fill["order"]] += Decimal(fill["quantity"])  # type: ignore[assignment]
    assert filled
    for order in api.pages("orders"):
        assert Decimal(order["filled"]) == filled[order["order"]]
    number = fills[0]["order"]
    assert list(api.pages("fills", order=number)) == [fill for fill in fills if fill["order"] == number]


def test_books_balance_in_the_portfolio(api: Api, database: Database, run: int) -> None:
    [balance] = api.get("portfolio", account="main")["items"]
    amounts = {name: Decimal(text) for name, text in balance.items() if name not in {"account", "asset"}}
    assert amounts["equity"] == amounts["cash"] + amounts["positions_value"]
    assert amounts["equity"] == amounts["deposited"] + amounts["realized"] + amounts["unrealized"] - amounts["fees"]
    [row] = rows_of(database, BalanceRow, run)
    assert balance["equity"] == decimal_text(row.equity, 8)
    assert amounts["fees"] > 0
    [position] = api.get("positions")["items"]
    assert Decimal(position["value"]) == amounts["positions_value"]
    assert Decimal(position["unrealized"]) == amounts["unrealized"]


@pytest.mark.parametrize("by", ["account", "bot", "group", "instrument", "day"])
def test_profit_adds_up_however_it_is_summed(api: Api, run: int, by: By) -> None:
    [balance] = api.get("portfolio")["items"]
    sums = list(api.pages("pnl", by=by, limit=2))
    assert sum(Decimal(each["realized"]) for each in sums) == Decimal(balance["realized"])
    assert sum(Decimal(each["fees"]) for each in sums) == Decimal(balance["fees"])
    assert sum(each["fills"] for each in sums) == len(list(api.pages("fills")))
    if by == "day":
        assert {each["unrealized"] for each in sums} == {None}
    else:
        assert sum(Decimal(each["unrealized"]) for each in sums) == Decimal(balance["unrealized"])
    if by == "group":
        assert len(sums) > 4
        groups = {group["group"]: group for group in api.pages("groups")}
        for each in sums:
            if each["bot"]:
                group = groups[each["group"]]
                assert (each["realized"], each["unrealized"]) == (group["realized"], group["unrealized"])


def test_a_bot_tells_what_it_is_and_what_it_made(api: Api, run: int) -> None:
    [bot] = api.get("bots")["items"]
    one = api.get("bots/dca_signals")
    assert one.pop("as_of")["position"] > 0
    assert one == bot
    [total] = api.get("pnl", by="bot", bot="dca_signals")["items"]
    assert bot["pnl"] == {name: total[name] for name in ("asset", "realized", "unrealized", "fees")}
    assert bot["status"] == "running"
    assert bot["settings"]["capital"] == "1000"
    assert bot["settings"]["legs"][1] == {"gap_pct": "-0.4", "weight_pct": "60", "take_profit_pct": "0.5"}
    assert bot["sources"] == ["signals"]
    groups = list(api.pages("groups", bot="dca_signals"))
    assert len(groups) == bot["groups"]
    live = [group["group"] for group in groups if group["status"] != "closed"]
    assert live == ([bot["live_group"]] if bot["live_group"] else [])
    assert api.get("bots", status="paused")["items"] == []


def test_a_group_comes_with_its_legs(api: Api, run: int) -> None:
    for listed in api.pages("groups"):
        group = api.get(f"groups/{listed['bot']}/{listed['group']}")
        legs = group.pop("legs")
        del group["as_of"]
        assert group == listed
        assert [leg["leg"] for leg in legs] == [0, 1]
        assert sum(Decimal(leg["held"]) for leg in legs) == Decimal(group["held"])


def test_deliveries_have_a_verdict_and_a_reason(api: Api, run: int) -> None:
    said = list(api.pages("deliveries", limit=4))
    verdicts = Counter(item["verdict"] for item in said)
    assert verdicts.keys() >= {"accepted", "refused", "malformed", "duplicate"}
    for verdict, count in verdicts.items():
        found = list(api.pages("deliveries", verdict=verdict, limit=3))
        assert len(found) == count
        if verdict in {"refused", "malformed"}:
            assert all(item["code"] and item["reason"] for item in found)
    assert list(api.pages("deliveries", source="other")) == []
    one = api.get(f"deliveries/signals/{said[0]['number']}")
    assert '"symbol":"BTCUSDT"' in one.pop("body")
    del one["as_of"]
    assert one == said[0]


def test_a_halt_is_seen(api: Api, database: Database) -> None:
    happened = records(candles=2, alerts=0)
    account = happened[0]
    version = max(record.version + len(record.events) for record in happened if record.stream == account.stream)
    halts = (TradingHalted("main", "", "kill"), TradingHalted("main", "dca_signals", "drawdown"))
    halt = structs.replace(account, version=version, at=Time(happened[-1].at + 1), events=halts, key=None)
    keep(database, [*happened, halt])
    [said] = api.get("accounts")["items"]
    assert said == {
        "account": "main", "kind": "spot", "mode": "paper", "opened_at": "2024-01-01T00:00:00Z",
        "halt": {"at": said["halt"]["at"], "reason": "kill"}, "halted_bots": ["dca_signals"],
    }  # fmt: skip
    assert api.get("accounts/main")["halt"] == said["halt"]
    assert api.get("bots/dca_signals")["halt"]["reason"] == "drawdown"
    last = log_of(database, 1)[-1]
    assert api.get("accounts/main", as_of=last[0])["halted_bots"] == []


def test_runs_are_listed_and_one_is_current(api: Api, run: int) -> None:
    said = list(api.pages("runs", limit=2))
    assert [(item["run"], item["mode"], item["current"]) for item in said] == [
        (3, "backtest", False),
        (2, "paper", True),
        (1, "paper", False),
    ]
    assert said[1]["settings"] == {"seed": 5}


# --- the log ---------------------------------------------------------------------------------------------------------


def test_events_are_the_log(api: Api, database: Database, run: int) -> None:
    said = list(api.pages("events", limit=17))
    log = log_of(database, run)
    assert [item["position"] for item in said] == list(range(log[0][0], log[-1][1] + 1))
    assert said == list(reversed(list(api.pages("events", order="newest", limit=17))))
    filled = next(item for item in said if item["event"] == "account.order_filled.v1")
    assert filled["stream"] == "account/main"
    assert Decimal(filled["data"]["price"]) > 90
    assert next(item for item in said if item["cause"])["cause"].partition("@")[0] in {item["stream"] for item in said}
    assert api.get(f"events/{filled['position']}") == {**filled, "as_of": api.get("events")["as_of"]}


def test_events_are_filtered(api: Api, run: int) -> None:
    said = list(api.pages("events"))
    half = said[len(said) // 2]["position"]
    tag, stream = "account.order_", "account/main"
    expected = [
        item for item in said if item["position"] > half and item["event"].startswith(tag) and item["stream"] == stream
    ]
    asked = {"after": half, "tag": tag, "stream": stream}
    assert expected
    assert list(api.pages("events", **asked, limit=4)) == expected
    assert list(api.pages("events", **asked, limit=4, order="newest")) == expected[::-1]
    assert api.get("events", stream="account/nobody")["items"] == []
    assert api.get("events", after=2**63 - 1)["items"] == []


def test_more_events_than_a_batch(api: Api, database: Database) -> None:
    run = keep(database, records(candles=700, alerts=300), group_size=1000)
    log = log_of(database, run)
    assert len(log) > 600
    said = list(api.pages("events", limit=500))
    assert len(said) == log[-1][1] - log[0][0] + 1
    for tag in ("engine.started", "account.valued"):
        assert [item["event"] for item in api.pages("events", tag=tag)] == [
            item["event"] for item in said if item["event"].startswith(tag)
        ]


# --- markets ---------------------------------------------------------------------------------------------------------


def push(database: Database, content: Any, outcome: tuple[int, int] | None = None, error: str | None = None) -> None:
    [number] = Inbox(database).put([Entry("market", content)])
    first, last = outcome or (None, None)
    with database.datastore.get_connection() as connection, connection.transaction():
        write_outcomes(connection, [Outcome(number, first, last, error)])


def test_markets_have_their_last_price(api: Api, database: Database, run: int) -> None:
    [market] = api.get("market")["items"]
    assert market["last"] is None
    assert (market["tick"], market["step"], market["taker_fee"]) == ("0.01", "0.001", "0.001")
    btc, log = InstrumentId("BTC/USDT"), log_of(database, run)
    minute = 60_000_000
    candle = Candle(Time(0), Price(10_000), Price(10_100), Price(9_900), Price(10_050), Quantity(1))
    push(database, MarketCandle(btc, candle), log[5][:2])
    push(database, MarketTrade(btc, Trade(Time(minute), Price(10_075), Quantity(1))))
    push(database, MarketTrade(btc, Trade(Time(2 * minute), Price(10_100), Quantity(1))), log[9][:2])
    push(database, MarketTrade(btc, Trade(Time(minute), Price(1), Quantity(1))), error="OUT_OF_ORDER")
    Inbox(database).put([Entry("market", MarketTrade(btc, Trade(Time(3 * minute), Price(2), Quantity(1))))])
    assert api.get("market")["items"][0]["last"] == {"price": "101", "at": "1970-01-01T00:02:00Z", "origin": "trade"}
    last = [api.get("market", as_of=log[index][1])["items"][0]["last"] for index in (4, 5, 8, 9)]
    assert [each and each["price"] for each in last] == [None, "100.75", "100.75", "101"]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_pages_are_the_list(api: Api, run: int) -> None:
    for path in LISTS:
        whole = list(api.pages(path, limit=500))
        assert whole or path == "strategies", path  # which this run has none of; tests/api/test_strategies.py has some
        for limit in (1, 2, 3) if len(whole) < 50 else (7, 30):
            assert list(api.pages(path, limit=limit)) == whole, path


@pytest.mark.parametrize("path", ["orders", "fills", "groups", "deliveries", "events?order=newest"])
def test_pages_stay_as_they_were_while_more_comes(api: Api, database: Database, path: str) -> None:
    happened = records()
    ledger = PostgresLedger.begin(database, RunOpening("test", "paper", {}), Time(1), 1)
    half = len(happened) // 2
    ledger.append(happened[:half])
    ledger.flush()
    update_all(database)
    place = {"events?order=newest": ("position",), "fills": ("order", "trade"), "orders": ("order",)}
    keys = place.get(path, ("number",) if path == "deliveries" else ("group",))
    before = [tuple(item[key] for key in keys) for item in api.pages(path)]
    page = api.get(path, limit=2)
    seen = list(page["items"])
    for record in happened[half:]:
        ledger.append([record])
    ledger.flush()
    update_all(database)
    seen += api.pages(path, limit=3, cursor=page["next"]) if page["next"] else []
    assert [tuple(item[key] for key in keys) for item in seen] == before
    assert len(list(api.pages(path))) > len(before)


# --- what cannot be answered -----------------------------------------------------------------------------------------

BIG = 2**63


MISSING = (
    "accounts/nobody", "bots/none", "orders/main/9999", "orders/nobody/1", "groups/dca_signals/9999", "deliveries/none/1",
    "deliveries/signals/9999", "events/999999", "events/1", "nothing", f"orders/main/{BIG - 1}",
)  # fmt: skip
SENSELESS = (
    ("limit", "0"), ("limit", "501"), ("limit", "x"), ("limit", str(BIG)),
    ("cursor", ""), ("cursor", "x"), ("cursor", "é"), ("cursor", "=" * 9), ("cursor", "bnVsbA"), ("cursor", "a" * 3000),
    ("as_of", ""), ("as_of", "-1"), ("as_of", "1.5"), ("as_of", str(BIG)), ("as_of", "9" * 60), ("as_of", "yesterday"),
    ("as_of", "2026-01-01T00:00:00"), ("as_of", "100000"), ("as_of", "\N{ARABIC-INDIC DIGIT THREE}"),
    ("as_of", "x" * 1000), ("as_of", "0001-01-01T00:00:00+14:00"),
)  # fmt: skip
NOT_ALLOWED = (
    "orders?status=OPEN", "orders?account=", "bots?status=x", "pnl?by=year", "deliveries?verdict=ok", "groups?status=x",
    "orders/main/0", f"orders/main/{BIG}", "orders/main/x", f"events/{BIG}", "events/0", "events?after=-1",
    "events?order=up", "orders/ma%00in/1", "accounts/%00", "bots?account=%00", "events?stream=%00",
    f"fills?order={BIG}", f"fills?group={BIG}",
)  # fmt: skip


def test_what_is_not_there_is_404(api: Api, run: int) -> None:
    assert {path: api.status(path) for path in MISSING} == dict.fromkeys(MISSING, 404)


def test_what_makes_no_sense_is_422(api: Api, run: int) -> None:
    asked = [(path, name, value) for path in LISTS for name, value in SENSELESS]
    said = {each: api.status(each[0], **{each[1]: each[2]}) for each in asked}
    assert {each: status for each, status in said.items() if status != 422} == {}


def test_filters_say_what_is_allowed(api: Api, run: int) -> None:
    answers = {path: api.client.get(path) for path in NOT_ALLOWED}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(NOT_ALLOWED, 422)
    assert all(answer.json()["errors"] for answer in answers.values())


def test_a_cursor_is_of_its_list(api: Api, run: int) -> None:
    cursor = api.get("orders", limit=1)["next"]
    for path in LISTS:
        if path != "orders":
            assert api.status(path, cursor=cursor) == 422
    for place in (b'["orders",1]', b'["orders",1,2,3]', b'["orders",99999999999999999999,"main",1]', b'["orders",1,"\\u0000",1]',
                  b'["orders",true,"main",1]', b'["orders",1.5,"main",1]'):  # fmt: skip
        assert api.status("orders", cursor=base64.urlsafe_b64encode(place).decode()) == 422


def test_statuses_open_and_done_part_the_orders(api: Api, run: int) -> None:
    every = list(api.pages("orders"))
    parts = [list(api.pages("orders", status=status)) for status in ("open", "done")]
    assert sorted(item["order"] for part in parts for item in part) == sorted(item["order"] for item in every)
    assert {item["status"] for item in parts[1]} <= ENDED
    assert not {item["status"] for item in parts[0]} & ENDED
    assert {item["status"] for item in api.pages("orders", status="FILLED")} == {"FILLED"}


# --- from Postgres as from memory ------------------------------------------------------------------------------------

values = st.integers(-3, 3)
names = st.sampled_from(["", "a", "B", "b", "é", "Z", "~"])
pools = st.builds(PoolRow, names, names, names, values, values, values, values, values)


@given(
    rows=st.lists(pools, max_size=12),
    order=st.permutations(["account", "instrument", "bot", "group"]),
    descending=st.booleans(),
    after=st.none() | st.tuples(names, names, names, values),
    limit=st.none() | st.integers(1, 4),
    where=st.fixed_dictionaries(
        {}, optional={"account": names, "bot": st.tuples(names, names), "quantity": st.builds(Unequal, values)}
    ),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_are_asked_for_alike_in_postgres_and_in_memory(
    database: Database,
    rows: list[PoolRow],
    order: list[str],
    descending: bool,
    after: tuple[Any, ...] | None,
    limit: int | None,
    where: dict[str, Any],
) -> None:
    memory = MemoryRows()
    with (
        database.datastore.get_connection() as connection,
        connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        connection.transaction(force_rollback=True),
    ):
        stored = PostgresRows(cursor, 1)
        for row in rows:
            memory.put(row)
            stored.put(row)
        stored.flush()
        known = dict(zip(("account", "instrument", "bot", "group"), after or (), strict=False))
        place = tuple(known[name] for name in order) if after else None
        page = Page(tuple(order), descending, place, limit)
        sources = (StoredRows(cursor, 1), FoldedRows(memory))
        assert len({tuple(source.some(PoolRow, where, page)) for source in sources}) == 1
        by = Page(("bot", "account"), descending, place and (known["bot"], known["account"]), limit)
        assert len({tuple(source.sums(PoolRow, ("cost", "fees"), where, by)) for source in sources}) == 1
        assert not StoredRows(cursor, 2).some(PoolRow, {})
