"""The authors' networks: which backbone here, and what they were trained on."""

import dataclasses
import re

from mas.checks import check_choice
from mas.convert import names


@dataclasses.dataclass(frozen=True)
class Published:
    """What a network was pre-trained on.

    Attributes:
        backbone: its name in `mas.backbones`.
        preset: of the input, of `mas.backbones.presets`.
        frames: length of a clip.
        size: side of the crop, in pixels.
        resize: WIDTHxHEIGHT of a frame before the crop.
    """

    backbone: str
    preset: str
    frames: int
    size: int
    resize: str


TENSORFLOW = "mas_c3d"  # the CVPR 2019 code; all others are PyTorch's
NAMES = (TENSORFLOW, *names.NETWORKS)

# (preset, frames, size, resize). MAS, STS and pace feed B G R 0..255, resized whatever the aspect.
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

# What the optimiser and the counter of the CVPR code leave.
_TENSORFLOW_UNUSED = r"(.*/)?(global_step|Momentum|beta[12]_power|ExponentialMovingAverage)"
_TENSORFLOW_WEIGHTS = {"weights": "kernel", "weight": "kernel", "biases": "bias", "bias": "bias"}


def published(network: str) -> Published:
    """What a network was pre-trained on.

    >>> published("sts_r3d").backbone, published("dsm_i3d").resize
    ('r3d_10', '341x256')

    Raises:
        ValueError: unknown network.
    """
    check_choice("network", network, NAMES)
    backbone = "c3d" if network == TENSORFLOW else names.NETWORKS[network].backbone
    return Published(backbone, *_INPUT.get(network, _INPUT[network.split("_")[0]]))


def targets(network):
    """Function: entry name -> (layer, weight); None where it is knowingly left over."""
    return _tensorflow_target if network == TENSORFLOW else names.targets(network)


def heads(network):
    """The layers of heads, which a backbone has not."""
    if network == TENSORFLOW:
        return {"fc6", "fc7", "fc8"}
    return set(names.NETWORKS[network].heads.values())


def arranged(network, name, value):
    """One entry's array in the order of Keras.

    Raises:
        ValueError: another number of axes than such an entry has.
    """
    if network == TENSORFLOW:
        return value
    weights, _ = names.arranged(network, {name: value})
    return weights[names.targets(network)(name)]


def _tensorflow_target(name):
    """The names of the CVPR code: `C3D/conv_1/weights`, `C3D/fc6/bias`, and slots behind those."""
    if re.fullmatch(_TENSORFLOW_UNUSED, name):
        return None
    layer, _, leaf = name.removeprefix("C3D/").rpartition("/")
    return re.sub(r"^conv_(\d)$", r"conv\1", layer), _TENSORFLOW_WEIGHTS.get(leaf, leaf)
