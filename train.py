"""Pre-trains a network on unlabelled video: `mas train`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("train"))
