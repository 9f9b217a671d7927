"""Settings changed by KEY=VALUE and written as TOML: what is written is read back as the same settings."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.settings_tables import Table, edited, toml_text
from domain.account.limits import RiskLimits
from domain.errors import InputError
from domain.execution_pool.settings import PoolSettings
from domain.portfolio_risk.settings import OffsetSettings
from replay.inputs import read_control, read_settings

PERCENTS = st.decimals(Decimal("0.01"), Decimal(99), places=2)
RISK = """\
[risk]
currency = "USDT"
modes = ["simulated"]
instruments = [{instrument = "BTC/USDT", order_quantity_max = "0.50"}, {instrument = "ETH/USDT", tradable = false}]
price_collar_pct = "5"
flatten = true
breaker = {index = "INDIAVIX", samples = 20, sigmas = "3", series = "level"}
event_windows = [{start = 1, end = 2, name = "a \\"quoted\\" näme"}]
"""
GROUP = """\
[group]
capital = "1000"
take_profit = "hybrid"
aggregate_take_profit_pct = "1.20"
legs = [{gap_pct = "0", weight_pct = "40", take_profit_pct = "1"}, {gap_pct = "-0.5", weight_pct = "60", take_profit_pct = "1"}]
"""


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(("table", "text"), [("risk", RISK), ("group", GROUP)])
def test_what_is_written_of_a_file_is_read_as_the_same_settings(table: Table, text: str, tmp_path: Path) -> None:
    given_ = put(tmp_path / "given.toml", text)
    first = edited(table, {}, [], given_)
    written = put(tmp_path / "written.toml", toml_text(table, first))
    assert edited(table, {}, [], written) == first
    read: Any = read_settings if table == "group" else lambda path: read_control(path, table)
    assert read(written) == read(given_)


@given(
    st.builds(
        OffsetSettings,
        enabled=st.booleans(),
        loss_threshold_pct=PERCENTS.map(lambda percent: -percent),
        post_full_wait_minutes=st.integers(0, 500),
        timer_start=st.sampled_from(["last_pyramid", "legs_submitted", "legs_filled"]),
        minimum_age_minutes=st.none() | st.integers(1, 500),
        cost_margin_pct=PERCENTS,
    )
)
def test_every_offset_is_written_and_read_back(settings: OffsetSettings) -> None:
    told = [f"{name}={_said(getattr(settings, name))}" for name in OffsetSettings.__struct_fields__]
    body = edited("offset", {}, told, None)
    assert tomllib.loads(toml_text("offset", body))["offset"] == {k: v for k, v in body.items() if v is not None}
    assert edited("offset", body, ["enabled=" + _said(settings.enabled)], None) == body
    assert body["loss_threshold_pct"] == f"{settings.loss_threshold_pct:f}"


def _said(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_what_is_not_named_stays_and_an_empty_value_takes_a_key_back() -> None:
    standing = {"version": 3, "since": "x", "max_open_groups": 4, "queue_expiry_minutes": 60}
    assert edited("pool", standing, ["count_pyramids_toward_pool=true"], None) == {
        "max_open_groups": 4, "count_pyramids_toward_pool": True, "queue_expiry_minutes": 60,
    }  # fmt: skip
    back = edited("pool", standing, ["max_open_groups=", "queue_expiry_minutes="], None)
    assert (back["max_open_groups"], back["queue_expiry_minutes"]) == (PoolSettings().max_open_groups, None)


def test_a_file_holds_whole_and_pairs_go_over_it(tmp_path: Path) -> None:
    config = put(tmp_path / "c.toml", "[risk]\nflatten = true\n[pool]\nmax_open_groups = 2\n")
    found = edited("risk", {"open_orders_max": 5}, ["orders_max=7"], config)
    assert (found["flatten"], found["open_orders_max"], found["orders_max"]) == (True, None, 7)
    assert edited("pool", {}, [], config)["max_open_groups"] == 2


def test_a_size_of_another_kind_needs_the_last_one_taken_back(tmp_path: Path) -> None:
    standing = edited("group", {}, [], put(tmp_path / "g.toml", GROUP))
    with pytest.raises(InputError, match="exactly one of"):
        edited("group", standing, ["capital_pct_of_equity=5"], None)
    found = edited("group", standing, ["capital=", "capital_pct_of_equity=5"], None)
    assert (found["capital"], found["capital_pct_of_equity"]) == (None, "5")


@pytest.mark.parametrize(
    ("table", "pairs", "said"),
    [
        ("pool", [], r"KEY=VALUE, or --config FILE that has a \[pool\] table"),
        ("pool", ["max_open_groups"], "allowed keys: max_open_groups, count"),
        ("pool", ["slots=3"], "'slots=3' is not KEY=VALUE"),
        ("pool", ["max_open_groups=0"], "pool.max_open_groups is 0; allowed: 1 to 1000"),
        ("pool", ["max_open_groups=1.5"], "pool.max_open_groups: .*\nallowed: a whole number"),
        ("offset", ["timer_start=never"], "allowed: last_pyramid, legs_submitted, legs_filled"),
        ("offset", ["loss_threshold_pct=5"], "offset.loss_threshold_pct is 5; allowed: above -100 and below 0"),
        ("offset", ["cost_margin_pct=NaN"], "offset.cost_margin_pct is NaN"),
        ("risk", ["order_notional_max=5"], "order_notional_max is 5; allowed: only with a currency"),
        ("risk", ["breaker=INDIAVIX"], "allowed: a table of index, samples"),
        ("group", ["capital=1000"], "legs"),
    ],
)
def test_what_makes_no_sense_is_refused_by_key(table: Table, pairs: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        edited(table, {}, pairs, None)
    assert len(str(refused.value).splitlines()) <= 3


@pytest.mark.parametrize("kind", [PoolSettings, OffsetSettings, RiskLimits])
def test_settings_that_nobody_changed_are_a_table_that_changes_nothing(kind: type[Any], tmp_path: Path) -> None:
    tables: dict[type[Any], Table] = {PoolSettings: "pool", OffsetSettings: "offset", RiskLimits: "risk"}
    table = tables[kind]
    first = next(name for name in kind.__struct_fields__)
    body = edited(table, {}, [f"{first}="], None)
    assert read_control(put(tmp_path / "x.toml", toml_text(table, body)), table) == kind()


def test_a_key_within_a_list(tmp_path: Path) -> None:
    standing = edited("group", {}, [], put(tmp_path / "given.toml", GROUP))
    changed = edited("group", standing, ["legs[1].gap_pct=-0.75", "max_pyramids=2", "legs[0].take_profit_pct=2"], None)
    assert [leg["gap_pct"] for leg in changed["legs"]] == ["0", "-0.75"]
    assert [leg["take_profit_pct"] for leg in changed["legs"]] == ["2", "1"]
    assert {**changed, "legs": standing["legs"], "max_pyramids": 1} == standing
    bare = edited("group", changed, ["take_profit=aggregate", "legs[0].take_profit_pct="], None)
    assert [leg["take_profit_pct"] for leg in bare["legs"]] == [None, "1"]


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("legs[2].gap_pct=1", r"there is no legs\[2\]; there are 2 legs, counted from 0"),
        ("capital[0].x=1", r"there is no capital\[0\]; there are 0 capital"),
        ("legs[0].gap=1", r"group.legs\[0\]"),
        ("legs[-1].gap_pct=1", "is not KEY=VALUE"),
        ("legs[0].weight_pct=41", "weight"),
    ],
)
def test_a_key_within_a_list_that_is_none(pair: str, said: str, tmp_path: Path) -> None:
    standing = edited("group", {}, [], put(tmp_path / "given.toml", GROUP))
    with pytest.raises(InputError, match=said):
        edited("group", standing, [pair], None)
