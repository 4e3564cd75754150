"""Prints a Markdown table of the backbones: parameters, operations per clip, size of the last map.

    python benchmarks/backbones.py

Operations are those of convolutions and dense layers, with a multiply-add counted as two. Batch
norm, pooling, activations and heads are not counted.
"""

import math

import keras
from absl import app

from mas.backbones import NAMES, backbone

CLIPS = ((16, 112, 112, 3), (64, 224, 224, 3))
LONG = ("i3d", "s3d_g", "s3d_g_dsm")  # used with the second clip as well

SOURCES = {
    "c3d": "MAS, CVPR 2019",
    "c3d_bn": "STS, pace, VTDL, DSM",
    "r3d_10": "STS, pace",
    "r2plus1d_10": "STS, pace, VTDL, DSM",
    "r2plus1d_18": "VTDL (fine-tuning)",
    "r3d_18": "VTDL, DSM",
    "r3d_34": "DSM",
    "r3d_50": "DSM",
    "i3d": "VTDL, DSM",
    "s3d_g": "pace",
    "s3d_g_dsm": "DSM",
}


def operations(model):
    """Counts the operations for one clip: two per multiply-add of convolutions and dense layers."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv3D | keras.layers.Dense):
            positions = math.prod(layer.output.shape[1:-1])
            total += 2 * positions * math.prod(layer.kernel.shape)
    return total


def row(name):
    """One line of the table."""
    cells = [f"`{name}`"]
    for clip in CLIPS:
        if clip == CLIPS[0] or name in LONG:
            model = backbone(name, clip)
            if clip == CLIPS[0]:
                parameters = sum(math.prod(v.shape) for v in model.trainable_variables)
                cells.append(f"{parameters:,}")
            cells.append(f"{operations(model) / 1e9:.1f}")
            cells.append(" x ".join(map(str, model.output_shape[1:])))
        else:
            cells += ["", ""]
    return cells + [SOURCES[name]]


def main(_):
    """Prints the table."""
    head = ["backbone", "parameters"]
    for clip in CLIPS:
        head += [f"GFLOPs, {' x '.join(map(str, clip[:3]))}", "last map"]
    head.append("networks of")
    table = [head, ["---"] * len(head), *map(row, NAMES)]
    for cells in table:
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    app.run(main)
