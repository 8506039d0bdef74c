"""``python -m jmix`` is the command ``jmix``."""

from __future__ import annotations

import sys

from jmix.cli import main

if __name__ == "__main__":
    sys.exit(main())
