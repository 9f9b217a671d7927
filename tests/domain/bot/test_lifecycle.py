"""A bot's life: what each state allows, and what it says to the rest."""

from decimal import Decimal
from typing import Any

import pytest

from domain.bot.commands import (
    ActOnSignal,
    CloseGroup,
    ConfigureBot,
    CreateBot,
    DeleteBot,
    PauseBot,
    ReleaseGroup,
    ResumeBot,
    StartBot,
    StopBot,
)
from domain.bot.decider import DECIDER
from domain.bot.events import AlertRefused, CloseTaken, CommandRefused, EntryTaken
from domain.engine import Core
from domain.ports import Input, Moment
from domain.position_group.events import GroupOpened
from domain.values import Time
from tests.spec import Story, given, instrument, kinds, let_in, settings

COMMANDS: dict[str, Any] = {
    "start": StartBot("dca"), "pause": PauseBot("dca"), "resume": ResumeBot("dca"), "stop": StopBot("dca"),
    "delete": DeleteBot("dca"),
}  # fmt: skip
ALLOWED = {
    "created": {"start", "delete"},
    "running": {"pause", "stop"},
    "paused": {"resume", "stop"},
    "stopped": {"start", "delete"},
}
WAY_TO = {"created": [], "running": ["start"], "paused": ["start", "pause"], "stopped": ["start", "stop"]}


def bot(status: str = "running") -> Story:
    story = given(DECIDER)
    story.when(CreateBot("dca", "main", "spot", "dca_signals", instrument(), settings()))
    for command in WAY_TO[status]:
        story.when(COMMANDS[command])
    return story


def signal(story: Story, action: Any = "buy") -> Any:
    return let_in(story, ActOnSignal("dca", "signals", 1, action, Decimal(100), None))


@pytest.mark.parametrize("status", list(ALLOWED))
@pytest.mark.parametrize("command", list(COMMANDS))
def test_each_state_allows_its_commands_and_refuses_the_others_on_the_log(status: str, command: str) -> None:
    story = bot(status)
    assert story.state.status == status
    (event,) = story.when(COMMANDS[command])
    if command in ALLOWED[status]:
        assert not isinstance(event, CommandRefused)
        assert story.state.status != status
    else:
        assert isinstance(event, CommandRefused)
        assert (event.command, event.code, event.reason) == (command, "STATUS_WRONG", f"status={status}")
        assert story.state.status == status


def test_a_bot_is_created_once() -> None:
    assert bot().when(CreateBot("dca", "other", "spot", "dca_signals", instrument(), settings())) == ()


@pytest.mark.parametrize("status", ["created", "stopped"])
def test_a_bot_that_does_not_run_acts_on_nothing(status: str) -> None:
    event = signal(bot(status))
    assert isinstance(event, AlertRefused)
    assert (event.code, event.reason) == ("BOT_NOT_RUNNING", f"status={status}")


def test_a_paused_bot_takes_exits_but_no_entries() -> None:
    story = bot()
    assert isinstance(signal(story), EntryTaken)
    story.when(PauseBot("dca"))
    assert kinds([signal(story, "exit")]) == ["ExitTaken"]
    story.when(ReleaseGroup("dca", 1))
    event = signal(story)
    assert isinstance(event, AlertRefused)
    assert event.code == "BOT_PAUSED"
    story.when(ResumeBot("dca"))
    assert isinstance(signal(story), EntryTaken)


def test_new_settings_are_for_the_next_group_and_bad_ones_are_refused() -> None:
    story = bot()
    changed = settings(("0", "100", "2"))
    assert kinds(story.when(ConfigureBot("dca", changed))) == ["BotConfigured"]
    assert story.when(ConfigureBot("dca", changed)) == ()
    assert signal(story).settings == changed
    (event,) = story.when(ConfigureBot("dca", settings(("0", "50", "2"))))
    assert isinstance(event, CommandRefused)
    assert event.code == "SETTINGS_INVALID"


def test_a_bot_with_a_live_group_cannot_be_deleted_but_can_be_told_to_close_it() -> None:
    story = bot()
    signal(story)
    story.when(StopBot("dca"))
    (event,) = story.when(DeleteBot("dca"))
    assert isinstance(event, CommandRefused)
    assert event.code == "GROUP_LIVE"
    (event,) = story.when(CloseGroup("dca"))
    assert isinstance(event, CloseTaken)
    assert event.group == 1
    story.when(ReleaseGroup("dca", 1))
    assert kinds(story.when(DeleteBot("dca"))) == ["BotDeleted"]


@pytest.mark.parametrize(
    "command",
    [*COMMANDS.values(), ConfigureBot("dca", settings()), CloseGroup("dca"), ReleaseGroup("dca", 0)],
    ids=lambda command: type(command).__name__,
)
def test_nobody_answers_for_a_deleted_bot(command: Any) -> None:
    story = bot("stopped")
    story.when(DeleteBot("dca"))
    assert story.when(command) == ()


def test_a_signal_for_a_deleted_bot_is_refused_and_says_so() -> None:
    story = bot("stopped")
    story.when(DeleteBot("dca"))
    (refused,) = story.when(ActOnSignal("dca", "signals", 1, "buy", Decimal(100), None))
    assert isinstance(refused, AlertRefused)
    assert (refused.code, refused.reason) == ("BOT_NOT_RUNNING", "status=deleted")


def test_a_name_used_again_counts_groups_on() -> None:
    """Bot and group name one group for good, whatever is restored from the log in between."""
    core, log = Core(), []

    def step(command: Any) -> list[str]:
        records, _ = core.step([Moment(Time(0), (Input("test", command),))])
        log.extend(records)
        return [type(event).__name__ for record in records for event in record.events]

    for account in ("first", "second", "third"):
        create = CreateBot("dca", account, "spot", "dca_signals", instrument(), settings())
        assert step(create) == ["BotCreated"]
        assert core.state("bot", "dca").status == "created"
        step(StartBot("dca"))
        assert step(ActOnSignal("dca", "tv", 1, "buy", Decimal(100), None))[-3:] == [
            "EntryTaken",
            "GroupOpened",
            "SlotAssigned",
        ]
        live = core.state("bot", "dca").live
        assert [step(command) for command in (ReleaseGroup("dca", live), StopBot("dca"), DeleteBot("dca"))] == [
            ["GroupReleased", "SlotReleased"], ["BotStopped"], ["BotDeleted"],
        ]  # fmt: skip
        core = Core()
        for record in log:
            core.restore(record)
    opened = [event for record in log for event in record.events if isinstance(event, GroupOpened)]
    assert [(event.account, event.group) for event in opened] == [("first", 1), ("second", 2), ("third", 3)]


def test_without_a_live_group_there_is_nothing_to_close() -> None:
    (event,) = bot().when(CloseGroup("dca"))
    assert isinstance(event, CommandRefused)
    assert event.code == "NOTHING_TO_CLOSE"
