"""Trains a classifier on a pre-trained network, and tests it: `mas finetune`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.of("finetune"))
