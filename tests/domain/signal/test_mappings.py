"""A source whose mapping changes: what came before was read by the old one, what comes after by the new one."""

import json
from typing import Any

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from domain.errors import InputError
from domain.message import Event
from domain.signal.commands import DeliverAlert, MapSource, OpenSource
from domain.signal.decider import DECIDER
from domain.signal.events import AlertReceived, SignalAccepted, SignalDuplicated, SignalMalformed, SourceMapped
from domain.values import parse_time
from tests.spec import BTC, Story, given, kinds

NOW = parse_time("2022-01-01T00:05:02Z")
OLD = {"id": "$.n", "symbol": "$.s", "action": "$.old"}
NEW = {"id": "$.n", "symbol": "$.s", "action": "$.new"}
MAPPINGS: tuple[dict[str, str], ...] = ({}, OLD, NEW)


def source(mapping: dict[str, str]) -> Story:
    return given(DECIDER, *given(DECIDER).when(OpenSource("tv", "dca", BTC, None, mapping)))


def deliver(story: Story, number: int) -> Event:
    body = {"n": number, "s": "BTCUSDT", "old": "buy", "new": "exit"}
    ours = {"id": str(number), "time": "2022-01-01T00:05:00Z", "symbol": "BTCUSDT", "action": "sell"}
    received, judged = story.when(DeliverAlert("tv", json.dumps({**body, **ours})), NOW)
    assert isinstance(received, AlertReceived)
    return judged


def action(event: Event) -> str:
    assert isinstance(event, SignalAccepted), event
    return event.action


def test_a_new_mapping_reads_the_next_delivery_and_an_empty_one_tells_the_form_by_its_keys() -> None:
    story = source(OLD)
    assert action(deliver(story, 1)) == "buy"
    assert story.when(MapSource("tv", NEW)) == (SourceMapped("tv", NEW),)
    assert action(deliver(story, 2)) == "exit"
    assert kinds(story.when(MapSource("tv", {}))) == ["SourceMapped"]
    assert action(deliver(story, 3)) == "sell"


def test_the_same_mapping_in_another_order_is_no_news_and_stands_in_ours() -> None:
    story = source(OLD)
    assert story.when(MapSource("tv", dict(reversed(OLD.items())))) == ()
    (mapped,) = story.when(MapSource("tv", dict(reversed(NEW.items()))))
    assert isinstance(mapped, SourceMapped)
    assert list(mapped.mapping) == ["id", "symbol", "action"]


def test_what_was_seen_under_the_old_mapping_is_a_duplicate_under_the_new_one() -> None:
    story = source(OLD)
    deliver(story, 1)
    story.when(MapSource("tv", NEW))
    assert isinstance(deliver(story, 1), SignalDuplicated)


@pytest.mark.parametrize("mapping", [{"action": "$.a"}, {"symbol": "$.s", "action": "$.a b"}, {"nonsense": "$.a"}])
def test_a_mapping_that_could_read_nothing_changes_nothing(mapping: dict[str, str]) -> None:
    story = source(OLD)
    with pytest.raises(InputError, match=r"mapping|path"):
        story.when(MapSource("tv", mapping))
    assert action(deliver(story, 1)) == "buy"


def test_a_body_that_the_new_mapping_cannot_read_is_malformed_by_its_path() -> None:
    story = source(OLD)
    story.when(MapSource("tv", {**NEW, "action": "$.none.here"}))
    judged = deliver(story, 1)
    assert isinstance(judged, SignalMalformed)
    assert "$.none.here" in judged.reason


@hypothesis_given(st.sampled_from(MAPPINGS), st.lists(st.sampled_from([None, *MAPPINGS]), max_size=12))
def test_each_delivery_is_read_as_by_a_source_that_always_had_its_mapping(
    first: dict[str, str], steps: list[dict[str, Any] | None]
) -> None:
    """None is a delivery. The state that comes back from the log reads on as the one that never stopped."""
    story, mapping, log = source(first), first, list[Event]()
    log += given(DECIDER).when(OpenSource("tv", "dca", BTC, None, first))
    for number, step in enumerate(steps, 1):
        if step is None:
            judged = deliver(story, number)
            assert action(judged) == action(deliver(source(mapping), number))
        else:
            log += story.when(MapSource("tv", step))
            mapping = step
    assert given(DECIDER, *log).state.mapping == story.state.mapping == mapping
