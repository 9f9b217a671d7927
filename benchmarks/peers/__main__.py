"""Truetape beside its peers: the same candles, rules and fees, each engine in a process and an environment of its own.

    python -m benchmarks.peers             # 100,000 and 1,000,000 candles, three times in turns, and the sweep
    python -m benchmarks.peers --check     # each engine's fills against the reference's, one by one

The environments, nearly 3 GB, are made under `build/peers` on the first run.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.peers.agreement import agreement, planted
from benchmarks.peers.environments import ENGINES, OURS, READER, Engine
from benchmarks.peers.market import write_candles
from benchmarks.peers.reference import fills_of, read_candles
from benchmarks.peers.workload import WORKLOADS, profit_of, read_fills

SECONDS_MAX = 600
CHECKED = [10_000, 100_000]
TIMED = [100_000, 1_000_000]
SWEPT = 100_000
CENT = 0.01
SWEEPERS = ("truetape", "vectorbt_rust")


class Failed(NamedTuple):
    """What an engine's process said last."""

    why: str


class Case(NamedTuple):
    """Candles and what is played on them."""

    workload: str
    candles: int
    data: Path
    parameters: dict[str, Any] = {}  # noqa: RUF012  (never written to)

    def engines(self, only: list[str]) -> list[Engine]:
        able = SWEEPERS if self.parameters.get("sweep") else [each.module for each in ENGINES]
        chosen = [each for each in ENGINES if self.workload in each.workloads and each.module in able]
        return [each for each in chosen if each.module in (only or able)]

    def title(self) -> str:
        what = "sma_cross, 100 pairs at once" if self.parameters.get("sweep") else self.workload
        return f"{what}, {self.candles:,} candles"


def played(engine: Engine, case: Case, fills: Path | None = None) -> dict[str, Any] | Failed:
    """One process; `whole` is its processor time in seconds, less that of a second run where it made one."""
    command = [*engine.command(), "--data", str(case.data), "--workload", case.workload]
    command += ["--params", json.dumps(case.parameters)] + (["--fills", str(fills)] if fills else [])
    start, before = time.perf_counter(), _children_s()
    try:
        done = subprocess.run(command, cwd=engine.at, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return Failed(f"not done after {SECONDS_MAX} s")
    clock, whole = time.perf_counter() - start, _children_s() - before
    if done.returncode:
        return Failed((done.stderr.strip() or "no word").splitlines()[-1])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    again, again_clock = (told["engine"], told["engine_clock"]) if told["cold"] is not None else (0, 0)
    return told | {"whole": whole - again, "whole_clock": clock - again_clock}


def _children_s() -> float:
    """Processor time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(case: Case, repeat: int, only: list[str]) -> dict[Engine, list[dict[str, Any]] | Failed]:
    """All engines in turns, so that a disturbance of the machine hits them alike; one that failed is not asked again."""
    runs: dict[Engine, list[dict[str, Any]]] = defaultdict(list)
    failed: dict[Engine, Failed] = {}
    for turn in range(repeat):
        for engine in case.engines(only):
            if engine in failed:
                continue
            _say(f"{case.title()}: turn {turn + 1}, {engine.name}")
            answer = played(engine, case)
            if isinstance(answer, Failed):
                failed[engine] = answer
            else:
                runs[engine].append(answer)
    _say("")
    return {engine: failed.get(engine) or runs[engine] for engine in case.engines(only)}


def _say(what: str) -> None:
    """On a terminal, in place of what was said before."""
    if sys.stderr.isatty():
        print(f"\r{what:<100}\r", end="", file=sys.stderr, flush=True)


def tabulated(case: Case, found: dict[Engine, list[dict[str, Any]] | Failed]) -> None:
    """Medians, and how many times ours they are; seconds are processor time, but for those by the clock."""
    ours = found.get(OURS)
    base = {each: _middle(ours, each) for each in ("engine", "whole")} if isinstance(ours, list) else {}
    print(f"\n{case.title()}")
    print(
        f"  {'':<26}{'engine s':>9}  {'(least .. most)':<18}{'first s':>8}{'whole s':>9}{'by clock':>16}{'MB':>7}",
        end="",
    )
    print(f"{'fills':>10}{'profit':>15}{'engine x':>10}{'whole x':>9}")
    for engine, runs in found.items():
        if isinstance(runs, Failed):
            print(f"  {engine.name:<26}{runs.why}")
            continue
        spread = f"({min(each['engine'] for each in runs):.3f} .. {max(each['engine'] for each in runs):.3f})"
        first = f"{_middle(runs, 'cold'):.2f}" if runs[0]["cold"] is not None else ""
        times = [f"{_middle(runs, each) / base[each]:.1f}" if base else "" for each in ("engine", "whole")]
        clock = f"{_middle(runs, 'engine_clock'):.2f} / {_middle(runs, 'whole_clock'):.2f}"
        print(
            f"  {engine.name:<26}{_middle(runs, 'engine'):>9.3f}  {spread:<18}{first:>8}{_middle(runs, 'whole'):>9.2f}"
            f"{clock:>16}{_middle(runs, 'memory_mb'):>7.0f}{runs[0]['fills']:>10,}{runs[0]['profit']:>15,.2f}"
            f"{times[0]:>10}{times[1]:>9}"
        )


def _middle(runs: list[dict[str, Any]], what: str) -> float:
    return float(median(each[what] for each in runs))


def compared(folder: Path, sizes: list[int], only: list[str]) -> int:
    """Print for each engine how its fills agree with the reference's; how many engines differ or failed."""
    wrong = 0
    for candles in sizes:
        for rough in (False, True):
            data = folder / f"{candles}-{rough}.parquet"
            write_candles(data, candles, rough=rough)
            for workload in WORKLOADS:
                case = Case(workload, candles, data)
                print(f"\n{case.title()}{', gaps and wide candles' if rough else ''}")
                wrong += sum(not _agrees(engine, case, folder / "fills.csv") for engine in case.engines(only))
    return wrong


def _agrees(engine: Engine, case: Case, path: Path) -> bool:
    answer = played(engine, case, path)
    if isinstance(answer, Failed):
        print(f"  {engine.name:<26}{answer.why}")
        return False
    found, candles, parameters = read_fills(path), read_candles(case.data), WORKLOADS[case.workload]
    for rule in dict.fromkeys(("candle-v1", engine.rule)):
        expected = fills_of(case.workload, candles, parameters, rule)
        result = agreement(expected, found)
        print(f"  {engine.name:<26}{rule:<12}{result}")
    assert not agreement(planted(expected), found).whole(), "two planted faults were not seen"
    # Where new limits may fill at once, they pay another fee: the fills do not tell which.
    if engine.rule == "close fill" and case.workload == "grid":
        return result.whole()
    fee = float(parameters["maker_fee" if case.workload == "grid" else "taker_fee"])
    difference = answer["profit"] - profit_of(expected, fee, candles.close[-1])
    if abs(difference) >= CENT:
        print(f"  {engine.name:<26}its profit is {difference:+.4f} off that of its fills")
    return result.whole() and abs(difference) < CENT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare fills instead of times")
    parser.add_argument("--candles", type=int, nargs="+", default=[])
    parser.add_argument("--workloads", nargs="+", choices=(*WORKLOADS, "sweep"), default=[*WORKLOADS, "sweep"])
    parser.add_argument("--only", nargs="+", choices=[each.module for each in ENGINES], default=[])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write all runs")
    given = parser.parse_args()
    for engine in ENGINES:
        if not given.only or engine.module in given.only:
            engine.prepare()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.check:
            raise SystemExit(bool(compared(folder, given.candles or CHECKED, given.only)))
        print(
            f"Python {platform.python_version()}, {os.cpu_count()} cores, {READER}; medians of {given.repeat} in turns"
        )
        kept = []
        for case in _cases(given, folder):
            found = measured(case, given.repeat, given.only)
            tabulated(case, found)
            kept += [
                {
                    "workload": case.workload,
                    "candles": case.candles,
                    "engine_name": engine.name,
                    **case.parameters,
                    **run,
                }
                for engine, runs in found.items()
                if not isinstance(runs, Failed)
                for run in runs
            ]
    if given.json:
        given.json.write_text(json.dumps(kept, indent=1), "utf-8")


def _cases(given: argparse.Namespace, folder: Path) -> list[Case]:
    asked = given.candles or TIMED
    sizes = {*asked, *([SWEPT] if "sweep" in given.workloads else [])}
    files = {size: folder / f"{size}.parquet" for size in sizes}
    for size, path in files.items():
        write_candles(path, size)
    plain = [each for each in given.workloads if each != "sweep"]
    cases = [Case(workload, size, files[size]) for workload in plain for size in asked]
    return cases + ([Case("sma_cross", SWEPT, files[SWEPT], {"sweep": True})] if "sweep" in given.workloads else [])


if __name__ == "__main__":
    main()
