"""Reads performance captures and says what bounds each phase of them.

The package stands alone: it reads files and needs neither the engine nor an Arm machine. Importing it costs nothing;
pandas is loaded by the modules that need it.
"""

import resource
import signal
import sys
from importlib.util import find_spec

_MIN_MEMORY = 320 << 20  # bytes of address space that Python, pandas and a picture take


def too_little_memory() -> str | None:
    """What is to be said where this process may not use as much memory as the libraries need, who tell it in pages."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= _MIN_MEMORY:
        return None
    return (
        f"this process may use {limit >> 20} MB of memory (ulimit -v), the analysis needs {_MIN_MEMORY >> 20} MB, and "
        "more for large files"
    )


# runpy looks for the module of `python -m analysis.…`: a command says what is missing, an importer gets ImportError.
if sys.argv[:1] == ["-m"]:
    if find_spec("pandas") is None:
        sys.exit(
            "error: pandas is missing, which the analysis needs; install it with: pip install 'q4engine[analysis]'"
        )
    if _lacking := too_little_memory():
        sys.exit(f"error: {_lacking}")
    # Python's own handler would show a Ctrl-C during the imports as a traceback; `command_line.run` puts it back.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
