"""A `.pxd` declares of its module's classes what their source assigns: no name more or less, no type that is not evident."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("api", "domain", "infrastructure", "projections", "replay")
DECLARED = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.pxd"))

CLASS = re.compile(r"cdef class (\w+):")
ATTRIBUTE = re.compile(r"    cdef public (\w+) (\w+)")
IMPORT = re.compile(r"from [\w.]+ cimport \w+(, \w+)*")
LITERALS: Mapping[type[ast.expr], str] = {
    ast.List: "list",
    ast.ListComp: "list",
    ast.Dict: "dict",
    ast.DictComp: "dict",
    ast.Compare: "bint",
}
NAMES = {"bool": "bint", "sorted": "list"}


def declared(text: str) -> dict[str, dict[str, str]]:
    """{class: {attribute: type}} of a `.pxd`, which may say nothing else."""
    classes: dict[str, dict[str, str]] = {}
    attributes: dict[str, str] = {}
    for line in text.splitlines():
        if found := CLASS.fullmatch(line):
            attributes = classes[found[1]] = {}
        elif found := ATTRIBUTE.fullmatch(line):
            attributes[found[2]] = found[1]
        else:
            assert not line or line.startswith("#") or IMPORT.fullmatch(line), f"neither class nor attribute: {line!r}"
    return classes


def assigned(class_: ast.ClassDef) -> dict[str, set[str]]:
    """{attribute: types that its assignments make evident} of a class, `unknown` where nothing is."""
    found: dict[str, set[str]] = {}
    for method in class_.body:
        if isinstance(method, ast.FunctionDef):
            given = {each.arg: _named(each.annotation) for each in method.args.args if each.annotation is not None}
            for node in ast.walk(method):
                for name, type_ in _assignments(node, given):
                    found.setdefault(name, set()).add(type_)
    return found


def _assignments(node: ast.AST, given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.AnnAssign):
        for name in _selves(node.target):
            yield name, _named(node.annotation)
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            whole = isinstance(target, ast.Attribute)
            for name in _selves(target):
                yield name, _evident(node.value, given) if whole else "unknown"
    elif isinstance(node, ast.AugAssign | ast.For | ast.NamedExpr):
        for name in _selves(node.target):
            yield name, "unknown"


def _selves(target: ast.expr) -> Iterator[str]:
    """The attributes of `self` that an assignment to this changes."""
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _selves(each)
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        yield target.attr


def _evident(value: ast.expr, given: Mapping[str, str]) -> str:
    if isinstance(value, ast.Name):
        return given.get(value.id, "unknown")
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        return "bint"
    if isinstance(value, ast.Call):
        return _named(value.func)
    return LITERALS.get(type(value), "unknown")


def _named(node: ast.expr) -> str:
    """What an annotation or a call names: `dict` for `dict[str, int]`; a string is an annotation too."""
    head = node.value if isinstance(node, ast.Subscript) else node
    if isinstance(head, ast.Constant):
        return str(head.value)
    return NAMES.get(head.id, head.id) if isinstance(head, ast.Name) else "unknown"


def divergences(source: str, declarations: str) -> list[str]:
    """What a `.pxd` says otherwise than its module.

    A type has to be evident once and contradicted nowhere; a C integer never is, so amounts stay exact.
    """
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    found = []
    for name, attributes in declared(declarations).items():
        if name not in classes:
            found.append(f"{name}: no such class")
            continue
        names = assigned(classes[name])
        found += [f"{name}.{each} is not declared" for each in names.keys() - attributes.keys()]
        found += [f"{name}.{each} is assigned nowhere" for each in attributes.keys() - names.keys()]
        found += [
            f"{name}.{each} is declared {type_}, assigned {', '.join(sorted(names[each]))}"
            for each, type_ in attributes.items()
            if each in names and type_ != "object" and names[each] - {"unknown"} != {type_}
        ]
    return sorted(found)


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_declaration_and_its_module_say_the_same(path: Path) -> None:
    assert divergences(path.with_suffix(".py").read_text(), path.read_text()) == []


def test_what_is_declared_is_compiled() -> None:
    assert DECLARED, "nothing is declared"
    makefile = (ROOT / "Makefile").read_text()
    assert [path for path in DECLARED if str(path.relative_to(ROOT).with_suffix(".py")) not in makefile] == []


SOURCE = """
class Timers:
    def __init__(self, first, seen: dict[int, int]):
        self.next, self.seen = first, seen
        self._seen = seen
        self._heap: list[int] = []
        self._other = Watches()
    def put(self):
        self.next, self._set = 1, True
        self._heap = sorted(self._heap)
"""
TRUE = """
cdef class Timers:
    cdef public object next
    cdef public object seen
    cdef public dict _seen
    cdef public list _heap
    cdef public Watches _other
    cdef public object _set
"""


def test_a_true_declaration_passes() -> None:
    assert divergences(SOURCE, TRUE) == []


@pytest.mark.parametrize(
    ("true", "planted", "said"),
    [
        ("    cdef public list _heap\n", "", "Timers._heap is not declared"),
        ("object _set", "object _set\n    cdef public object gone", "Timers.gone is assigned nowhere"),
        ("public list _heap", "public dict _heap", "Timers._heap is declared dict, assigned list"),
        ("public object next", "public int next", "Timers.next is declared int, assigned unknown"),
        ("class Timers", "class Rounds", "Rounds: no such class"),
    ],
)
def test_a_planted_divergence_is_found(true: str, planted: str, said: str) -> None:
    assert divergences(SOURCE, TRUE.replace(true, planted)) == [said]


def test_a_declared_function_is_refused() -> None:
    with pytest.raises(AssertionError, match="neither class nor attribute"):
        declared("cpdef notional(price, quantity)")
