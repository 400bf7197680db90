"""``python -m q4engine``, and the command ``q4engine``."""

import signal
import sys


def main() -> int:
    """Runs the command line. Python's own handler would show a Ctrl-C that comes before that as a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from q4engine.cli import main as command

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    return command()


if __name__ == "__main__":
    sys.exit(main())
