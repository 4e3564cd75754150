"""Maps the entries of the authors' PyTorch checkpoints to variables of the Keras networks.

    NETWORKS                     {network: Network(backbone, heads, ...)}
    targets(network)             function: entry name -> (layer, weight), or None if ignored
    arranged(network, entries)   {entry name: array} -> ({(layer, weight): array}, ignored names)

A network is named after method and architecture: `sts_r3d`, `dsm_s3dg`. Layers and weights have
Keras's names (`model.get_layer(layer)`; `kernel`, `bias`, `gamma`, `beta`, `moving_mean`,
`moving_variance`). Layers in `Network.heads.values()` belong to a head, all others to the backbone.
An unknown entry is mapped to a layer that does not exist, so callers must check that every entry
has a variable and every variable an entry.
"""

import dataclasses
import re

import numpy as np

_C3D = (
    (r"^bn(\d[ab]?)$", r"conv\1_bn"),
)  # fmt: skip

# VCOP's residual networks (STS, pace; R(2+1)D of VTDL and DSM): conv1, then stages conv2 to conv5,
# each with block1, blocks.0, blocks.1, ...
_VCOP = (
    (r"\.block1\.", "_1_"),
    (r"\.blocks\.(\d+)\.", lambda match: f"_{int(match[1]) + 2}_"),
    (r"_downsample(conv|bn)", lambda match: "_shortcut" + ("_bn" if match[1] == "bn" else "")),
    (r"(^|_)bn(\d)$", r"\1conv\2_bn"),
    (r"\.temporal_(spatial_)?conv$", ""),
    (r"\.spatial_conv$", "_spatial"),
    (r"\.bn$", "_spatial_bn"),
)

# Hara's 3D-ResNets: conv1, then stages layer1 to layer4, each with blocks 0, 1, ...
_HARA = (
    (r"^layer(\d)\.(\d+)\.", lambda match: f"conv{int(match[1]) + 1}_{int(match[2]) + 1}_"),
    (r"downsample\.0$", "shortcut"),
    (r"downsample\.1$", "shortcut_bn"),
    (r"(^|_)bn(\d)$", r"\1conv\2_bn"),
)

# The units of an Inception block, by branch: 0 | 1a 1b | 2a 2b | 3.
_I3D = (
    (r"\.conv3d$", ""),
    (r"\.batch3d$", "_bn"),
    (r"^conv3d_1a_7x7", "conv1"),
    (r"^conv3d_(2[bc])_\dx\d", r"conv\1"),
    (r"\.branch_([03])(\.1)?", r"_\1"),
    (r"\.branch_([12])\.0", r"_\1a"),
    (r"\.branch_([12])\.1", r"_\1b"),
)

_S3DG_PACE = (
    (r"^conv_2", "conv2"),
    (r"^gating\.fc$", "conv2c_gate"),
    (r"\.gating_b([03])\.fc$", r"_\1_gate"),
    (r"\.gating_b([12])\.fc$", r"_\1b_gate"),
    (r"\.conv_b([12])_([ab])", r"_\1\2"),
    (r"\.conv_b([03])(_b)?", r"_\1"),
    (r"(2c|_[12]b)\.(conv|bn)1$", r"\1_spatial.\g<2>1"),  # separable: conv1 spatial, conv2 temporal
    (r"\.conv[12]$", ""),
    (r"\.bn[12]$", "_bn"),
)

_S3DG_DSM = (
    (r"^feature\.", ""),
    (r"^sepConv1", "conv1"),
    (r"^basicConv3d", "conv2b"),
    (r"^sep_conv2", "conv2c"),
    (r"^sepInc", "mixed"),
    (r"\.branch0|\.branch3\.1", lambda match: f"_{match[0][7]}"),
    (r"\.branch([12])\.0", r"_\1a"),
    (r"\.branch([12])\.1", r"_\1b"),
    (r"\.sep_conv\.0", "_spatial"),
    (r"\.sep_conv\.1", ""),
    (r"\.excitation$", "_gate"),
    (r"\.conv3d$", ""),
    (r"\.bn$", "_bn"),
)

_COUNTER = r".*num_batches_tracked"  # PyTorch's count of training steps, which Keras lacks


@dataclasses.dataclass(frozen=True)
class Network:
    """How the entries of one published network are named.

    Attributes:
        backbone: name in `mas.backbones`.
        rules: (pattern, replacement), applied in order to an entry without its last part, give
            the layer.
        heads: {entry without its last part: layer of a head}.
        unused: pattern of entries that the published method does not use.
    """

    backbone: str
    rules: tuple
    heads: dict
    unused: str = _COUNTER


_STS = {"motion_linear": "motion", "app_linear": "appearance"}
_EMBEDDING = {"id_head.2": "embedding"}
_CLASSIFIER = {"conv3d_0c_1x1_custom.conv3d": "logits"}
# Heads without a loss: VTDL's 200 clusters, and DSM's head for fine-tuning.
_VTDL_UNUSED = _COUNTER + r"|cls_head\..*"
_DSM_UNUSED = _COUNTER + r"|fc\..*"

NETWORKS = {
    "sts_c3d": Network("c3d_bn", _C3D, _STS),
    "sts_r3d": Network("r3d_10", _VCOP, _STS),
    "sts_r21d": Network("r2plus1d_10", _VCOP, _STS),
    "pace_c3d": Network("c3d_bn", _C3D, {"linear": "pace"}),
    "pace_r3d": Network("r3d_10", _VCOP, {"linear": "pace"}),
    "pace_r21d": Network("r2plus1d_10", _VCOP, {"linear": "pace"}),
    "pace_s3dg": Network("s3d_g", _S3DG_PACE, {"fc": "pace"}),
    "vtdl_i3d": Network("i3d", _I3D, _EMBEDDING, _VTDL_UNUSED),
    "vtdl_i3d_classifier": Network("i3d", _I3D, _CLASSIFIER),
    "vtdl_r3d18": Network("r3d_18", _HARA, _EMBEDDING, _VTDL_UNUSED),
    "vtdl_c3d": Network("c3d_bn", _C3D, _EMBEDDING, _VTDL_UNUSED),
    "vtdl_r21d": Network("r2plus1d_10", _VCOP, _EMBEDDING, _VTDL_UNUSED),
    "vtdl_r21d_classifier": Network("r2plus1d_18", _VCOP, {"linear": "logits"}),
    "dsm_i3d": Network("i3d", _I3D, _EMBEDDING, _DSM_UNUSED),
    "dsm_c3d": Network("c3d_bn", _C3D, _EMBEDDING, _DSM_UNUSED),
    "dsm_s3dg": Network("s3d_g_dsm", _S3DG_DSM, _EMBEDDING, _DSM_UNUSED),
    "dsm_r3d18": Network("r3d_18", _HARA, _EMBEDDING, _DSM_UNUSED),
    "dsm_r3d34": Network("r3d_34", _HARA, _EMBEDDING, _DSM_UNUSED),
    "dsm_r3d50": Network("r3d_50", _HARA, _EMBEDDING, _DSM_UNUSED),
    "dsm_r21d": Network("r2plus1d_10", _VCOP, _EMBEDDING, _DSM_UNUSED),
}

_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_LINEAR = {"weight": "kernel", "bias": "bias"}


def targets(network):
    """Returns the function that maps entry names to variables.

    Args:
        network: one of `NETWORKS`.

    Returns:
        Function from an entry's name, with or without DataParallel's `module.`, to (layer,
        weight), or to None for entries to ignore (counters, heads without a loss).

    Raises:
        ValueError: If the network is unknown.
    """
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {list(NETWORKS)}. Received: network={network!r}.")
    row = NETWORKS[network]

    def target(name):
        name = name.removeprefix("module.")
        if re.fullmatch(row.unused, name):
            return None
        layer, _, leaf = name.rpartition(".")
        if layer in row.heads:
            layer = row.heads[layer]
        else:
            for pattern, replacement in row.rules:
                layer = re.sub(pattern, replacement, layer)
        leaves = _NORM if layer.endswith("_bn") else _LINEAR
        return layer, leaves.get(leaf, leaf)

    return target


def arranged(network, entries):
    """Renames and transposes the weights of a checkpoint for Keras.

    Kernels change from (out, in, t, h, w) to (t, h, w, in, out), and from (out, in) to (in, out).
    Gates are dense layers here and 1x1x1 convolutions in DSM's code.

    Args:
        network: one of `NETWORKS`.
        entries: {entry name: array}, a PyTorch state_dict.

    Returns:
        ({(layer, weight): array}, [names of ignored entries]).

    Raises:
        ValueError: If the network is unknown, or two entries belong to one weight.
    """
    target = targets(network)
    weights, left, origin = {}, [], {}
    for name, value in entries.items():
        place = target(name)
        if place is None:
            left.append(name)
            continue
        if place in weights:
            raise ValueError(
                f"a weight of {network} must have one entry. "
                f"Received: {origin[place]} and {name} for {'/'.join(place)}."
            )
        weights[place], origin[place] = _transposed(place, np.asarray(value)), name
    return weights, left


def _transposed(place, value):
    """Transposes one array to Keras's axis order."""
    layer, weight = place
    if weight != "kernel":
        return value
    if layer.endswith("_gate"):
        return value.reshape(value.shape[:2]).T
    return np.moveaxis(value, (0, 1), (-1, -2))
