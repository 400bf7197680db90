"""``python -m q4engine``, and the command ``q4engine``."""

import signal
import sys


def main() -> int:
    """Runs the command line. Until it handles signals itself, and afterwards, a Ctrl-C ends the process in silence:
    Python's own handler would show a traceback, or lose it in the middle of an import."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from q4engine.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
