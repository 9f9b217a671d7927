"""What came from outside is taken back out of a log as it was asked for."""

import pytest

from domain.message import Record
from domain.signal.commands import OpenSource
from domain.signal.decider import SourceState, open_source
from domain.values import Time
from replay.facts import facts_of
from tests.spec import BTC


@pytest.mark.parametrize(
    "command",
    [
        OpenSource("signals", "dca", BTC),
        OpenSource("signals", "dca", BTC, 5, {"symbol": "BTCUSDT", "action": "$.a"}, "position"),
    ],
)
def test_a_source_is_opened_again_with_all_its_settings(command: OpenSource) -> None:
    record = Record(1, 1, Time(0), "operator", None, open_source(SourceState(), command))
    (opened,) = facts_of([record]).opening
    assert opened.message == command
