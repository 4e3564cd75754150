"""Compares the outputs of a network with those of the authors' PyTorch network, for equal weights.

    python benchmarks/parity.py --golden=FILE [--inputs=inputs.py]

FILE (JSON) contains `arch` (a name in `mas.convert.names.NETWORKS`), `seed`, `frames`, `size`,
`state_dict` ([name, shape] of every entry, in order), `parameters` and `outputs`. The module
`inputs.py` (next to the folder of FILE, or in it) makes the entries (`fill`) and the clips
(`network_input`, R G B in [-1, 1], not preprocessed). Outputs: [motion, appearance] for STS,
[logits] for pace, [log-softmax] for a classifier, [embedding, ...] for VTDL and DSM.

Prints the parameter counts of both, and in the last line the largest absolute difference over the
largest absolute value, for the worst output. Exit status: 0 if it is at most 1e-4, else 1.
"""

import importlib.util
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from mas import heads
from mas.backbones import backbone
from mas.convert import names

TOLERANCE = 1e-4
KEYS = ("arch", "seed", "frames", "size", "state_dict", "outputs", "parameters")


def read_golden(path):
    """The recorded network in the JSON file `path`; ValueError names what it lacks."""
    golden = json.loads(pathlib.Path(path).read_text())
    missing = [key for key in KEYS if key not in golden]
    if missing:
        raise ValueError(f"{path}: must have {list(KEYS)}. Missing: {missing}.")
    return golden


def load_inputs(golden_path, path=None):
    """The module inputs.py: `path`, or one in the golden file's folder or the one above."""
    folder = pathlib.Path(golden_path).resolve().parent
    places = [pathlib.Path(path)] if path else [folder / "inputs.py", folder.parent / "inputs.py"]
    found = [place for place in places if place.is_file()]
    if not found:
        raise ValueError(f"inputs must be one of {list(map(str, places))}. Received: none there.")
    spec = importlib.util.spec_from_file_location("golden_inputs", found[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entries(golden, inputs):
    """The seeded state_dict of the golden file: {name: array}."""
    return {
        name: inputs.fill(golden["seed"], index, name, shape)
        for index, (name, shape) in enumerate(golden["state_dict"])
    }


def build(network, weights, frames, size, width=1.0):
    """Builds the authors' network with heads of the size of their weights, and their outputs."""
    row = names.NETWORKS[network]
    trunk = backbone(row.backbone, (frames, size, size, 3), width)
    outputs = []
    for head in row.heads.values():
        kernel = weights[head, "kernel"]
        if head == "embedding":
            outputs.append(heads.embedding(trunk.output, kernel.shape[-1]))
        elif kernel.ndim == 5:
            length = kernel.shape[0]
            pool = 2 if row.backbone == "i3d" else 1
            logits = heads.convolved(trunk.output, kernel.shape[-1], head, (pool, length))
            outputs.append(keras.ops.log_softmax(logits))
        else:
            outputs.append(heads.pooled(trunk.output, kernel.shape[-1], head))
    return keras.Model(trunk.input, outputs)


def assign(model, weights):
    """Sets every variable of the model to {(layer, weight): array}.

    Raises:
        ValueError: If the two do not match one to one; the message lists the differences.
    """
    variables = {
        (layer.name, variable.name): variable
        for layer in model.layers
        for variable in layer.variables
    }
    ours = {place: tuple(variable.shape) for place, variable in variables.items()}
    theirs = {place: value.shape for place, value in weights.items()}
    if ours != theirs:
        wrong = [p for p in sorted(set(ours) | set(theirs)) if ours.get(p) != theirs.get(p)]
        rows = [("/".join(p), theirs.get(p, "none"), ours.get(p, "none")) for p in wrong]
        lines = [f"{place}: {there} there, {here} here" for place, there, here in rows]
        raise ValueError(f"weights must fit the model. {len(wrong)} do not: " + "; ".join(lines))
    for place, variable in variables.items():
        variable.assign(weights[place])


def difference(ours, theirs):
    """Largest absolute difference over the largest absolute value; infinite where not finite."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"output must be {theirs.shape}. Received: {ours.shape}.")
    found = np.abs(ours - theirs).max() / np.abs(theirs).max()
    return float(found) if np.isfinite(found) else float("inf")


def counts(golden, model, left):
    """(parameters here, parameters in the file, parameters ignored on purpose)."""
    sizes = {name: int(np.prod(shape)) for name, shape in golden["state_dict"]}
    unused = sum(sizes[name] for name in left if not name.endswith("num_batches_tracked"))
    ours = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    return ours, golden["parameters"], unused


def compare(path, inputs_path=None, width=1.0):
    """Runs the network of the file `path`, prints the difference; the exit status."""
    golden, inputs = read_golden(path), load_inputs(path, inputs_path)
    network = golden["arch"]
    weights, left = names.arranged(network, entries(golden, inputs))
    model = build(network, weights, golden["frames"], golden["size"], width)
    assign(model, weights)
    ours, theirs, unused = counts(golden, model, left)
    print(f"{network}: {names.NETWORKS[network].backbone}, {len(weights)} weights", flush=True)
    print(f"parameters: {ours:,} here, {theirs:,} recorded, of these {unused:,} in unused heads")
    recorded = golden["outputs"]
    clips = inputs.network_input(golden["seed"], golden["frames"], golden["size"], len(recorded[0]))
    outputs = keras.tree.flatten(model.predict_on_batch(clips))
    largest = 0.0
    for place, output in enumerate(outputs):  # VTDL has further ones, of heads that no loss sees
        found = difference(output, recorded[place])
        print(f"output {place} {output.shape}: {found:.1e}")
        largest = max(largest, found)
    print(f"largest relative difference: {largest:.1e}")
    return 0 if largest <= TOLERANCE and ours == theirs - unused else 1


def main(_):
    """Compares at full size; the exit status."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return compare(flags.FLAGS.golden, flags.FLAGS.inputs)


if __name__ == "__main__":
    flags.DEFINE_string("golden", None, "Recorded network (JSON).", required=True)
    flags.DEFINE_string("inputs", None, "inputs.py, where it is not next to the golden file.")
    app.run(main)
