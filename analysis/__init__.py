"""Reads performance captures and says what bounds each phase of them.

The package stands alone: it reads files and needs neither the engine nor an Arm machine. Importing it costs nothing;
pandas is loaded by the modules that need it.
"""

import signal
import sys
from importlib.util import find_spec

# runpy looks for the module of `python -m analysis.…`: a command says what is missing, an importer gets ImportError.
if sys.argv[:1] == ["-m"]:
    if find_spec("pandas") is None:
        sys.exit(
            "error: pandas is missing, which the analysis needs; install it with: pip install 'q4engine[analysis]'"
        )
    # Python's own handler would show a Ctrl-C during the imports as a traceback; `command_line.run` puts it back.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
