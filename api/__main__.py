"""The command `truetape`."""

import sys


def main() -> None:
    """Run the command line; exit 0 done and clean, 1 done and found something, 2 could not run."""
    from api.cli import run_cli
    from api.terminal import print_anywhere

    print_anywhere()
    sys.exit(run_cli(sys.argv[1:]))


if __name__ == "__main__":
    main()
