"""What compiled code reads through its inline caches is what the interpreter reads, whatever becomes of the types."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from infrastructure.compiled import weave

CYTHONIZE = (sys.executable, "-m", "Cython.Build.Cythonize", "-q", "-3", "-X", "annotation_typing=False")
READS = "def price_of(thing):\n    return thing.price\n"
CALM = {**os.environ, "CFLAGS": "-O1 -w"}


class Quote(Struct):
    venue: str
    price: int


class Named(Struct):
    price: str


class Trade(Struct, frozen=True):
    price: int
    size: int


class Late(Trade, frozen=True):
    """A subclass: another type, the same slot."""


class Slotted:
    __slots__ = ("price", "size")


class Plain:
    price = "the class's"


class Computed:
    @property
    def price(self) -> str:
        return "computed"


class Answers:
    def __getattribute__(self, name: str) -> str:
        return f"asked for {name}"


@pytest.fixture(scope="module")
def price_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    """One place that reads an attribute, compiled with the cache woven in."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "reads.py").write_text(READS)
    subprocess.run([*CYTHONIZE, "reads.py"], cwd=folder, check=True, env=CALM, capture_output=True)
    plain = (folder / "reads.c").read_text()
    weave.main([str(folder / "reads.c")])
    assert (folder / "reads.c").read_text() != plain
    subprocess.run([*CYTHONIZE, "-i", "reads.py"], cwd=folder, check=True, env=CALM, capture_output=True)
    (built,) = (path for path in folder.glob("reads.*") if path.suffix in {".so", ".pyd"})
    spec = importlib.util.spec_from_file_location("reads", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[[Any], Any] = module.price_of
    assert type(found).__name__ != "function", "it was not compiled"
    return found


def test_types_take_turns_at_one_place(price_of: Callable[[Any], Any]) -> None:
    plain: Any = Plain()
    things = [
        (Quote("sim", 7), 7), (Trade(8, 1), 8), (Late(9, 1), 9), (plain, "the class's"), (Computed(), "computed"),
        (Answers(), "asked for price"),
    ]  # fmt: skip
    for thing, expected in things * 3:
        assert price_of(thing) == expected
        assert price_of(thing) == expected
    plain.price = "its own"
    assert price_of(plain) == "its own"


def test_an_empty_slot_is_missing(price_of: Callable[[Any], Any]) -> None:
    thing: Any = Slotted()
    thing.price = 5
    assert price_of(thing) == price_of(thing) == 5
    del thing.price
    with pytest.raises(AttributeError, match="price"):
        price_of(thing)
    with pytest.raises(AttributeError, match="price"):
        price_of(object())


def test_a_type_that_changes_is_looked_at_anew(price_of: Callable[[Any], Any]) -> None:
    class Changing:
        __slots__ = ("price",)

    changing: Any = Changing
    thing = changing()
    thing.price = 5
    assert price_of(thing) == price_of(thing) == 5
    changing.price = "the class's now"
    assert price_of(thing) == "the class's now"
    del changing.price
    with pytest.raises(AttributeError, match="price"):
        price_of(thing)


def test_what_is_read_is_kept_alive(price_of: Callable[[Any], Any]) -> None:
    text = str(object())
    thing = Named(text)
    before = sys.getrefcount(text)
    read = [price_of(thing) for _ in range(100)]
    assert sys.getrefcount(text) == before + len(read)
    read.clear()
    assert sys.getrefcount(text) == before


def test_a_file_of_another_make_is_refused() -> None:
    with pytest.raises(ValueError, match="made by another Cython"):
        weave.woven("int main(void) { return 0; }", "")
