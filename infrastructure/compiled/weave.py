"""Give every attribute read in C files made by Cython the inline cache that the interpreter has: `slots.h`.

Cython looks an attribute up anew each time, where CPython 3.11 and later remember its offset. A third of a compiled core's
time went there. What a read gives is the same; only the way to it is shorter.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

UNDO = "#ifdef SLOTS_WOVEN\n#undef __Pyx_PyObject_GetAttrStr\n#endif\n"
BEGIN, END = "/* Module declarations from", "/* --- Runtime support code --- */"
"""Between these is what was written in Python; what stands before declares, what comes after is Cython's own."""


def woven(text: str, cache: str) -> str:
    """A C file with the cache in force for the module's own code; raises ValueError where it is no file of Cython's."""
    head, begins, rest = text.partition(BEGIN)
    code, ends, tail = rest.partition(END)
    if not (begins and ends):
        raise ValueError(f"neither {BEGIN!r} nor {END!r}: made by another Cython?")
    return f"{head}{cache}{begins}{code}{UNDO}{ends}{tail}"


def main(names: Iterable[str]) -> None:
    """Weave it into each of these files."""
    cache = Path(__file__).with_name("slots.h").read_text()
    for name in names:
        path = Path(name)
        path.write_text(woven(path.read_text(), cache))


if __name__ == "__main__":
    main(sys.argv[1:])
