"""What tests of the command line share."""

from pathlib import Path

import pytest

from tests.api.stage import Stage
from tests.conftest import TestServer


@pytest.fixture
def stage(tmp_path: Path, home: Path) -> Stage:
    """A backtest's files, and an empty data folder."""
    assert home.is_dir()
    return Stage(tmp_path)


@pytest.fixture
def kept(stage: Stage, test_server: TestServer, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The same with a database of this test's own."""
    monkeypatch.setenv("TRUETAPE_DATABASE_URL", test_server.url(database_name))
    return stage
