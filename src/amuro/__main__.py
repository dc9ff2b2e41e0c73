"""`amuro` and `python -m amuro`: signal handlers and whole standard streams first, then the commands are imported."""

import sys

from amuro.core import stopping, streams


def main() -> None:
    """Runs a verb; a signal to end is one sentence on standard error, and 128 + its number the exit code."""
    streams.mend()
    try:
        stopping.heed()
        from amuro.cli import main as cli

        cli.main()
    except stopping.Stopped as stop:
        stopping.deafen()
        print(f"amuro: {stop}", file=sys.stderr)
        sys.exit(stop.exit_code)


if __name__ == "__main__":
    main()
