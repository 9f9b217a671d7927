"""The command `truetape`."""

import gc
import sys


def main() -> None:
    """Run the command line; exit 0 done and clean, 1 done and found something, 2 could not run."""
    from api.cli import run_cli
    from api.terminal import print_anywhere

    print_anywhere()
    code = run_cli(sys.argv[1:])
    # The process ends, and all with it: looking for cycles in what is left takes a tenth of a second after a backtest.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
