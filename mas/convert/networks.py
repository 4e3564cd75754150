"""The authors' networks: their backbone in `mas.backbones` and the clips they were trained on."""

import dataclasses
import re

from mas.checks import check_choice
from mas.convert import names


@dataclasses.dataclass(frozen=True)
class Published:
    """Backbone and pre-training clips of a published network.

    Attributes:
        backbone: name in `mas.backbones`.
        preset: input preset, one of `mas.backbones.presets`.
        frames: clip length, in frames.
        size: side of the crop, in pixels.
        resize: frame size before the crop, WIDTHxHEIGHT in pixels.
    """

    backbone: str
    preset: str
    frames: int
    size: int
    resize: str


TENSORFLOW = "mas_c3d"  # from the CVPR 2019 code; the others are PyTorch checkpoints
NAMES = (TENSORFLOW, *names.NETWORKS)

# (preset, frames, size, resize). MAS, STS and pace feed B G R 0..255 and ignore the aspect ratio.
# VTDL and DSM resize the shorter side to 256 (UCF101's 320x240 become 341x256) and
# normalise as for ImageNet; they pre-train on 16 frames and fine-tune on 64.
_SMALL = ("bgr255", 16, 112, "171x128")
_LARGE = ("standard", 16, 224, "341x256")
_INPUT = {
    "mas": _SMALL,
    "sts": _SMALL,
    "pace": _SMALL,
    "pace_s3dg": ("bgr255", 64, 224, "256x256"),
    "vtdl": _LARGE,
    "vtdl_i3d_classifier": ("standard", 64, 224, "341x256"),
    "vtdl_r21d_classifier": ("standard", 64, 224, "341x256"),
    "dsm": _LARGE,
}

# Variables of the optimiser and the step counter in the CVPR code.
_TENSORFLOW_UNUSED = r"(.*/)?(global_step|Momentum|beta[12]_power|ExponentialMovingAverage)"
_TENSORFLOW_WEIGHTS = {"weights": "kernel", "weight": "kernel", "biases": "bias", "bias": "bias"}


def published(network: str) -> Published:
    """Backbone and pre-training clips of a network.

    >>> published("sts_r3d").backbone, published("dsm_i3d").resize
    ('r3d_10', '341x256')

    Raises:
        ValueError: If the network is unknown.
    """
    check_choice("network", network, NAMES)
    backbone = "c3d" if network == TENSORFLOW else names.NETWORKS[network].backbone
    return Published(backbone, *_INPUT.get(network, _INPUT[network.split("_")[0]]))


def targets(network):
    """Function from an entry's name to (layer, weight), or to None for ignored entries."""
    return _tensorflow_target if network == TENSORFLOW else names.targets(network)


def heads(network):
    """Names of the layers that belong to heads, not to the backbone."""
    if network == TENSORFLOW:
        return {"fc6", "fc7", "fc8"}
    return set(names.NETWORKS[network].heads.values())


def arranged(network, name, value):
    """One entry's array in Keras's axis order.

    Raises:
        ValueError: If the number of axes is wrong.
    """
    if network == TENSORFLOW:
        return value
    weights, _ = names.arranged(network, {name: value})
    return weights[names.targets(network)(name)]


def _tensorflow_target(name):
    """Maps names of the CVPR code: `C3D/conv_1/weights`, `C3D/fc6/bias` and optimiser slots."""
    if re.fullmatch(_TENSORFLOW_UNUSED, name):
        return None
    layer, _, leaf = name.removeprefix("C3D/").rpartition("/")
    return re.sub(r"^conv_(\d)$", r"conv\1", layer), _TENSORFLOW_WEIGHTS.get(leaf, leaf)
