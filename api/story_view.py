"""An explanation as people read it: a tree of sentences, a line of events that follow each other unbroken."""

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from api.terminal import console, printable
from replay.causal_tree import Node, Said
from replay.explain import Explanation

_DAY, _TIME = slice(0, 10), slice(11, 19)
_TIME_WIDTH = 8
_DELIVERY = "signal.alert_received.v1"
"""What the alert said is in how it was understood."""
_STEPS = 2
_ALARMS = ("denied", "rejected", "refused", "halted", "unknown", "malformed", "duplicated", "stale", "expired", "dropped",
           "abandoned", "overfilled")  # fmt: skip
_FILLS = ("order_filled",)
_OUTSIDE = frozenset({"core", "venue"})
"""Who needs no name: the engine itself, and the market's side."""


class _Teller:
    """Makes a tree's lines; says the time, and the day, where it is another than in the line before."""

    def __init__(self, explanation: Explanation, *, whole: bool) -> None:
        self._asked = explanation.asked
        self._whole = whole
        self._day = ""
        self._time_said = ""

    def branch(self, tree: Tree, node: Node) -> None:
        """A line of decisions each of which led to one other only, then branches for what came of the last."""
        self._time_said = ""
        lines: list[Table] = []
        while True:
            lines += self._lines(node)
            children = list(self._children(node))
            if len(children) != 1:
                break
            (node,) = children
        below = tree.add(Group(*lines))
        for child in children:
            self.branch(below, child)

    def _children(self, node: Node) -> Iterator[Node]:
        """What followed, without bookkeeping: what that led to takes its place."""
        for child in node.children:
            if self._whole or not all(said.minor for said in child.said):
                yield child
            else:
                yield from self._children(child)

    def _lines(self, node: Node) -> Iterator[Table]:
        marked = any(said.position == self._asked for said in node.said)
        if node.at[_DAY] != self._day:
            self._day, self._time_said = node.at[_DAY], ""
            yield self._line("", Text(self._day, "dim"), None)
        for said in self._reasons(node):
            yield self._line("", Text(f"because {printable(said.text)}", "dim"), said)
        shown = [said for said in node.said if self._whole or not said.minor]
        by = printable(node.actor)
        if node.actor in _OUTSIDE or any(by in said.text for said in shown):
            by = ""
        for number, said in enumerate(shown, 1):
            text = Text(printable(said.text), _style(said))
            if marked:
                text.stylize("bold")
            if by and number == len(shown):
                text.append(f" (by {by})", "dim")
            yield self._line(self._time(node), text, said)
        if node.cut:
            yield self._line("", Text("... more followed: --limit shows more, or explain a part of it", "dim"), None)

    def _reasons(self, node: Node) -> Sequence[Said]:
        """How it came about: where that began, and the last step; all steps where everything is asked for."""
        steps = [said for said in node.because if said.event != _DELIVERY and not said.minor]
        return node.because if self._whole else steps if len(steps) <= _STEPS else (steps[0], steps[-1])

    def _line(self, time: str, text: Text, said: Said | None) -> Table:
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_column(width=_TIME_WIDTH, style="dim", no_wrap=True)
        line.add_column(overflow="fold")
        if self._whole and said is not None:
            text.append(f" #{said.position} {said.event}", "dim")
        line.add_row(time, text)
        return line

    def _time(self, node: Node) -> str:
        """The time of day, at the head of a branch and where it is another than in the line before."""
        before, self._time_said = self._time_said, node.at[_TIME]
        return "" if before == self._time_said else self._time_said


def show_story(explanation: Explanation, *, whole: bool) -> None:
    """Print the tree."""
    count = f"{explanation.decisions:,} decisions" if explanation.decisions > 1 else "one decision"
    rest = "" if explanation.complete else ", and more that is not shown"
    tree = Tree(
        Text(f"{printable(explanation.subject)}, run {explanation.run}: {count}{rest}", "bold"), guide_style="dim"
    )
    _Teller(explanation, whole=whole).branch(tree, explanation.root)
    if console.is_terminal:
        console.print(tree)
        return
    for segments in console.render_lines(tree, console.options, pad=False):
        console.print("".join(segment.text for segment in segments).rstrip(), soft_wrap=True)


def _style(said: Said) -> str:
    if any(fill in said.event for fill in _FILLS):
        return "green" if said.data.get("side") == "buy" else "magenta"
    return "red" if any(alarm in said.event for alarm in _ALARMS) else ""
