"""Roots and inclusion proofs by pymerkle 7, for tests/infrastructure/event_store/test_merkle.py to compare ours with.

Its consistency proofs have a form of their own, not that of RFC 6962, so they are not compared.

pymerkle is under the GPL: it stays out of our lock and runs in an environment of its own, as a program.

    python3 -m venv /somewhere && /somewhere/bin/pip install pymerkle
    PYMERKLE_PYTHON=/somewhere/bin/python make test ARGS="-k pymerkle"
"""

import json
import sys

from pymerkle import InmemoryTree


def main() -> None:
    asked = json.load(sys.stdin)
    tree = InmemoryTree(algorithm="sha256")
    for each in asked["inputs"]:
        tree.append_entry(bytes.fromhex(each))
    sizes = asked["sizes"]
    answer = {
        "roots": {size: tree.get_root(size).hex() for size in sizes},
        "inclusions": {
            f"{index}/{size}": tree.prove_inclusion(index + 1, size).serialize()["path"]
            for size in sizes
            for index in range(size)
        },
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
