"""Converts a checkpoint to a file of Keras weights and reports on every entry."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from mas import backbones, checks, files
from mas.checks import check_choice
from mas.convert import checkpoints, networks
from mas.files import PathLike

# Prefixes of the query encoder in MoCo's checkpoints; the one with the most matches is used.
PREFIXES = ("", "encoder_q.", "module.encoder_q.")


@dataclasses.dataclass
class Conversion:
    """Report on every entry of a checkpoint and every variable of the network.

    Attributes:
        matched: {(layer, weight): entry name}.
        heads: entries of the pretext task's heads, which a backbone does not have.
        unused: entries ignored on purpose: counters, optimiser state, other encoders.
        unexpected: entries without a variable in this network.
        missing: (layer, weight) of variables without an entry.
        misshapen: (entry, its shape, (layer, weight), its shape) if the shapes differ.
        numbers: count of numbers in the matched entries.
    """

    matched: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    heads: list[str] = dataclasses.field(default_factory=list)
    unused: list[str] = dataclasses.field(default_factory=list)
    unexpected: list[str] = dataclasses.field(default_factory=list)
    missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    misshapen: list[tuple] = dataclasses.field(default_factory=list)
    numbers: int = 0

    @property
    def complete(self) -> bool:
        """Whether the checkpoint fits the network exactly, apart from heads."""
        return not (self.unexpected or self.missing or self.misshapen)

    def text(self, limit: int = 20) -> str:
        """The report as text, with at most `limit` names of each kind."""
        missing = ["/".join(place) for place in self.missing]
        shapes = [f"{e} {s} for {'/'.join(p)} {t}" for e, s, p, t in self.misshapen]
        parts = [
            ("matched", self.matched, f" variables, {self.numbers:,} numbers"),
            ("ignored, heads", self.heads, _listed(self.heads, limit)),
            ("ignored, not needed", self.unused, _listed(_grouped(self.unused), limit)),
            ("unexpected", self.unexpected, _listed(self.unexpected, limit)),
            ("missing", missing, _listed(missing, limit)),
            ("wrong shape", shapes, _listed(shapes, limit)),
        ]
        return "\n".join(f"  {title}: {len(items)}{rest}" for title, items, rest in parts)


def convert(
    network: str,
    checkpoint: PathLike,
    output: PathLike,
    preset: str | None = None,
    frames: int | None = None,
    size: int | None = None,
    key: str | None = None,
    prefix: str | None = None,
    partial: bool = False,
) -> Conversion:
    """Converts a checkpoint to a .keras file for `mas.finetune` and `mas.networks`.

    Args:
        network: one of `networks.NAMES`.
        checkpoint: path; see `checkpoints.read`.
        output: .keras file to write; on an error, nothing is written.
        preset: input preset, one of `backbones.presets`; None for the one used in training.
        frames: clip length of the saved network, in frames; None for the training's. The weights
            fit clips of any length and size.
        size: side of the clips, in pixels; None for the training's.
        key: nested dict to read; see `checkpoints.read`.
        prefix: prefix of the entries to use; by default the best of `PREFIXES`.
        partial: whether to write a network that does not fit exactly: variables without an entry
            of their shape stay random.

    Returns:
        `Conversion`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If a package needed for the checkpoint's format is not installed.
        ValueError: If the network or preset is unknown, the checkpoint cannot be read or does not
            fit, or the output exists or is not a .keras file.
    """
    row = networks.published(network)
    preset = preset or row.preset
    check_choice("preset", preset, backbones.PRESETS)
    check_paths(checkpoint, output)
    entries = checkpoints.read(checkpoint, key)
    shape = (frames or row.frames, *[size or row.size] * 2, 3)
    backbone = backbones.backbone(row.backbone, shape, preset=preset)
    variables = {(lay.name, v.name): v for lay in backbone.layers for v in lay.variables}
    report, values = match(network, entries, variables, prefix)
    logging.info("%s as %s:\n%s", checkpoint, network, report.text())
    if not report.matched or not (report.complete or partial):
        raise ValueError(_mismatch(checkpoint, network, report))
    for place, value in values.items():
        variables[place].assign(value)
    _save(backbone, pathlib.Path(output))
    return report


def check_paths(checkpoint: PathLike, output: PathLike) -> None:
    """Checks the paths of checkpoint and output before anything is loaded.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the output exists, is not a .keras file or is inside a run folder.
    """
    checks.local("checkpoint", checkpoint)
    path = checks.path("output", output)
    if path.suffix != ".keras":
        raise ValueError(f"output must end in .keras. Received: output={output}.")
    if path.exists():
        raise ValueError(f"output must be a new file. Received: output={output}, which exists.")
    description = path.parent / "run.json"
    if description.exists():
        raise ValueError(
            f"output must be outside run folders: {description} describes another network. "
            f"Received: output={output}."
        )
    checkpoints.check_there(checkpoint)


def match(
    network: str,
    entries: Mapping[str, np.ndarray],
    variables: Mapping[tuple[str, str], Any],
    prefix: str | None = None,
) -> tuple[Conversion, dict[tuple[str, str], np.ndarray]]:
    """Matches the entries of a checkpoint with the variables of a network.

    Args:
        network: one of `networks.NAMES`.
        entries: {name: array}.
        variables: {(layer, weight): object with a `shape`}.
        prefix: see `convert`.

    Returns:
        (`Conversion`, {(layer, weight): array in Keras's axis order}).

    Raises:
        ValueError: If two entries belong to one variable, or an entry is not finite.
    """
    target = networks.targets(network)

    def fitting(prefix):
        return sum(target(name) in variables for name in _with_prefix(entries, prefix))

    prefix = max(PREFIXES, key=fitting) if prefix is None else prefix
    report, values = Conversion(), dict[tuple[str, str], np.ndarray]()
    below = _with_prefix(entries, prefix)
    report.unused = [name for name in entries if name not in set(below.values())]
    for short, name in below.items():
        place, value = target(short), entries[name]
        if place is None:
            report.unused.append(name)
        elif place in report.matched:
            other = report.matched[place]
            raise ValueError(f"a variable must have one entry. Received: {other} and {name}.")
        elif place in variables:
            _assign(network, short, value, place, variables[place], report, values)
        else:
            kind = report.heads if place[0] in networks.heads(network) else report.unexpected
            kind.append(name)
    filled = {*values, *(place for _, _, place, _ in report.misshapen)}
    report.missing = [place for place in variables if place not in filled]
    return report, values


def _with_prefix(entries, prefix):
    """{name without the prefix: name} for the entries that have the prefix."""
    return {name.removeprefix(prefix): name for name in entries if name.startswith(prefix)}


def _assign(network, short, value, place, variable, report, values):
    """Uses one entry as the value of a variable, or records why it does not fit."""
    shape = tuple(variable.shape)
    try:
        arranged = networks.arranged(network, short, value)
    except ValueError:  # wrong number of axes
        arranged = None
    if arranged is None or arranged.shape != shape:
        report.misshapen.append((short, tuple(value.shape), place, shape))
        return
    if not np.all(np.isfinite(arranged)):
        raise ValueError(f"entries must be finite numbers. Received: NaN or inf in {short}.")
    report.matched[place], values[place] = short, arranged
    report.numbers += arranged.size


def _save(backbone, output):
    temporary = output.with_name(f"unfinished.{output.name}")
    with files.writing(output, 4 * backbone.count_params()):
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            backbone.save(temporary)
            files.replace(temporary, output)
        finally:
            temporary.unlink(missing_ok=True)


def _mismatch(checkpoint, network, report):
    theirs = report.unexpected + [entry for entry, *_ in report.misshapen]
    ours = ["/".join(p) for p in report.missing + [place for _, _, place, _ in report.misshapen]]
    advice = " (partial=True uses what fits.)" if report.matched else ""
    return (
        f"{checkpoint} must be {network}'s: {len(report.matched)} variables fit. Received: "
        f"{len(theirs)} entries without a variable{_listed(theirs, 6)}; "
        f"{len(ours)} variables without an entry{_listed(ours, 6)}.{advice}"
    )


def _grouped(names):
    """Groups names with the same last part: `*.num_batches_tracked (20)`."""
    groups = {}
    for name in names:
        groups.setdefault(name.replace("/", ".").rpartition(".")[2], []).append(name)
    return [f"*{leaf} ({len(g)})" if len(g) > 1 else g[0] for leaf, g in groups.items()]


def _listed(names, limit):
    shown = ", ".join(names[:limit])
    return (f": {shown}" + ", ..." * (len(names) > limit)) if names else ""
