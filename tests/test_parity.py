"""The comparison with the authors' networks: names of entries, counts, refusals, all files."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from mas.backbones import NAMES as BACKBONES
from mas.convert import names

ROOT = pathlib.Path(__file__).resolve().parents[1]
QUICK = ("sts_r21d", "vtdl_r3d18")
SLOW = (
    *("sts_c3d", "sts_r3d", "pace_c3d", "pace_r3d", "pace_r21d", "pace_s3dg"),
    *("vtdl_i3d", "vtdl_i3d_classifier", "dsm_c3d", "dsm_s3dg"),
)
INPUTS = """
import numpy as np

def fill(seed, index, name, shape):
    values = np.random.default_rng([seed, index]).random(shape).astype(np.float32)
    return values + 0.5 if name.endswith("var") else values - 0.5

def network_input(seed, frames, size, batch=2):
    rng = np.random.default_rng([seed, 10**6])
    return rng.uniform(-1, 1, (batch, frames, size, size, 3)).astype(np.float32)
"""
WIDTH = 0.02  # one channel in conv1, 10 in conv5b
CHANNELS = {"1": 1, "2": 3, "3a": 5, "3b": 5, "4a": 10, "4b": 10, "5a": 10, "5b": 10}


@pytest.fixture(scope="module")
def parity():
    path = ROOT / "benchmarks" / "parity.py"
    spec = importlib.util.spec_from_file_location("parity", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "network", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_outputs_equal_the_authors(network, parity, shared, capsys):
    folder = shared / "golden" / "networks"
    assert {path.stem for path in folder.glob("*.json")} == {*QUICK, *SLOW}
    assert parity.compare(folder / f"{network}.json") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert float(last.removeprefix("largest relative difference: ")) <= 1e-5


# Network, entry, and its layer and weight.
PLACES = """
sts_c3d conv3a.bias conv3a/bias
sts_c3d module.bn3a.running_var conv3a_bn/moving_variance
sts_c3d app_linear.weight appearance/kernel
pace_r3d bn1.weight conv1_bn/gamma
pace_r3d conv1.temporal_spatial_conv.weight conv1/kernel
pace_r3d conv3.block1.downsamplebn.bias conv3_1_shortcut_bn/beta
pace_r3d linear.bias pace/bias
sts_r21d conv1.bn.running_mean conv1_spatial_bn/moving_mean
sts_r21d conv5.block1.downsampleconv.temporal_conv.weight conv5_1_shortcut/kernel
vtdl_r21d_classifier conv4.blocks.0.conv2.spatial_conv.weight conv4_2_conv2_spatial/kernel
dsm_r3d50 layer4.2.bn3.weight conv5_3_conv3_bn/gamma
dsm_r3d50 layer1.0.downsample.0.weight conv2_1_shortcut/kernel
dsm_r3d50 layer1.0.downsample.1.bias conv2_1_shortcut_bn/beta
vtdl_i3d mixed_4f.branch_3.1.conv3d.weight mixed_4f_3/kernel
vtdl_i3d mixed_4f.branch_2.1.batch3d.bias mixed_4f_2b_bn/beta
vtdl_i3d id_head.2.weight embedding/kernel
vtdl_i3d cls_head.2.weight
vtdl_i3d_classifier conv3d_0c_1x1_custom.conv3d.weight logits/kernel
pace_s3dg conv_2b.conv1.weight conv2b/kernel
pace_s3dg conv_2c.conv1.weight conv2c_spatial/kernel
pace_s3dg mixed_3b.conv_b1_b.bn2.weight mixed_3b_1b_bn/gamma
pace_s3dg mixed_3b.gating_b1.fc.weight mixed_3b_1b_gate/kernel
dsm_s3dg feature.sepConv1.excitation.bias conv1_gate/bias
dsm_s3dg feature.sepInc_5c.branch1.1.sep_conv.0.bn.weight mixed_5c_1b_spatial_bn/gamma
dsm_s3dg fc.weight
dsm_s3dg feature.basicConv3d.bn.num_batches_tracked
"""


def test_entries_map_to_variables():
    """Entries without a variable are unused."""
    for line in PLACES.strip().splitlines():
        network, entry, *place = line.split()
        expected = tuple(place[0].split("/")) if place else None
        assert names.targets(network)(entry) == expected, line


def test_arranged_transposes_only_kernels():
    rng = np.random.default_rng(0)
    conv, gate = rng.random((4, 3, 2, 5, 6)), rng.random((4, 3, 1, 1, 1))
    linear, norm = rng.random((4, 3)), rng.random(4)
    entries = {
        "feature.basicConv3d.conv3d.weight": conv,
        "feature.basicConv3d.bn.weight": norm,
        "feature.sepConv1.excitation.weight": gate,
        "id_head.2.weight": linear,
        "fc.bias": norm,
    }
    weights, left = names.arranged("dsm_s3dg", entries)
    assert left == ["fc.bias"]
    kernel = weights.pop(("conv2b", "kernel"))
    assert kernel.shape == (2, 5, 6, 3, 4)
    for t, y, x, i, o in np.ndindex(kernel.shape):
        assert kernel[t, y, x, i, o] == conv[o, i, t, y, x]
    np.testing.assert_array_equal(weights.pop(("conv2b_bn", "gamma")), norm)
    np.testing.assert_array_equal(weights.pop(("conv1_gate", "kernel")), gate[:, :, 0, 0, 0].T)
    np.testing.assert_array_equal(weights.pop(("embedding", "kernel")), linear.T)
    assert not weights


def test_arranged_rejects_unknown_entries():
    with pytest.raises(ValueError, match="network='sts_c4d'"):
        names.arranged("sts_c4d", {})
    twice = {"conv1.weight": np.zeros((1, 1, 1, 1, 1)), "module.conv1.weight": np.zeros(1)}
    with pytest.raises(ValueError, match="conv1.weight and module.conv1.weight"):
        names.arranged("sts_c3d", twice)


def test_every_backbone_except_c3d_is_compared():
    assert {row.backbone for row in names.NETWORKS.values()} == set(BACKBONES) - {"c3d"}


def write_golden(folder, **changes):
    """Writes a narrow C3D with the head of pace, with another seed, size and number of classes."""
    entries, before = [], 3
    for layer, channels in CHANNELS.items():
        entries += [[f"conv{layer}.weight", [channels, before, 3, 3, 3]]]
        entries += [[f"conv{layer}.bias", [channels]]]
        leaves = ("weight", "bias", "running_mean", "running_var")
        entries += [[f"bn{layer}.{leaf}", [channels]] for leaf in leaves]
        entries += [[f"bn{layer}.num_batches_tracked", []]]
        before = channels
    entries += [["linear.weight", [6, before]], ["linear.bias", [6]]]
    counted = [shape for name, shape in entries if "running" not in name and shape]
    golden = {
        **{"arch": "pace_c3d", "seed": 5, "frames": 9, "size": 17, "state_dict": entries},
        **{"parameters": sum(int(np.prod(shape)) for shape in counted)},
        **{"outputs": [np.zeros((3, 6)).tolist()]},
    }
    (folder / "networks").mkdir(exist_ok=True)
    (folder / "inputs.py").write_text(INPUTS)
    path = folder / "networks" / "pace_c3d.json"
    path.write_text(json.dumps({**golden, **changes}))
    return path


def reference(golden, inputs):
    """The same network, in plain loops over windows."""
    values = {
        name: inputs.fill(golden["seed"], index, name, shape).astype(np.float64)
        for index, (name, shape) in enumerate(golden["state_dict"])
    }
    x = inputs.network_input(golden["seed"], golden["frames"], golden["size"], 3)
    for layer in CHANNELS:
        kernel, bias = values[f"conv{layer}.weight"], values[f"conv{layer}.bias"]
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)])
        frames, height, width = x.shape[1:4]
        x = bias + sum(
            padded[:, t : t + frames, i : i + height, j : j + width] @ kernel[:, :, t, i, j].T
            for t, i, j in np.ndindex(3, 3, 3)
        )
        scale = values[f"bn{layer}.weight"] / np.sqrt(values[f"bn{layer}.running_var"] + 1e-5)
        x = (x - values[f"bn{layer}.running_mean"]) * scale + values[f"bn{layer}.bias"]
        x = np.maximum(x, 0)
        if layer in ("1", "2", "3b", "4b"):
            step = 1 if layer == "1" else 2
            t, i, j = x.shape[1] // step, x.shape[2] // 2, x.shape[3] // 2
            x = x[:, : t * step, : i * 2, : j * 2].reshape(3, t, step, i, 2, j, 2, -1)
            x = x.max((2, 4, 6))
    return x.mean((1, 2, 3)) @ values["linear.weight"].T + values["linear.bias"]


def test_accepts_file_of_other_size_seed_and_classes(parity, tmp_path, capsys):
    path = write_golden(tmp_path)
    outputs = reference(json.loads(path.read_text()), parity.load_inputs(path))
    write_golden(tmp_path, outputs=[outputs.tolist()])
    assert parity.compare(path, width=WIDTH) == 0
    assert "largest relative difference: " in capsys.readouterr().out.splitlines()[-1]
    wrong = outputs + 2e-4 * np.abs(outputs).max() * (outputs == outputs[1, 2])
    write_golden(tmp_path, outputs=[wrong.tolist()])
    assert parity.compare(path, tmp_path / "inputs.py", WIDTH) == 1
    assert capsys.readouterr().out.endswith("largest relative difference: 2.0e-04\n")


def test_difference_is_relative_to_the_largest_value(parity):
    assert parity.difference([[1.0, -4.0]], [[1.2, -4.0]]) == pytest.approx(0.05)
    assert parity.difference([[np.nan, 1.0]], [[1.0, 1.0]]) == float("inf")
    with pytest.raises(ValueError, match=r"output.*\(2,\)"):
        parity.difference([1.0, 2.0], [[1.0, 2.0]])
