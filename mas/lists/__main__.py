"""Runs `mas lists`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("lists"))
