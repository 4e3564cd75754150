"""`python -m mas.convert ...` is `mas convert ...`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("convert"))
