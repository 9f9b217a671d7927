"""An event as one line for people who watch: when, where, what, and the facts that say something."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from api.terminal import console, printable

_KNOWN = frozenset({"account", "bot", "source", "instrument", "account_kind", "strategy"})
"""Fields that the stream says already, or that are the same all day."""
_ALARMS = ("denied", "rejected", "refused", "halted", "unknown", "malformed", "overfilled")
_TIME = slice(11, 19)


def event_line(line: Mapping[str, Any]) -> Text:
    """One line that is cut, not wrapped, where the terminal ends."""
    _, name, *_ = line["event"].split(".")
    text = Text(f"{line['position']:>7} ", no_wrap=True, overflow="ellipsis")
    text.append(line["at"][_TIME], "dim").append(f" {line['stream']} ")
    text.append(name, _style(name, line["data"]))
    for field, value in line["data"].items():
        if field not in _KNOWN and not isinstance(value, dict | list) and value not in {None, "", 0, "0"}:
            text.append(f" {field}=", "dim").append(printable(str(value)))
    return text


def show_event(line: Mapping[str, Any]) -> None:
    """Print the line; whole, where nobody looks at it."""
    text = event_line(line)
    if console.is_terminal:
        console.print(text, overflow="ellipsis", no_wrap=True)
    else:
        console.print(text.plain, soft_wrap=True)


def _style(name: str, data: Mapping[str, Any]) -> str:
    if name == "order_filled":
        return "bold green" if data.get("side") == "buy" else "bold magenta"
    return "bold red" if any(alarm in name for alarm in _ALARMS) else "cyan"
