"""Writes docs/settings.md, which lists every setting with its default."""

import pathlib
import sys

from mas import evaluate, features, index, prediction, prepare, settings, tasks

PAGE = pathlib.Path(__file__).with_suffix(".md")
HEAD = """# Settings

`python docs/settings.py` writes this page from the settings dataclasses. Each setting is an
argument in Python and a flag of the commands, with the same name:
`mas.Clip(size=56, resize=(85, 64))` and `--size=56 --resize=85x64`. To switch off a boolean flag,
write `--noNAME` or `--NAME=false`. Flag files and `run.json` use the same names.
"""
GROUPS = {
    "Network: `mas.Network`": {"": settings.Network},
    "Clip: `mas.Clip`": {"": settings.Clip},
    "Optimisation: `mas.Optimisation`": {"": settings.Optimisation},
    "Plan: `mas.Plan`": {"": settings.Plan},
    "Pretext tasks: `mas.tasks`, `mas train --task=TASK`": tasks.TASKS,
    "Classification: `mas.tasks.Classify`, `mas finetune`": {"": tasks.Classify},
    "Test of a classifier: `mas.finetune`, `mas finetune`": {"": settings.Test},
    "Stored data: `mas.prepare_videos`, `mas prepare`": {"": prepare.Storage},
    "Sampling of features: `mas.features.Sampling`, `mas evaluate`": {"": features.Sampling},
    "Sorting: `mas.index.sort`, `mas sort`": {"": index.Sorting},
    "Windows of a prediction: `mas.prediction.Windows`, `mas predict`": {"": prediction.Windows},
    "Results of a prediction: `mas.prediction.Report`, `mas predict`": {"": prediction.Report},
    "Protocols: `mas.evaluate`, `mas evaluate KIND`": evaluate.PROTOCOLS,
}


def table(kinds):
    """Returns the lines of a table of some classes' settings; shared settings are listed once."""
    rows = {}
    for name, kind in kinds.items():
        defaults = {field.name: field.default for field in kind.__dataclass_fields__.values()}
        for setting, known in kind.options().items():
            default = "" if defaults[setting] is None else known.form.text(defaults[setting])
            text = f"{known.help} Must be {known.allowed()}."
            rows.setdefault((f"`{setting}`", f"`{default}`" * bool(default), text), []).append(name)
    several = len(kinds) > 1
    head = ["setting", "default", *["used by"] * several, "meaning"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (setting, default, text), names in rows.items():
        cells = [setting, default, *[", ".join(f"`{name}`" for name in names)] * several, text]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def page():
    """The page, as text."""
    parts = [HEAD]
    for title, kinds in GROUPS.items():
        parts += [f"## {title}", "", *table(kinds), ""]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"Wrote {PAGE}.\n")
