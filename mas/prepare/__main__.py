"""`python -m mas.prepare ...` is `mas prepare ...`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("prepare"))
