"""The options of `truetape backtest`."""

from pathlib import Path
from typing import Annotated

import typer

STRATEGY = Annotated[
    str, typer.Argument(help="sma_cross, grid, ..., or a file: my.py; dca_signals: position groups from alerts.")
]
BALANCE = Annotated[list[str], typer.Option(help="ASSET=AMOUNT at the start; may be repeated.")]
OUT = Annotated[Path, typer.Option(help="Folder for report.html, summary.json, fills.csv, ...; it may be new.")]
VALUES = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter of the strategy; may be repeated.")
]
CONFIG = Annotated[
    Path | None, typer.Option(help="TOML: [parameters] or [group], perhaps [[instruments]], [risk], ...")
]
SIGNALS = Annotated[Path | None, typer.Option(help="Recorded alerts, JSON lines, for dca_signals.")]
CANDLES = Annotated[Path | None, typer.Option(help="Candles: Binance kline CSV, CSV or Parquet.")]
TAPE = Annotated[str | None, typer.Option(help="Candles: the name of a stored tape.")]
MARKET = Annotated[str | None, typer.Option(help="Candles: what was downloaded from this venue.")]
TIMEFRAME = Annotated[str, typer.Option(help="The timeframe of what was downloaded.")]
FROM = Annotated[str | None, typer.Option("--from", help="Only candles that open from this UTC time on.")]
TO = Annotated[str | None, typer.Option("--to", help="Only candles that open before this UTC time.")]
INSTRUMENT = Annotated[str | None, typer.Option(help="BASE/QUOTE, such as BTC/USDT.")]
TICK = Annotated[str | None, typer.Option(help="Price grid; as fine as the candles without it.")]
STEP = Annotated[str | None, typer.Option(help="Quantity grid; 0.00000001 without it.")]
MIN_NOTIONAL = Annotated[str, typer.Option(help="Smallest order, in the quote asset.")]
MAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that resting orders pay.")]
TAKER_FEE = Annotated[str, typer.Option(help="Fraction of the notional that other orders pay.")]
SLIPPAGE = Annotated[str, typer.Option(help="Fraction of the price that market and stop orders lose.")]
ACCOUNT = Annotated[str, typer.Option(help="spot, or margin: may be short, at a leverage of one.")]
FEE_ASSET = Annotated[str, typer.Option(help="Where the fee of a buy is taken: quote or base.")]
FEED = Annotated[str, typer.Option(help="skip, plain, every: how the tape is gone through; the log is the same.")]
PERIODS = Annotated[float, typer.Option("--periods-per-year", help="Trading days: 365, 252 for stocks.")]
LINES = Annotated[
    bool | None, typer.Option("--lines/--no-lines", help="Write events.jsonl too; with dca_signals it is.")
]
KEEP = Annotated[bool, typer.Option("--keep", help="Keep the run in Postgres.")]
