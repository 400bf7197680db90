"""``python -m q4engine``"""

import sys

from q4engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
