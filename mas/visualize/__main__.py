"""`python -m mas.visualize KIND ...` is `mas visualize KIND ...`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("visualize"))
