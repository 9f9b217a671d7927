"""The house rules that no linter knows, each shown to fail on a planted snippet."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("api", "domain", "infrastructure", "projections", "replay")

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

FLOAT_ROOMS = {
    "domain/indicators/": "indicators are statistics of prices, never an amount",
    "domain/strategy/feature.py": "the type of a feature's value",
    "domain/strategies/": "a strategy compares indicators; its orders are quanta again",
}
NUMPY_ROOMS = {
    "domain/indicators/": "one recurrence, scanned in a backtest and stepped in live",
    "domain/strategies/": "vectorised features and wakes",
    "domain/strategy/plugin.py": "the type of a mask; nothing is imported to run",
}
LOADING_ROOMS = {
    "domain/strategy/registry.py": "a strategy is one file that nobody has to list",
}
PURE_STANDARD_LIBRARY = frozenset(
    "__future__ abc array base64 binascii bisect collections contextlib copy dataclasses datetime decimal enum "
    "fractions functools graphlib hashlib heapq hmac itertools json math numbers operator re string struct "
    "textwrap types typing unicodedata zlib".split()
)
PURE_THIRD_PARTY = frozenset({"msgspec"})
CLOCKS_AND_CHANCE = (
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "numpy.random",
    "os",
    "random",
    "secrets",
    "time",
    "uuid",
)
IMPURE_BUILTINS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|WITH\s+\S+\s+AS\s*\(|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|VIEW|SCHEMA))\b",
    re.DOTALL,
)
SILENCER = re.compile(r"(noqa|type:|pragma)\S*(\s*[A-Z]+\d+,?)*")


class Module(NamedTuple):
    """A source file: its path from the root with `/`, its lines and its tree."""

    path: str
    lines: list[str]
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        return self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]


Finding = tuple[int, str]
"""(line, what is wrong)"""
Check = Callable[[Module], Iterator[Finding]]


def parse(path: str, source: str) -> Module:
    return Module(path, source.splitlines(), ast.parse(source, path))


@cache
def modules() -> tuple[Module, ...]:
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(parse(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def is_pure(module: Module) -> bool:
    return module.path.startswith(("domain/", "projections/"))


def has_room(module: Module, rooms: dict[str, str]) -> bool:
    return module.path.startswith(tuple(rooms))


def imports(module: Module) -> Iterator[tuple[int, str, str]]:
    """(line, local name, full dotted name) of everything imported, relative imports resolved."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.asname or alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            package = module.package.split(".")
            start = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*start, node.module] if node.module else start)
            for alias in node.names:
                yield node.lineno, alias.asname or alias.name, f"{source}.{alias.name}"


def dotted(node: ast.expr) -> str:
    """`a.b.c` of names and attributes, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def within(name: str, ancestors: tuple[str, ...] | frozenset[str]) -> bool:
    return any(name == ancestor or name.startswith(f"{ancestor}.") for ancestor in ancestors)


# --- the checks ------------------------------------------------------------------------------------------------------


def long_module(module: Module) -> Iterator[Finding]:
    if len(module.lines) > MODULE_LINES_MAX:
        yield MODULE_LINES_MAX + 1, f"module has {len(module.lines)} lines, at most {MODULE_LINES_MAX}"


def long_function(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def missing_docstring(module: Module) -> Iterator[Finding]:
    if not ast.get_docstring(module.tree):
        yield 1, "module without a docstring"
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            yield node.lineno, f"public class {node.name} without a docstring"


def float_in_amounts(module: Module) -> Iterator[Finding]:
    """Refusing one, `isinstance(value, float)`, is no use of it."""
    if not is_pure(module) or has_room(module, FLOAT_ROOMS):
        return
    refusals = {
        id(part)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in {"isinstance", "issubclass"}
        for argument in node.args[1:]
        for part in ast.walk(argument)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node.lineno, f"float literal {node.value}"
        elif isinstance(node, ast.Name) and node.id in {"float", "complex"} and id(node) not in refusals:
            yield node.lineno, node.id
    for line, annotation in quoted_annotations(module):
        if re.search(r"\b(float|complex)\b", annotation):
            yield line, f"annotation {annotation!r}"


def quoted_annotations(module: Module) -> Iterator[Finding]:
    for node in ast.walk(module.tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                for part in ast.walk(annotation):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.lineno, part.value


def rounding(module: Module) -> Iterator[Finding]:
    if is_pure(module):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and dotted(node.func) in {"round", "builtins.round"}:
                yield node.lineno, "round(): say floor, ceil or half-even with domain.values"


def swallowed_exception(module: Module) -> Iterator[Finding]:
    """What is caught and dropped needs a comment that says why; nothing is caught bare."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield node.lineno, "bare except"
            elif all(drops(statement) for statement in node.body) and not commented(module, node):
                yield node.lineno, "exception swallowed without a comment"
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                call = item.context_expr
                suppresses = isinstance(call, ast.Call) and dotted(call.func).split(".")[-1] == "suppress"
                if suppresses and not commented(module, call, above=1):
                    yield call.lineno, "exception suppressed without a comment"


def drops(statement: ast.stmt) -> bool:
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_text or isinstance(statement, ast.Pass | ast.Continue | ast.Break)


def commented(module: Module, node: ast.expr | ast.ExceptHandler, above: int = 0) -> bool:
    """A comment stands on the node's lines; what silences a linter is none."""
    lines = module.lines[max(0, node.lineno - 1 - above) : node.end_lineno]
    comments = (line.partition("#")[2].strip() for line in lines if "#" in line)
    return any(comment and not SILENCER.fullmatch(comment) for comment in comments)


def clock_or_chance(module: Module) -> Iterator[Finding]:
    """Time, ids and facts arrive in the input."""
    if not is_pure(module):
        return
    origin = {local: full for _, local, full in imports(module)}
    for line, _, full in imports(module):
        if within(full, CLOCKS_AND_CHANCE):
            yield line, f"imports {full}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            head, dot, tail = dotted(node).partition(".")
            full = origin.get(head, head) + dot + tail
            if full in CLOCKS_AND_CHANCE:
                yield node.lineno, full
        elif isinstance(node, ast.Call) and dotted(node.func) in IMPURE_BUILTINS:
            yield node.lineno, f"{dotted(node.func)}()"


def impure_import(module: Module) -> Iterator[Finding]:
    """The core imports itself, the pure part of the standard library and msgspec; folds import the core too."""
    if not is_pure(module):
        return
    allowed = PURE_STANDARD_LIBRARY | PURE_THIRD_PARTY | {"domain", module.path.partition("/")[0]}
    if has_room(module, NUMPY_ROOMS):
        allowed |= {"numpy"}
    if has_room(module, LOADING_ROOMS):
        allowed |= {"importlib", "pkgutil"}
    for line, _, full in imports(module):
        if full.partition(".")[0] not in allowed:
            yield line, f"imports {full}"


def sql_in_projection(module: Module) -> Iterator[Finding]:
    if module.path.startswith("projections/"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
                yield node.lineno, f"SQL: {node.value[:40]!r}"


def strategy_knows_another(module: Module) -> Iterator[Finding]:
    folder = "domain.strategies"
    if module.name.startswith(f"{folder}."):
        own = ".".join(module.name.split(".")[:3])
        for line, _, full in imports(module):
            if within(full, (folder,)) and not within(full, (own,)):
                yield line, f"imports {full}"


CHECKS: tuple[Check, ...] = (
    long_module,
    long_function,
    missing_docstring,
    float_in_amounts,
    rounding,
    swallowed_exception,
    clock_or_chance,
    impure_import,
    sql_in_projection,
    strategy_knows_another,
)


def import_cycle(sources: tuple[Module, ...]) -> list[str]:
    """The modules of one cycle, empty where there is none; a package counts by its `__init__`."""
    names = {module.name for module in sources}
    graph: dict[str, set[str]] = {}
    for module in sources:
        found = {full for _, _, full in imports(module)}
        found = {full if full in names else full.rpartition(".")[0] for full in found}
        graph[module.name] = (found & names) - {module.name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


# --- the house -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_house(check: Check) -> None:
    findings = [f"{module.path}:{line}: {what}" for module in modules() for line, what in check(module)]
    assert not findings, "\n".join(["", *findings])


def test_no_import_cycles() -> None:
    assert import_cycle(modules()) == []


def test_pure_standard_library_is_standard() -> None:
    assert not PURE_STANDARD_LIBRARY - sys.stdlib_module_names


# --- each check can fail ---------------------------------------------------------------------------------------------

BAD: tuple[tuple[Check, str, str], ...] = (
    (long_module, "api/a.py", "x = 1\n" * 401),
    (long_function, "api/a.py", "def f():\n" + "    x = 1\n" * 60),
    (long_function, "api/a.py", "async def f():\n" + "    x = 1\n" * 60),
    (missing_docstring, "api/a.py", "x = 1"),
    (missing_docstring, "api/a.py", '"""Doc."""\nclass A:\n    x = 1'),
    (float_in_amounts, "domain/a.py", "def f(x: float) -> int: ..."),
    (float_in_amounts, "domain/a.py", "def f() -> 'list[float]': ..."),
    (float_in_amounts, "domain/a.py", "x: dict[str, float]"),
    (float_in_amounts, "projections/a.py", "x = float(y)"),
    (float_in_amounts, "projections/a.py", "x = y * 0.5"),
    (float_in_amounts, "domain/a.py", "x = 1e3"),
    (rounding, "domain/strategies/a.py", "x = round(y, 2)"),
    (swallowed_exception, "api/a.py", "try:\n    f()\nexcept:\n    raise"),
    (swallowed_exception, "api/a.py", "try:\n    f()\nexcept KeyError:\n    pass"),
    (swallowed_exception, "api/a.py", "for x in y:\n    try:\n        f()\n    except KeyError:\n        continue"),
    (swallowed_exception, "api/a.py", "try:\n    f()\nexcept Exception:  # noqa: BLE001, S110\n    pass"),
    (swallowed_exception, "api/a.py", "with contextlib.suppress(KeyError):\n    f()"),
    (clock_or_chance, "domain/a.py", "from datetime import datetime as d\nx = d.now()"),
    (clock_or_chance, "domain/a.py", "import datetime\nx = datetime.datetime.utcnow()"),
    (clock_or_chance, "domain/a.py", "import datetime as dt\nf(default=dt.date.today)"),
    (clock_or_chance, "projections/a.py", "import time\nx = time.time()"),
    (clock_or_chance, "projections/a.py", "from uuid import uuid4"),
    (clock_or_chance, "domain/strategies/a.py", "import numpy as np\nx = np.random.default_rng()"),
    (clock_or_chance, "domain/a.py", "def f():\n    import random"),
    (clock_or_chance, "domain/a.py", "open('x')"),
    (impure_import, "domain/a.py", "import socket"),
    (impure_import, "domain/a.py", "import os.path"),
    (impure_import, "domain/a.py", "import numpy as np"),
    (impure_import, "domain/a.py", "from projections import positions"),
    (impure_import, "projections/a.py", "from psycopg import sql"),
    (sql_in_projection, "projections/a.py", "q = 'SELECT a\\n  FROM t'"),
    (sql_in_projection, "projections/a.py", "q = f'INSERT INTO {t} VALUES (1)'"),
    (strategy_knows_another, "domain/strategies/grid.py", "from domain.strategies.aether import x"),
    (strategy_knows_another, "domain/strategies/grid.py", "from domain.strategies import aether"),
    (strategy_knows_another, "domain/strategies/grid.py", "from . import aether"),
    (strategy_knows_another, "domain/strategies/grid/rules.py", "from ..aether import x"),
)

GOOD: tuple[tuple[Check, str, str], ...] = (
    (long_module, "api/a.py", "x = 1\n" * 400),
    (long_function, "api/a.py", "def f():\n" + "    x = 1\n" * 59),
    (missing_docstring, "api/a.py", '"""Doc."""\nclass _A:\n    x = 1'),
    (float_in_amounts, "domain/a.py", "if isinstance(x, (str, float)): raise TypeError('a float is no amount')"),
    (float_in_amounts, "domain/indicators/a.py", "x: float = 0.5"),
    (float_in_amounts, "infrastructure/a.py", "x: float = 0.5"),
    (rounding, "domain/a.py", "x = ratio.round(y)"),
    (swallowed_exception, "api/a.py", "try:\n    f()\nexcept KeyError:\n    pass  # gone already"),
    (swallowed_exception, "api/a.py", "try:\n    f()\nexcept KeyError:\n    return None"),
    (swallowed_exception, "api/a.py", "# gone already\nwith suppress(KeyError):\n    f()"),
    (clock_or_chance, "domain/a.py", "from datetime import datetime\nx = datetime.fromisoformat(state.now)"),
    (clock_or_chance, "domain/a.py", "time = command.time\nx = time.time"),
    (impure_import, "domain/a.py", "from collections.abc import Callable\nfrom . import b\nimport msgspec"),
    (impure_import, "domain/strategies/a.py", "import numpy as np"),
    (impure_import, "projections/a.py", "from domain.values import Price"),
    (sql_in_projection, "projections/a.py", "x = 'select an account'"),
    (strategy_knows_another, "domain/strategies/grid/rules.py", "from . import levels\nfrom domain import market"),
)


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_check_finds(check: Check, path: str, source: str) -> None:
    assert list(check(parse(path, source)))


@pytest.mark.parametrize(("check", "path", "source"), GOOD)
def test_check_lets_pass(check: Check, path: str, source: str) -> None:
    assert not list(check(parse(path, source)))


def test_every_check_has_both_examples() -> None:
    assert {check for check, _, _ in BAD} == set(CHECKS) == {check for check, _, _ in GOOD}


def test_import_cycle_is_found() -> None:
    package = parse("domain/a/__init__.py", "from domain.a.b import B")
    member = parse("domain/a/b.py", "from domain.a import A")
    assert set(import_cycle((package, member))) == {"domain.a", "domain.a.b"}
    assert import_cycle((parse("domain/a.py", "import domain.b"), parse("domain/b.py", "import msgspec"))) == []
