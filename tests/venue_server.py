"""Venues on this machine: servers that speak the public candle protocols of Binance, OKX and Kraken, and fail as told."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

START = 1_767_225_600_000
"""2026-01-01 in milliseconds."""
MINUTE = 60_000
Candle = tuple[str, str, str, str, str]
Query = Mapping[str, str]


class Fault(NamedTuple):
    """How one request for candles is answered: by a status, half an answer, none at all, or never."""

    status: int = 200
    headers: Mapping[str, str] = {}
    cut: bool = False
    drop: bool = False
    hang: bool = False


def candle(number: int) -> Candle:
    """Open, high, low, close and volume of a minute, with digits that no float has."""
    base = 90_000 + number % 700
    return (f"{base}.10", f"{base + 7}.123456789", f"{base - 5}.00", f"{base + 1}.5", f"{number % 9}.00000001")


class VenueServer:
    """One venue with one market; `faults` are used up by its next requests for candles, `asked` are those it got."""

    def __init__(self, protocol: str, minutes: Mapping[int, Candle], now: int) -> None:
        self.protocol = protocol
        self.candles = {START + number * MINUTE: each for number, each in sorted(minutes.items())}
        self.now = START + now * MINUTE
        self.faults: list[Fault] = []
        self.asked: list[Query] = []
        self.hanging = Event()
        self.released = Event()
        self.lock = Lock()
        self.answers: dict[str, Callable[[Query], Any]] = _PROTOCOLS[protocol](self)
        self.candle_paths = {path for path in self.answers if path.endswith(("klines", "candles", "OHLC"))}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name it has there)
                """Nothing is printed."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        fault = Fault()
        if url.path in self.candle_paths:
            with self.lock:
                self.asked.append(query)
                fault = self.faults.pop(0) if self.faults else fault
        if fault.hang:
            self.hanging.set()
            self.released.wait()
        if fault.drop or fault.hang:
            handler.close_connection = True
            return
        found = self.answers.get(url.path)
        status, body = (200, found(query)) if found and fault.status == 200 else (fault.status, {"msg": "not now"})
        text = json.dumps(body).encode()
        text = text[: len(text) // 2] if fault.cut else text
        handler.send_response(404 if found is None else status)
        for name, value in {**fault.headers, "Content-Type": "application/json", "Content-Length": len(text)}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(text)

    def between(self, since: int, until: int) -> list[tuple[int, Candle]]:
        """The candles of these times, with the one that is not closed yet."""
        return [(at, each) for at, each in self.candles.items() if since <= at < until and at <= self.now]


@contextmanager
def venue(protocol: str, minutes: Mapping[int, Candle], now: int) -> Iterator[VenueServer]:
    server = VenueServer(protocol, minutes, now)
    server.start()
    try:
        yield server
    finally:
        server.stop()


# --- what they say ---------------------------------------------------------------------------------------------------


def _binance(server: VenueServer) -> dict[str, Callable[[Query], Any]]:
    """From `startTime` on, the first `limit` there are, whatever lies between."""
    symbol = {
        "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "orderTypes": ["LIMIT"],
        "isSpotTradingAllowed": True, "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        ],
    }  # fmt: skip

    def klines(query: Query) -> Any:
        found = server.between(int(query["startTime"]), server.now + 1)[: int(query["limit"])]
        return [[at, *each, at + MINUTE - 1, "0", 3, "0", "0", "0"] for at, each in found]

    return {
        "/api/v3/exchangeInfo": lambda _query: {"timezone": "UTC", "symbols": [symbol]},
        "/api/v3/time": lambda _query: {"serverTime": server.now},
        "/api/v3/klines": klines,
    }


def _okx(server: VenueServer) -> dict[str, Callable[[Query], Any]]:
    """A window between `before` and `after`, both outside it, newest first."""
    instrument = {
        "instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "state": "live",
        "tickSz": "0.01", "lotSz": "0.00001", "minSz": "0.00001", "ctVal": "", "settleCcy": "", "uly": "",
    }  # fmt: skip

    def candles(query: Query) -> Any:
        found = server.between(int(query["before"]) + 1, int(query["after"]))[::-1][: int(query["limit"])]
        return {"code": "0", "msg": "", "data": [[str(at), *each, "0", "0", "1"] for at, each in found]}

    def instruments(query: Query) -> Any:
        return {"code": "0", "msg": "", "data": [instrument] if query["instType"] == "SPOT" else []}

    return {
        "/api/v5/public/instruments": instruments,
        "/api/v5/public/time": lambda _query: {"code": "0", "msg": "", "data": [{"ts": str(server.now)}]},
        "/api/v5/market/candles": candles,
        "/api/v5/market/history-candles": candles,
    }


KRAKEN_ROWS = 720


def _kraken(server: VenueServer) -> dict[str, Callable[[Query], Any]]:
    """The newest 720 after `since`, seconds, with the one that is not closed yet; what is older is not given."""
    pair = {
        "altname": "XBTUSDT", "wsname": "XBT/USDT", "base": "XXBT", "quote": "USDT", "pair_decimals": 2,
        "lot_decimals": 8, "cost_decimals": 5, "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "ordermin": "0.0001",
        "costmin": "0.5", "tick_size": "0.01", "status": "online", "leverage_buy": [], "leverage_sell": [],
    }  # fmt: skip

    def candles(query: Query) -> Any:
        found = server.between(int(float(query["since"])) * 1000 + 1, server.now + 1)[-KRAKEN_ROWS:]
        rows = [[at // 1000, *each[:4], each[1], each[4], 3] for at, each in found]
        return {"error": [], "result": {"XBTUSDT": rows, "last": 0}}

    return {
        "/0/public/AssetPairs": lambda _query: {"error": [], "result": {"XBTUSDT": pair}},
        "/0/public/Time": lambda _query: {"error": [], "result": {"unixtime": server.now // 1000, "rfc1123": ""}},
        "/0/public/Assets": lambda _query: {"error": [], "result": {}},
        "/0/public/OHLC": candles,
    }


_PROTOCOLS = {"binance": _binance, "okx": _okx, "kraken": _kraken}
