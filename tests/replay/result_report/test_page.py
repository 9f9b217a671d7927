"""The page is one file that needs nothing else, says everything as text, and lets no text become markup."""

import re
import shutil
import subprocess
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from replay.result_report import page as module
from replay.result_report.page import SHADES, page, write_page
from replay.result_report.report import Figure, Fills, Market, Series, Table
from replay.result_report.sampling import MARKS_MAX
from replay.result_report.zoom import FILLS_MAX
from tests.replay.result_report.drawing import market, report

NOTHING = Series(np.empty(0, np.int64), np.empty(0))
EVIL = '</script></style><script>alert(1)</script><img src=x onerror="alert(2)">\'"&lt;'
VOID = {"meta", "img", "link", "input", "br"}


class Seen(HTMLParser):
    """The elements of a page with their attributes, and the texts in them, by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag.lower()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def classes(self) -> set[str]:
        return {name for _, attributes in self.elements for name in (attributes.get("class") or "").split()}


def text_evil() -> str:
    """A page on which every text is an attempt."""
    drawn = market(300, 30, instrument=EVIL)
    figures = (Figure(EVIL, EVIL, EVIL),)
    return page(
        report(
            title=EVIL, subtitle=EVIL, currency=EVIL, headline=figures, markets=(drawn,), warnings=(EVIL,),
            tables=(Table(EVIL, figures),),
        )
    )  # fmt: skip


# --- safety ----------------------------------------------------------------------------------------------------------


def test_no_text_becomes_markup() -> None:
    harmless, attempted = Seen(page(report())), Seen(text_evil())
    assert attempted.tags == harmless.tags
    count = [tag for tag, _ in attempted.elements].count("script")
    assert count == 2, "the page's own, and the data of its one market"
    assert not [name for _, attributes in attempted.elements for name in attributes if name.startswith("on")]
    assert EVIL in attempted.texts["h1"]
    assert EVIL in attempted.texts["dd"]
    assert EVIL in attempted.texts["li"]
    assert any(EVIL in title for title in attempted.texts["title"][1:])


def test_the_check_would_see_a_text_that_is_not_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "escape", lambda text: text)
    with pytest.raises(AssertionError):
        test_no_text_becomes_markup()


def test_it_loads_nothing_and_runs_only_what_it_names() -> None:
    html = text_evil()
    seen = Seen(html)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & seen.tags
    assert not {"src", "href", "style", "xlink:href"} & {name for _, attributes in seen.elements for name in attributes}
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {"#${svg.id}-clip"}
    assert "@import" not in html
    (policy,) = [a["content"] for tag, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy"]
    style, script = seen.texts["style"][0], seen.texts["script"][-1]
    hashes = [f"'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in (style, script)]
    assert policy == f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]}"


# --- content ---------------------------------------------------------------------------------------------------------


def test_every_figure_is_there_as_text() -> None:
    seen = Seen(page(report()))
    assert seen.texts["h1"] == ["sma_cross on BTC/USDT"]
    assert seen.texts["dt"] == ["Total return", "Sharpe"]
    assert seen.texts["dd"] == ["+1.00%", "10,100 USDT at the end", "1.2"]
    assert {"fast", "slow"} <= set(seen.texts["th"])
    assert {"10", "30"} <= set(seen.texts["td"])
    assert "candles" in seen.texts["small"]


def test_monthly_returns_stand_in_rows_of_years() -> None:
    html = page(report())
    assert '<th scope="row">2021</th>' + "<td></td>" * 11 + '<td class="gain s10">+2.00</td>' in html
    assert '<th scope="row">2022</th><td class="loss s5">-1.00</td>' + "<td></td>" * 12 + "</tr>" in html


def test_pictures_are_whole_and_say_what_they_show() -> None:
    pictures = re.findall(r"<svg.*?</svg>", page(report()))
    assert len(pictures) == 3
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        title, said = root.find("title"), root.find("desc")
        assert title is not None
        assert said is not None
        assert root.get("aria-labelledby") == f"{title.get('id')} {said.get('id')}"
        assert title.text
        assert len(said.text or "") > 30
        assert "nan" not in picture.lower().replace("finance", "")


def test_fills_are_triangles_while_they_are_few_and_counted_when_they_are_many() -> None:
    few, many = (page(report(9000, fills)) for fills in (MARKS_MAX, MARKS_MAX + 1))
    assert few.split("<script")[0].count("l4.5 ") == MARKS_MAX
    assert "l4.5 " not in many.split("<script")[0]
    assert '<path class="buy count"' not in few
    assert '<path class="buy count"' in many
    assert "2,001 fills: a bar counts those of 29 min" in many


def test_every_class_has_a_style() -> None:
    styled = set(re.findall(r"\.([a-z][a-z0-9-]*)", module.page_file("page.css")))
    seen = Seen(page(report(9000, MARKS_MAX + 1))).classes | Seen(page(report(markets=(), profits=np.empty(0)))).classes
    assert seen - styled == {"plot", "chart"}, "hooks for the script, and what has the style of every picture"
    assert {f"s{shade}" for shade in range(1, SHADES + 1)} <= styled


@pytest.mark.parametrize("scheme", ["prefers-color-scheme: dark", "@media print"])
def test_colours_of_every_scheme_are_complete(scheme: str) -> None:
    css = module.page_file("page.css")
    names = set(re.findall(r"(--[a-z]+):", css.partition("@media")[0]))
    assert names == set(re.findall(r"(--[a-z]+):", css.partition(scheme)[2].partition("\n}")[0]))
    assert set(re.findall(r"var\((--[a-z]+)\)", css)) == names


def test_a_run_of_nothing_has_a_page() -> None:
    empty = Market("BTC/USDT", NOTHING, Fills(np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_)))
    html = page(
        report(
            equity=NOTHING, drawdown=NOTHING, benchmark=None, months={}, markets=(empty,), profits=np.empty(0),
            headline=(), tables=(), warnings=(),
        )
    )  # fmt: skip
    said = Seen(html).texts["p"]
    assert "No round trip was completed." in said
    assert "BTC/USDT has no candles." in said


@pytest.mark.parametrize("candles", [1, 2, 3])
def test_a_run_of_a_moment_has_a_page(candles: int) -> None:
    html = page(report(candles, 1, profits=np.array([0.0])))
    assert len(re.findall("<svg", html)) == 3
    assert "nan" not in html.split("<script")[0].lower()


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_same_report_gives_the_same_bytes(tmp_path: Path) -> None:
    write_page(tmp_path / "a.html", report())
    write_page(tmp_path / "b.html", report())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize("fills", [FILLS_MAX, FILLS_MAX + 1])
def test_a_year_of_minutes_stays_small(fills: int) -> None:
    assert len(page(report(525_600, fills)).encode()) < 620_000


def test_several_markets_share_the_space() -> None:
    drawn = tuple(market(100_000, 5000, seed, f"A{seed}/USDT") for seed in range(6))
    html = page(report(markets=drawn))
    assert len(html.encode()) < 620_000
    assert html.count("too many to be shown when looking closer") == 6
    assert Seen(html).tags >= {"svg", "script"}


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the page with")
def test_the_script_runs_under_the_pages_own_policy(tmp_path: Path) -> None:
    assert BROWSER is not None
    path = tmp_path / "report.html"
    write_page(path, report())
    line = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    done = subprocess.run([*line, path.as_uri()], capture_output=True, text=True, timeout=100, check=True)
    assert Seen(done.stdout).texts["button"] == ["earlier", "closer", "wider", "later", "all"]
