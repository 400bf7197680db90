"""`python -m analysis.fleet`: see `analysis.fleet.command`."""

import sys

from analysis.command_line import run
from analysis.fleet.command import main

sys.exit(run(main))
