"""Converts a checkpoint: `python -m mas.convert --network=NAME CHECKPOINT OUTPUT.keras`."""

import sys

from absl import app, flags, logging

from mas import cli, convert
from mas.backbones import PRESETS

_NETWORK = flags.DEFINE_enum(
    "network", None, list(convert.NAMES), "Authors and architecture.", required=True
)
_PRESET = flags.DEFINE_enum("preset", None, list(PRESETS[1:]), "Input; default: the authors'.")
_FRAMES = flags.DEFINE_integer("frames", None, "Length of a clip; default: the authors'.", 1)
_SIZE = flags.DEFINE_integer("size", None, "Side of a clip, in pixels; default: the authors'.", 1)
_KEY = flags.DEFINE_string(
    "key", None, "Nested dict of the weights, levels separated by /; default: found by itself."
)
_PREFIX = flags.DEFINE_string("prefix", None, "Of the entries to take; default: found by itself.")
_PARTIAL = flags.DEFINE_bool("partial", False, "Write although not everything fits.")


def main(argv):
    """Converts, says what became of every entry and what to type next; returns the exit status."""
    cli.quiet()
    if len(argv) != 3:
        raise app.UsageError(f"mas.convert takes CHECKPOINT OUTPUT.keras. Received: {argv[1:]}.")
    row = convert.published(_NETWORK.value)
    shown = {
        "preset": _PRESET.value or row.preset,
        "frames": _FRAMES.value or row.frames,
        "size": _SIZE.value or row.size,
    }
    choice = {"key": _KEY.value, "prefix": _PREFIX.value, "partial": _PARTIAL.value}
    try:
        convert.convert(_NETWORK.value, *argv[1:], **shown, **choice)
    except (ImportError, OSError, ValueError) as error:
        return cli.fail(error)
    known = {"init": argv[2], "backbone": row.backbone, **shown, "resize": row.resize}
    known = " ".join(f"--{name}={value}" for name, value in known.items())
    logging.info("Wrote %s. Next: python finetune.py %s --data=DATA ...", argv[2], known)
    return 0


if __name__ == "__main__":
    sys.exit(app.run(main))
