"""The PyTorch side of benchmarks/step.py: the same networks and update.

    python step_torch.py BACKBONE BATCH SIZE LAYOUT

LAYOUT is `contiguous` (channels first, PyTorch's default) or `channels_last`. It runs in a separate
process, since two thread pools in one process slow each other down. For each line it reads, it
takes one step and prints the seconds.
"""

import sys
import time

import numpy as np
import torch
from torch import nn


class Branches(nn.Module):
    """A trunk and one head for each kind of label."""

    def __init__(self, trunk, head):
        """`head`: function from a number of outputs to a module."""
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList([head(14), head(13)])

    def forward(self, clips):
        """Clips (N, 3, T, H, W) -> one tensor for each head."""
        features = self.trunk(clips)
        return [head(features) for head in self.heads]


def c3d():
    """The small C3D of MAS with fc6 and fc7 in each branch."""
    layers, inputs = [], 3
    pools = [(1, 2, 2), *[(2, 2, 2)] * 4]
    for outputs, pool in zip((64, 128, 256, 256, 256), pools, strict=True):
        layers += [nn.Conv3d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool3d(pool, pool, ceil_mode=True))
        inputs = outputs

    def head(outputs):
        fc6, fc7 = nn.Linear(4096, 2048), nn.Linear(2048, 2048)
        return nn.Sequential(fc6, nn.ReLU(), fc7, nn.ReLU(), nn.Linear(2048, outputs))

    return Branches(nn.Sequential(*layers, nn.Flatten()), head)


class Factorised(nn.Sequential):
    """A (2+1)D convolution."""

    def __init__(self, inputs, outputs, kernel, stride):
        """`kernel`, `stride`: (time, space)."""
        (time_, space), (jump, pace) = kernel, stride
        area = space * space
        hidden = time_ * area * inputs * outputs // (area * inputs + time_ * outputs)
        pads = (0, space // 2, space // 2), (time_ // 2, 0, 0)
        super().__init__(
            nn.Conv3d(inputs, hidden, (1, space, space), (1, pace, pace), pads[0], bias=False),
            nn.BatchNorm3d(hidden),
            nn.ReLU(),
            nn.Conv3d(hidden, outputs, (time_, 1, 1), (jump, 1, 1), pads[1], bias=False),
        )


class Block(nn.Module):
    """A residual block of two (2+1)D convolutions."""

    def __init__(self, inputs, outputs, stride):
        """`stride` applies to the first convolution and, if above 1, to a projection shortcut."""
        super().__init__()
        jump = (stride, stride)
        self.first = nn.Sequential(
            Factorised(inputs, outputs, (3, 3), jump), nn.BatchNorm3d(outputs), nn.ReLU()
        )
        self.second = nn.Sequential(
            Factorised(outputs, outputs, (3, 3), (1, 1)), nn.BatchNorm3d(outputs)
        )
        shortcut = Factorised(inputs, outputs, (1, 1), jump), nn.BatchNorm3d(outputs)
        self.shortcut = nn.Sequential(*shortcut) if stride > 1 else nn.Identity()

    def forward(self, x):
        """Adds the two branches."""
        return torch.relu(self.second(self.first(x)) + self.shortcut(x))


def r2plus1d_10():
    """R(2+1)D with one block per stage and a linear layer in each branch."""
    stem = [Factorised(3, 64, (3, 7), (1, 2)), nn.BatchNorm3d(64), nn.ReLU()]
    sizes = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    blocks = [Block(*size) for size in sizes]
    pool = [nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    return Branches(nn.Sequential(*stem, *blocks, *pool), lambda outputs: nn.Linear(512, outputs))


NETWORKS = {"c3d": c3d, "r2plus1d_10": r2plus1d_10}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}


def main(name, batch, size, layout):
    """Serves steps until the input ends."""
    torch.manual_seed(0)
    layout = LAYOUTS[layout]
    network = NETWORKS[name]().to(memory_format=layout)
    biases = [value for path, value in network.named_parameters() if path.endswith("bias")]
    weights = [value for path, value in network.named_parameters() if not path.endswith("bias")]
    optimizer = torch.optim.SGD(
        [{"params": weights}, {"params": biases, "lr": 0.002}], 0.001, 0.9, weight_decay=0.005
    )
    rng = np.random.default_rng(0)
    clips = torch.from_numpy(rng.integers(0, 256, (batch, 3, 16, size, size), np.uint8))
    targets = [
        torch.from_numpy(rng.integers(1, 9, (batch, n)).astype(np.float32)) for n in (14, 13)
    ]
    print(sum(value.numel() for value in network.parameters()), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad()
        outputs = network(clips.flip(1).float().contiguous(memory_format=layout))
        loss = sum(nn.functional.mse_loss(o, y) for o, y in zip(outputs, targets, strict=True))
        loss.backward()
        optimizer.step()
        loss.item()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
