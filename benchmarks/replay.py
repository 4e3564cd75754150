"""Pre-trains MAS with Keras on JAX, on the clips and targets that `mas train` would use.

    python benchmarks/replay.py record FRAMES.npz EXAMPLES.npz --data=DATA --recipe=mas_small
    KERAS_BACKEND=jax python benchmarks/replay.py train FRAMES.npz EXAMPLES.npz [--width=1 ...]
    python benchmarks/replay.py measure EXAMPLES.features.npz [...]

For GPU machines with JAX and without TensorFlow. `record` takes the flags of `mas train` for the
task mas; DATA is prepared with flow and undamaged. It stores the frames of all videos, unless
FRAMES.npz exists, and for every example of every step its frame numbers, crop, flip and targets.
`train` builds the network, trains it with the optimiser of `mas`, and stores each video's mean
feature over ten clips, with trained and with random weights. `measure` classifies them as
`mas study` does, leaving each group out in turn.

JAX draws other initial weights than TensorFlow, and on a GPU it may round products to TF32. With
several EXAMPLES.npz, set JAX_COMPILATION_CACHE_DIR: the step is compiled for each.
"""

import argparse
import functools
import importlib.util
import json
import pathlib
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLIPS = 10  # for the features of a video
GROUPS = r"/(\w+?)_"  # of Weizmann, for `measure`


def record(arguments):
    """Writes the frames and the examples of a training."""
    from absl import logging

    from mas import records
    from mas.cli import train as command
    from mas.settings import Clip, Network, Optimisation, Plan
    from mas.training import engine, pretraining

    logging.set_verbosity(logging.INFO)
    frames, output = arguments[:2]
    given, kind = command.flags(arguments[2:])
    given.parse(arguments[2:])
    task = given.make(kind).bound(given.make(Clip), given.make(Network))
    plan, optimisation = given.make(Plan), given.make(Optimisation)
    if task.name != "mas" or task.network.modality != "rgb" or plan.last_batch != "drop":
        raise SystemExit(
            "replay.py trains only --task=mas with --modality=rgb and --last_batch=drop"
        )
    data = records.open_data(given.data)
    first = np.concatenate([[0], np.cumsum(data.lengths)]).astype(np.int32)
    if not pathlib.Path(frames).exists():
        _write_frames(frames, data)
    if np.load(frames)["videos"].tolist() != list(data.videos):
        raise SystemExit(f"{frames} has the frames of other videos than {given.data}")
    examples = pretraining.examples_of(data, given.list, task, plan, given.columns)
    plan = engine.cut_batch(plan, examples)
    reader = engine.Experiment(task, optimisation, plan, given.seed).reader(data, examples)
    steps = plan.epochs * reader.steps(plan.batch)
    places = [_places(reader, plan.batch, step) for step in range(steps)]
    targets = [
        {name: values.numpy() for name, values in y.items()}
        for _, y in reader.batches(plan.batch, 0, steps, threads=plan.threads or None)
    ]
    test = _test_clips(data, task)
    settings = {
        "network": task.network.values(),
        "clip": task.clip.values(),
        "optimisation": optimisation.values(),
        "weights": {"motion": task.motion_weight, "appearance": task.appearance_weight},
        "steps_per_epoch": reader.steps(plan.batch),
        "batch": plan.batch,
        "seed": given.seed,
        "flags": arguments[2:],
    }
    np.savez_compressed(
        output,
        settings=json.dumps(settings),
        frames=np.concatenate([first[numbers][:, None] + f for numbers, f, _ in places]),
        places=np.concatenate([drawn for *_, drawn in places]),
        test_frames=first[test[0]][:, None] + test[1],
        test_places=test[2],
        test_videos=test[0],
        videos=data.videos,
        **{f"y_{name}": np.concatenate([y[name] for y in targets]) for name in targets[0]},
    )
    print(f"{output}: {steps} steps of {plan.batch}")


def _write_frames(path, data):
    """Writes the stored JPEG files of all frames, one after the other."""
    none = np.zeros(0, int)
    files = [
        bytes(image)
        for number, length in enumerate(data.lengths)
        for image in data.read(number, np.arange(length), none)[0]
    ]
    sizes = np.array([len(file) for file in files])
    pixels = np.frombuffer(b"".join(files), np.uint8)
    np.savez(path, data=pixels, sizes=sizes, videos=data.videos)


def _places(reader, batch, step):
    """(videos, frame numbers, crops) of a step: what `Reader.load` draws."""
    from mas.clips import reading

    epoch, place = divmod(step, reader.steps(batch))
    rows = []
    for example in reader._order(epoch)[place * batch : (place + 1) * batch]:
        rng = np.random.default_rng([reading.EXAMPLE, reader.seed, epoch, int(example)])
        number, start = (int(v[example]) for v in (reader.examples.videos, reader.examples.starts))
        start = None if start == reading.ANYWHERE else start
        frames, _ = reader.task.sample(int(reader.data.lengths[number]), start, rng)
        rows.append((number, frames, reader.geometry.draw(rng)))
    return [np.array(column) for column in zip(*rows, strict=True)]


def _test_clips(data, task):
    """(videos, frame numbers, crops) of the clips whose features are averaged."""
    from mas import clips, features

    plain = features.Sampling(clips=CLIPS).task(task.clip, "rgb", task.stride)
    options = {"how": "uniform", "count": CLIPS, "least": plain.least, "again": True}
    found = clips.examples(data, None, plain.span, **options)
    geometry = clips.Geometry(task.clip.resize, task.clip.size, random=False)
    pairs = list(zip(found.videos, found.starts, strict=True))
    frames = [plain.sample(int(data.lengths[video]), int(start))[0] for video, start in pairs]
    crops = np.array([geometry.draw(None)] * len(pairs))
    return found.videos, np.array(frames), crops


def train(arguments):
    """Trains on recorded examples; writes features next to them."""
    import jax
    import keras

    given = _options(arguments)
    keras.config.set_dtype_policy(given.precision)
    stored, sized = np.load(given.frames), {}
    for path in given.examples:
        known = dict(np.load(path))
        settings = json.loads(str(known.pop("settings")))
        settings["train"] = vars(given)
        for name in ("backbone", "width"):
            settings["network"][name] = getattr(given, name) or settings["network"][name]
        size = tuple(settings["clip"]["resize"])
        if size not in sized:
            sized = {size: jax.device_put(_decoded(stored, size))}
        keras.utils.set_random_seed(settings["seed"])
        _train(path.removesuffix(".npz") + given.name, _chosen(known, given), settings, sized[size])


def _options(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("frames")
    parser.add_argument("examples", nargs="+", help="from `record`")
    parser.add_argument("--branches", default="motion,appearance")
    parser.add_argument("--columns", default="", help="of the motion statistics, such as 0,1,2,3")
    parser.add_argument("--backbone", help="another network than the recipe's")
    parser.add_argument("--width", type=float)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--name", default="", help="added to the output's name")
    return parser.parse_args(arguments)


def _chosen(known, given):
    """Leaves the targets of some branches, and some of the motion statistics."""
    branches = given.branches.split(",")
    kept = {k: v for k, v in known.items() if not k.startswith("y_") or k[2:] in branches}
    if given.columns:
        kept["y_motion"] = kept["y_motion"][:, [int(n) for n in given.columns.split(",")]]
    return kept


def _decoded(stored, size):
    """uint8 (frames, height, width, 3), R G B, resized as by `mas.clips.pixels`."""
    import cv2

    ends = np.cumsum(stored["sizes"])
    data, found = stored["data"], []
    for end, length in zip(ends, stored["sizes"], strict=True):
        image = cv2.imdecode(data[end - length : end], cv2.IMREAD_COLOR)[..., ::-1]
        same = image.shape[1::-1] == size
        found.append(image if same else cv2.resize(np.ascontiguousarray(image), size))
    return np.stack(found)


def _train(path, known, settings, frames):
    import jax
    import keras

    model, trunk, size = *_model(settings, known), settings["clip"]["size"]
    optimizer = _optimizer(settings)
    optimizer.build(model.trainable_variables)
    # A branch alone has weight 1, as in the recipes.
    weights = settings["weights"] if len(model.output) > 1 else dict.fromkeys(model.output, 1.0)

    def loss(trained, others, x, y):
        outputs, others = model.stateless_call(trained, others, x, training=True)
        parts = [weights[k] * keras.ops.mean((outputs[k] - y[k]) ** 2) for k in y]
        return sum(parts), others

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, frames, numbers, places, y):
        trained, others, slots = state
        x = cut(frames, numbers, places, size)
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(trained, others, x, y)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return (trained, others, slots), value

    random = _features(trunk, known, frames, size)
    variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = tuple([variable.value for variable in part] for part in variables)
    batch, losses = settings["batch"], []
    y = {name[2:]: jax.device_put(v) for name, v in known.items() if name.startswith("y_")}
    numbers, places = (jax.device_put(known[name]) for name in ("frames", "places"))
    begin = after = time.perf_counter()
    for first in range(0, len(numbers), batch):
        part = slice(first, first + batch)
        targets = {name: values[part] for name, values in y.items()}
        state, value = step(state, frames, numbers[part], places[part], targets)
        losses.append(value)
        if not first:
            value.block_until_ready()
            after = time.perf_counter()
    losses = np.array(jax.device_get(losses))
    seconds = time.perf_counter() - after
    for part, values in zip(variables, state, strict=True):
        for variable, new in zip(part, values, strict=True):
            variable.assign(new)
    trained = _features(trunk, known, frames, size)
    np.savez(
        f"{path}.features.npz",
        trained=trained,
        random=random,
        losses=losses,
        seconds=seconds,
        videos=known["videos"],
        settings=json.dumps(settings),
    )
    ends = losses[:90].mean(), losses[-90:].mean()
    print(
        f"{path}: {len(losses)} steps in {seconds:.1f} s after a first one of "
        f"{after - begin:.1f} s; loss {ends[0]:.4f} to {ends[1]:.4f}",
        flush=True,
    )


def cut(frames, numbers, places, size):
    """Cuts clips out of frames, as `mas.clips.pixels.cut`.

    Args:
        frames: uint8 (frames, height, width, 3) of all videos.
        numbers: int (batch, T).
        places: int (batch, 3): top, left, flip.
        size: side of a clip in pixels.

    Returns:
        uint8 (batch, T, size, size, 3).
    """
    import jax
    import jax.numpy as jnp

    def one(numbers, place):
        clip = jax.lax.dynamic_slice(
            frames[numbers], (0, place[0], place[1], 0), (numbers.shape[0], size, size, 3)
        )
        return jnp.where(place[2] == 1, clip[:, :, ::-1], clip)

    return jax.vmap(one)(numbers, places)


def _model(settings, known):
    """(model with heads, backbone)."""
    import keras

    from mas import backbones, heads

    network, clip = settings["network"], settings["clip"]
    shape = (clip["frames"], clip["size"], clip["size"], 3)
    keys = ("width", "preset", "initializer")
    trunk = backbones.backbone(network["backbone"], shape, *(network[key] for key in keys))
    sizes = {name[2:]: v.shape[1] for name, v in known.items() if name.startswith("y_")}
    options = (network["head"], network["width"], 0.0, network["initializer"])
    return keras.Model(trunk.input, heads.attach(trunk, sizes, *options)), trunk


def _optimizer(settings):
    """The optimiser of `mas`, loaded without the package of training, which needs TensorFlow."""
    path = ROOT / "mas" / "training" / "optimizers.py"
    spec = importlib.util.spec_from_file_location("optimizers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from mas.settings import Optimisation

    return module.build(Optimisation.read(settings["optimisation"]), settings["steps_per_epoch"])


def _features(trunk, known, frames, size, batch=90):
    """float32 (videos, channels): means over time and space, and over the clips of a video."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def pooled(variables, frames, numbers, places):
        x = cut(frames, numbers, places, size)
        found, _ = trunk.stateless_call(*variables, x, training=False)
        return jnp.mean(found.astype(jnp.float32), (1, 2, 3))

    parts = (trunk.trainable_variables, trunk.non_trainable_variables)
    variables = [[variable.value for variable in part] for part in parts]
    numbers, places = known["test_frames"], known["test_places"]
    found = [
        np.asarray(pooled(variables, frames, numbers[i : i + batch], places[i : i + batch]))
        for i in range(0, len(numbers), batch)
    ]
    values, counts = np.concatenate(found), np.bincount(known["test_videos"])
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, known["test_videos"], values)
    return (sums / counts[:, None]).astype(np.float32)


def measure(arguments):
    """Prints the accuracies of features, as `mas study`."""
    from mas import evaluate, features

    probes = (("nearest", "knn", 0), ("whitened", "knn", 32), ("linear", "linear", 0))
    for path in arguments:
        known = np.load(path)
        videos = [str(video) for video in known["videos"]]
        folders = [video.rpartition("/")[0] for video in videos]
        labels = [sorted(set(folders)).index(folder) for folder in folders]
        for weights in ("trained", "random"):
            rows = features.Features(known[weights], videos, np.array(labels))
            text = f"{path} {weights}"
            for name, how, whiten in probes:
                probe = evaluate.Probe(how, groups=GROUPS, whiten=whiten)
                text += f" {name} {100 * probe(videos=rows).accuracy:.1f}"
            print(text)


if __name__ == "__main__":
    try:
        {"record": record, "train": train, "measure": measure}[sys.argv[1]](sys.argv[2:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
