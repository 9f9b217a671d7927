"""A download gives the tape that an import of the same candles gives, whatever the venue and the network do."""

from pathlib import Path

import ccxt
import pytest
from msgspec.structs import replace

from domain.errors import InputError, MissingError, VenueError
from domain.values import Time
from infrastructure.market_data.download import Downloaded, Wanted, download
from infrastructure.market_data.download_part import Part
from infrastructure.market_data.shelf import import_cached, list_tapes
from infrastructure.market_data.tape import Tape
from infrastructure.market_data.venue_candles import ATTEMPTS, BAN_MAX, Series
from tests.infrastructure.market_data.candles import write_csv
from tests.venue_server import KRAKEN_ROWS, MINUTE, START, Candle, Fault, Query, VenueServer, candle, venue

VENUES = ("binance", "okx")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def at(minute: int) -> Time:
    return Time((START + minute * MINUTE) * 1_000)


def some(*numbers: int) -> dict[int, Candle]:
    return {number: candle(number) for number in numbers}


def fetch(
    server: VenueServer,
    home: Path,
    since: int | None = 0,
    until: int | None = None,
    name: str | None = None,
    pauses: list[float] | None = None,
) -> Downloaded:
    """Download minutes of the server's market, without waiting where it would have to wait."""
    wanted = Wanted(
        Series(server.protocol, "BTC/USDT", "1m"),
        None if since is None else at(since),
        None if until is None else at(until),
        name,
    )
    return download(wanted, home, server.url, (pauses if pauses is not None else []).append)


def imported(minutes: dict[int, Candle], folder: Path) -> str:
    """The digest of a file with these candles, imported elsewhere."""
    rows = [f"{START + number * MINUTE},{','.join(each)}" for number, each in sorted(minutes.items())]
    return import_cached(write_csv(folder / "same.csv", rows), folder / "elsewhere").header.digest


@pytest.mark.parametrize("protocol", VENUES)
def test_it_is_the_tape_that_an_import_gives(protocol: str, home: Path, tmp_path: Path) -> None:
    there = some(*range(1250))
    with venue(protocol, there, 1250) as server:
        done = fetch(server, home)
    assert done.stored.header.digest == imported(there, tmp_path)
    assert (done.candles, done.stored.name, done.stored.is_new) == (1250, f"{protocol}-BTC-USDT-1m", True)
    assert done.stored.header.instrument == "BTC/USDT"
    assert done.requests >= len(server.asked) + 2, "markets and the clock are asked for too"
    assert done.stored.load().highs[0] == 90_007_123456789, "every digit"


@pytest.mark.parametrize("protocol", VENUES)
def test_a_candle_that_is_not_closed_is_left_out(protocol: str, home: Path) -> None:
    with venue(protocol, some(*range(20)), 9) as server:
        assert fetch(server, home).stored.header.end == at(8)
        server.now += MINUTE - 1
        assert fetch(server, home).stored.header.end == at(8)
        server.now += 1
        assert fetch(server, home).stored.header.end == at(9)


@pytest.mark.parametrize("protocol", VENUES)
def test_a_gap_of_several_pages_is_a_gap_of_the_tape(protocol: str, home: Path, tmp_path: Path) -> None:
    there = some(*range(3), *range(400, 405), *range(1500, 1510))
    with venue(protocol, there, 1700) as server:
        done = fetch(server, home)
    assert done.stored.header.digest == imported(there, tmp_path)
    gaps = done.stored.header.gaps
    assert [(gap.since, gap.until) for gap in gaps.first] == [(at(2), at(400)), (at(404), at(1500))]


def test_only_what_is_asked_for_is_kept(home: Path) -> None:
    with venue("binance", some(*range(100)), 100) as server:
        done = fetch(server, home, 10, 20)
    assert (done.stored.header.start, done.stored.header.end, done.candles) == (at(10), at(19), 10)


def test_pages_that_overlap(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ccxt hides what comes before the time that was asked for; not every venue of its hundred is sure to."""
    monkeypatch.setattr(ccxt.binance, "filter_by_since_limit", lambda _client, rows, *_since_and_limit: rows)
    there = some(*range(2300))
    with venue("binance", there, 2300) as server:
        klines = server.answers["/api/v3/klines"]
        server.answers["/api/v3/klines"] = lambda query: klines(
            {**query, "startTime": str(int(query["startTime"]) - 3 * MINUTE)}
        )
        done = fetch(server, home)
    assert done.stored.header.digest == imported(there, tmp_path)


def test_the_sandbox_is_another_series(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        fetch(server, home)
        series = Series("binance", "BTC/USDT", "1m", sandbox=True)
        done = download(Wanted(series, at(0)), home, server.url)
        assert (done.stored.name, done.candles) == ("binance-BTC-USDT-1m-sandbox", 10)
        with pytest.raises(InputError, match=r"no download of binance BTC/USDT 1m \(sandbox\)"):
            download(Wanted(series, name="binance-BTC-USDT-1m"), home, server.url)


def test_a_venue_that_gives_the_newest_only(home: Path) -> None:
    """Kraken; its pages begin before what was asked for, and what it does not give is no gap within the tape."""
    count = KRAKEN_ROWS + 300
    with venue("kraken", some(*range(count + 1)), count) as server:
        done = fetch(server, home)
        assert (done.stored.header.start, done.stored.header.end) == (at(301), at(count - 1))
        assert (done.since, done.stored.header.gaps.count) == (at(0), 0)
        server.now += 2 * MINUTE
        server.candles |= {START + number * MINUTE: candle(number) for number in (count + 1, count + 2)}
        assert fetch(server, home, None).candles == 2, "the overlap is no duplicate"


# --- trouble ---------------------------------------------------------------------------------------------------------

TROUBLE = [
    Fault(429, {"Retry-After": "7"}),
    Fault(418, {"Retry-After": "90"}),
    Fault(500),
    Fault(503),
    Fault(cut=True),
    Fault(drop=True),
]


@pytest.mark.parametrize("protocol", VENUES)
@pytest.mark.parametrize("fault", TROUBLE, ids=str)
def test_what_passes_is_tried_again(protocol: str, fault: Fault, home: Path, tmp_path: Path) -> None:
    there = some(*range(700))
    with venue(protocol, there, 700) as server:
        server.faults = [fault, Fault(), fault, fault]
        pauses: list[float] = []
        done = fetch(server, home, pauses=pauses)
    assert done.stored.header.digest == imported(there, tmp_path)
    assert len(pauses) == (3 if protocol == "okx" else 1)
    assert pauses[0] == max(1, int(fault.headers.get("Retry-After", "0"))), "a ban is waited out"


def test_a_ban_told_as_a_date(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        server.faults = [
            Fault(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
            Fault(429, {"Retry-After": "soon"}),
        ]
        pauses: list[float] = []
        assert fetch(server, home, pauses=pauses).candles == 10
        assert pauses == [1, 2], "it is over, or nobody knows when"
        server.faults = [Fault(429, {"Retry-After": "Fri, 21 Oct 2185 07:28:00 GMT"})]
        with pytest.raises(VenueError, match="left alone for"):
            fetch(server, home, -5)


def test_a_ban_is_of_the_answer_that_told_it(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        server.faults = [Fault(429, {"Retry-After": "7"}), Fault(drop=True)]
        pauses: list[float] = []
        assert fetch(server, home, pauses=pauses).candles == 10
    assert pauses == [7, 2]


def test_an_answer_in_another_form_is_no_empty_page(home: Path) -> None:
    """What half a page or an error page becomes where a parser takes anything."""
    with venue("binance", some(*range(10)), 10) as server:
        klines = server.answers["/api/v3/klines"]
        server.answers["/api/v3/klines"] = lambda query: [row[:3] for row in klines(query)]
        with pytest.raises(VenueError, match="an answer that cannot be read"):
            fetch(server, home)
        assert len(server.asked) == ATTEMPTS


def test_pauses_grow_and_the_attempts_end(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        server.faults = [Fault(503)] * 20
        pauses: list[float] = []
        with pytest.raises(VenueError, match=rf"in {ATTEMPTS} attempts.*ExchangeNotAvailable(.|\n)*nothing is kept"):
            fetch(server, home, pauses=pauses)
    assert pauses == [1, 2, 4, 8, 16]
    assert len(server.asked) == ATTEMPTS
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_long_ban_ends_the_download_at_once_and_what_came_is_kept(home: Path, tmp_path: Path) -> None:
    there = some(*range(1500))
    with venue("binance", there, 1500) as server:
        server.faults = [Fault(), Fault(418, {"Retry-After": str(BAN_MAX + 1)})]
        with pytest.raises(VenueError, match=r"left alone for 901 s(.|\n)*1,000 candles of it are kept"):
            fetch(server, home)
        assert len(server.asked) == 2
        assert list_tapes(home) == []
        done = fetch(server, home)
    assert (done.resumed, server.asked[2]["startTime"]) == (1000, str(START + 1000 * MINUTE))
    assert done.stored.header.digest == imported(there, tmp_path)
    assert list((home / "market" / "downloads").iterdir()) == []


def test_what_the_venue_refuses_is_not_tried_again(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        server.faults = [Fault(403)] * 2
        pauses: list[float] = []
        with pytest.raises(VenueError, match="403"):
            fetch(server, home, pauses=pauses)
    assert (len(server.asked), pauses) == (1, [])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (("10", "9", "8", "9", "1"), "open 10.* is not between low 8.* and high 9"),
        (("10", "8", "9", "10", "1"), "high 8.* is below low 9"),
        (("0", "9", "0", "9", "1"), "is not above 0"),
        (("NaN", "9", "8", "9", "1"), "NaN.* is not a finite number"),
        (("8", "9", "8", "9", "-1"), "volume -1.* is below 0"),
    ],
)
def test_a_page_with_a_candle_that_is_none_is_refused(bad: Candle, said: str, home: Path) -> None:
    """The pages before it stay."""
    with venue("binance", some(*range(1005)) | {1002: bad}, 1005) as server:
        with pytest.raises(InputError, match=f"the page from 2026-01-01T16:40:00Z: row 3: .*{said}"):
            fetch(server, home)
        server.candles[START + 1002 * MINUTE] = candle(1002)
        assert fetch(server, home).resumed == 1000


def test_what_was_torn_is_asked_for_again(home: Path, tmp_path: Path) -> None:
    """Every length that the file of pages may have after a crash."""
    there = some(*range(2040))
    with venue("binance", there, 2040) as server:
        server.faults = [Fault(), Fault(), Fault(403)]
        with pytest.raises(VenueError):
            fetch(server, home)
        part = next((home / "market" / "downloads").iterdir())
        whole = part.read_bytes()
        ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
        marks = [number for number in ends if whole[:number].splitlines()[-1].startswith(b"#")]
        assert len(marks) == 3, "the series and two pages"
        for length in (0, 5, *(mark + step for mark in marks for step in (-1, 0, 1, 40) if mark + step <= len(whole))):
            part.write_bytes(whole[:length])
            kept = sum(mark <= length for mark in marks[1:]) * 1000
            done = fetch(server, home)
            assert (done.resumed, done.stored.header.digest) == (kept, imported(there, tmp_path)), length
            done.stored.path.unlink()
        part.write_bytes(whole.replace(b'"since"', b'"sinc"'))
        with pytest.raises(InputError, match="no unfinished download"):
            fetch(server, home)


# --- extending -------------------------------------------------------------------------------------------------------


def test_a_tape_is_extended_on_both_sides(home: Path, tmp_path: Path) -> None:
    there = some(*range(300))
    coarse = dict.fromkeys(range(100, 110), ("100", "101", "99", "100", "1"))
    with venue("binance", there | coarse, 300) as server:
        first = fetch(server, home, 100, 110)
        assert first.stored.header.price_scale == 0
        second = fetch(server, home, 200, 210)
        assert (second.candles, second.stored.is_new) == (100, False), "what lies between came too"
        third = fetch(server, home, 50, 60)
        assert third.candles == 50
        assert fetch(server, home, 60, 200).candles == 0
        fourth = fetch(server, home, None)
    digest = imported({n: each for n, each in (there | coarse).items() if n >= 50}, tmp_path)
    assert fourth.stored.header.digest == digest
    for done in (first, second, third, fourth):
        tape = Tape.find_by_digest(home, done.stored.header.digest)
        assert tape.header == header_of(done)
    with pytest.raises(MissingError):
        Tape.find_by_digest(home, "0" * 64)


def header_of(done: Downloaded) -> object:
    """What the tape's header was; an older state of a tape says nothing of downloads."""
    now = Tape.load(done.stored.path).digest
    return done.stored.header if done.stored.header.digest == now else replace(done.stored.header, download=None)


def test_the_older_state_is_looked_at_and_not_believed(home: Path) -> None:
    with venue("binance", some(*range(30)), 30) as server:
        first = fetch(server, home, 0, 10)
        second = fetch(server, home)
    tape = second.stored.load()
    assert tape.download is not None
    (earlier,) = tape.download.earlier
    assert tape.before(earlier).digest == first.stored.header.digest
    with pytest.raises(InputError, match="not the continuation"):
        tape.before(replace(earlier, end=at(11)))


def test_a_candle_that_comes_late_is_not_lost(home: Path, tmp_path: Path) -> None:
    """A venue that has not published the last candles is asked for them again, not taken to have none."""
    there = some(*range(30))
    with venue("binance", some(*range(27)), 30) as server:
        assert fetch(server, home).stored.header.end == at(26)
        server.candles |= {START + number * MINUTE: each for number, each in there.items()}
        assert fetch(server, home, None).stored.header.digest == imported(there, tmp_path)


def test_nor_is_one_that_comes_while_a_download_is_unfinished(home: Path, tmp_path: Path) -> None:
    """Somebody takes the name before the end, so that the pages stay; that they reach up to now is not believed later."""
    there = some(*range(30))
    with venue("binance", some(*range(27)), 30) as server:
        klines = server.answers["/api/v3/klines"]
        other = write_csv(tmp_path / "other.csv", [f"{START},1,1,1,1,1", f"{START + MINUTE},1,1,1,1,1"])

        def taken(query: Query) -> object:
            if found := klines(query):
                return found
            import_cached(other, home, "binance-BTC-USDT-1m")
            return []

        server.answers["/api/v3/klines"] = taken
        with pytest.raises(InputError, match="name binance-BTC-USDT-1m is taken"):
            fetch(server, home)
        server.answers["/api/v3/klines"] = klines
        (home / "market" / "binance-BTC-USDT-1m.parquet").unlink()
        server.candles |= {START + number * MINUTE: each for number, each in there.items()}
        done = fetch(server, home)
    assert (done.resumed, done.stored.header.digest) == (27, imported(there, tmp_path))


def test_an_import_of_the_same_candles_leaves_the_download_one(home: Path, tmp_path: Path) -> None:
    there = some(*range(30))
    with venue("binance", there, 30) as server:
        done = fetch(server, home, 0, 20)
        rows = [f"{START + number * MINUTE},{','.join(there[number])}" for number in range(20)]
        again = import_cached(write_csv(tmp_path / "x.csv", rows), home, done.stored.name, "BTC/USDT")
        assert (again.is_new, again.header.digest) == (False, done.stored.header.digest)
        assert fetch(server, home, None).candles == 10


# --- what cannot be asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (Series("binanse", "BTC/USDT", "1m"), "venue 'binanse' is not known; such as .*binance"),
        (Series("binance", "BTC/USDC", "1m"), "no symbol 'BTC/USDC'; of BTC there are: BTC/USDT"),
        (Series("binance", "XYZ/USDT", "1m"), "no symbol 'XYZ/USDT'; a symbol is such as"),
        (Series("binance", "BTC/USDT", "7m"), "no timeframe '7m'; allowed are 1s, 1m"),
        (Series("binance", "BTC/USDT", "1M"), "timeframe '1M' is not allowed"),
        (Series("binance", "BTC/USDT", "m"), "timeframe 'm' is not allowed"),
    ],
    ids=str,
)
def test_what_is_not_there_is_said(series: Series, said: str, home: Path) -> None:
    pauses: list[float] = []
    with venue("binance", some(*range(10)), 10) as server, pytest.raises(InputError, match=said):
        download(Wanted(series, at(0)), home, server.url, pauses.append)
    assert (server.asked, pauses) == ([], [])
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_spans_and_names_that_cannot_be(home: Path, tmp_path: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        with pytest.raises(InputError, match="say --from when"):
            fetch(server, home, None)
        with pytest.raises(InputError, match="is not before --to"):
            fetch(server, home, 5, 5)
        with pytest.raises(InputError, match="has closed yet"):
            fetch(server, home, 10)
        with pytest.raises(InputError, match="no candle from"):
            fetch(server, home, -30, -20)
        import_cached(write_csv(tmp_path / "mine.csv", [f"{START},1,1,1,1,1", f"{START + MINUTE},1,1,1,1,1"]), home)
        with pytest.raises(InputError, match="no download of binance BTC/USDT 1m; choose another with --name"):
            fetch(server, home, name="mine")
        with pytest.raises(InputError, match="allowed are letters"):
            fetch(server, home, name="../x")


def test_one_download_at_a_time(home: Path) -> None:
    with venue("binance", some(*range(10)), 10) as server:
        with (
            Part(home, "binance-BTC-USDT-1m", Series("binance", "BTC/USDT", "1m")),
            pytest.raises(InputError, match="another download of binance BTC/USDT 1m is going on"),
        ):
            fetch(server, home)
        assert fetch(server, home).candles == 10
