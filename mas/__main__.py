"""`python -m mas COMMAND ...` is `mas COMMAND ...`."""

import sys

from mas import cli

if __name__ == "__main__":
    sys.exit(cli.main())
