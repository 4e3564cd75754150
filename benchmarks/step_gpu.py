"""Times a training step of a network on one GPU, as a share of the GPU's matrix rate.

    KERAS_BACKEND=jax python benchmarks/step_gpu.py [--backbones=c3d,r2plus1d_10] [--batches=16,64]
        [--precisions=mixed_bfloat16,float32] [--modes=jit]

A step is forward, squared error of both branches of MAS, backward, and SGD with momentum. Its clips
of 16 x 112 x 112 are on the GPU. It runs on Keras's JAX backend (--modes=jit) or PyTorch backend
(--modes=eager,compile). On PyTorch, --modes=native,native_compile also time the
networks of step_torch.py, built from PyTorch's layers, with autocast and in both memory layouts.

A line has the median and range of five rounds of ten steps. Operations are multiplications and
additions of convolutions and linear layers: those of the forward pass, and twice as many for the
backward pass, without the gradient of the clip. "Share" is their rate divided by that of a bfloat16
product of two matrices of 8192 x 8192.
"""

import argparse
import functools
import importlib.metadata
import itertools
import math
import statistics
import sys
import time

import numpy as np

FRAMES, ROUNDS, STEPS = 16, 5, 10
SIZES = {"motion": 14, "appearance": 13}
MODES = {"jax": ("jit",), "torch": ("eager", "compile", "native", "native_compile")}


def build(name, precision, size):
    """A model with both branches, and its operations per clip in a step."""
    import keras

    from mas import backbones, heads

    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    trunk = backbones.backbone(name, (FRAMES, size, size, 3), preset="standard")
    model = keras.Model(trunk.input, heads.attach(trunk, SIZES))
    forward = [_operations(layer) for layer in model.layers]
    first = next(count for count in forward if count)
    return model, 3 * sum(forward) - first


def _operations(layer):
    """Operations of a layer's products, per clip."""
    import keras

    if not isinstance(layer, keras.layers.Conv3D | keras.layers.Dense):
        return 0
    outputs = math.prod(layer.output.shape[1:])
    return 2 * outputs * math.prod(layer.kernel.shape[:-1])


def arrays(batch, size):
    """Random clips, and targets of about the size of the labels."""
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (batch, FRAMES, size, size, 3), np.uint8)
    return clips, {k: rng.integers(1, 9, (batch, n)).astype(np.float32) for k, n in SIZES.items()}


def jax_step(model, batch):
    """Function that takes a number of steps on JAX and waits for them."""
    import jax
    import keras

    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def loss(trained, others, x, y):
        outputs, others = model.stateless_call(trained, others, x, training=True)
        return sum(keras.ops.mean((outputs[k] - y[k]) ** 2) for k in y), others

    def step(state, x, y):
        trained, others, slots = state
        (value, others), gradients = jax.value_and_grad(loss, has_aux=True)(trained, others, x, y)
        trained, slots = optimizer.stateless_apply(slots, gradients, trained)
        return (trained, others, slots), value

    step = jax.jit(step, donate_argnums=0)
    parts = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    # Copies, since a step donates its state.
    state = tuple([jax.numpy.array(v.value) for v in part] for part in parts)
    x, y = jax.device_put(arrays(batch, model.input.shape[2]))

    def steps(count):
        nonlocal state
        for _ in range(count):
            state, value = step(state, x, y)
        return float(value)

    return steps


def torch_step(model, batch, compiled):
    """The same on Keras's PyTorch backend."""
    import torch

    call = lambda x: model(x, training=True)  # noqa: E731
    call = torch.compile(call) if compiled else call
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, 0.9)
    return _torch_steps(call, optimizer, arrays(batch, model.input.shape[2]), lambda x: x)


def native_step(name, batch, size, compiled, layout, half):
    """The same with PyTorch's own layers, channels first."""
    import step_torch
    import torch

    memory = step_torch.LAYOUTS[layout]
    network = step_torch.NETWORKS[name]().to(_device(), memory_format=memory)
    run = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9)

    def call(x):
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            return dict(zip(SIZES, run(x), strict=True))

    def prepared(x):
        return ((x.permute(0, 4, 1, 2, 3).float() - 110) / 60).contiguous(memory_format=memory)

    return _torch_steps(call, optimizer, arrays(batch, size), prepared)


def _torch_steps(call, optimizer, data, prepared):
    import torch

    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    device = _device()
    clips, targets = data
    x = torch.from_numpy(clips).to(device)
    y = {name: torch.from_numpy(values).to(device) for name, values in targets.items()}

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            outputs = call(prepared(x))
            value = sum(torch.mean((outputs[k].float() - y[k]) ** 2) for k in y)
            value.backward()
            optimizer.step()
        return value.item()

    return steps


def _device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def matrix_rate(backend, size=8192):
    """Operations per second of a bfloat16 product of two random matrices."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((size, size), np.float32)
    if backend == "jax":
        import jax

        a = jax.device_put(values).astype("bfloat16")
        product = jax.jit(lambda a: a @ a)
        wait = lambda found: found.block_until_ready()  # noqa: E731
    else:
        import torch

        a = torch.from_numpy(values).to(_device(), torch.bfloat16)
        product = lambda a: a @ a  # noqa: E731
        wait = lambda found: found[0, 0].item()  # noqa: E731
    times = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        for _ in range(20):
            found = product(a)
        wait(found)
        times.append((time.perf_counter() - start) / 20)
    return 2 * size**3 / statistics.median(times[1:])


def sides(given, backend):
    """Yields (description, function that returns the steps and their operations, batch)."""
    parts = [part.split(",") for part in (given.backbones, given.precisions, given.modes)]
    for name, precision, mode, batch in itertools.product(*parts, given.batches.split(",")):
        text = f"{backend} {name} {precision} {mode}, batch {batch}"
        known = (name, precision, given.size, int(batch))
        if not mode.startswith("native"):
            yield text, functools.partial(_keras_side, backend, mode, *known), int(batch)
        elif name in ("c3d", "r2plus1d_10"):  # what step_torch.py has
            for layout in ("contiguous", "channels_last"):
                make = functools.partial(_native_side, mode, layout, *known)
                yield f"{text}, {layout}", make, int(batch)


def _keras_side(backend, mode, name, precision, size, batch):
    model, operations = build(name, precision, size)
    if backend == "jax":
        return jax_step(model, batch), operations
    return torch_step(model, batch, mode == "compile"), operations


def _native_side(mode, layout, name, precision, size, batch):
    operations = build(name, precision, size)[1]
    options = (mode.endswith("compile"), layout, precision != "float32")
    return native_step(name, batch, size, *options), operations


def main(arguments=None):
    """Prints a line for each side and returns 0; 1 if one failed."""
    import keras

    backend = keras.backend.backend()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="c3d,r2plus1d_10,s3d_g")
    parser.add_argument("--batches", default="16,64")
    parser.add_argument("--precisions", default="mixed_bfloat16,float32")
    parser.add_argument("--modes", default="jit" if backend == "jax" else "eager")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--matrix", type=int, default=8192)
    given = parser.parse_args(arguments)
    wrong = set(given.modes.split(",")) - set(MODES.get(backend, ()))
    if wrong:
        parser.error(f"KERAS_BACKEND={backend} has the modes {MODES.get(backend, 'none')}")
    rate = matrix_rate(backend, given.matrix)
    version = importlib.metadata.version(backend)
    print(f"{backend} {version}: matrix product {rate / 1e12:.0f} TFLOP/s", flush=True)
    failed = 0
    for text, make, batch in sides(given, backend):
        try:
            print(f"{text}: {_timed(make, batch, rate)}", flush=True)
        except Exception as error:  # out of memory, or not compilable: the next side may work
            print(f"{text}: {type(error).__name__} {str(error)[:200]}", flush=True)
            failed = 1
    return failed


def _timed(make, batch, rate):
    """Times one side and describes the result."""
    begin = time.perf_counter()
    steps, operations = make()
    steps(1)
    first = time.perf_counter() - begin
    steps(3)
    times = [_seconds(steps) for _ in range(ROUNDS)]
    taken = statistics.median(times)
    reached = operations * batch / taken
    return (
        f"{1000 * taken:.2f} ms ({1000 * min(times):.2f} to {1000 * max(times):.2f}), "
        f"{batch / taken:.0f} clips/s, {reached / 1e12:.1f} TFLOP/s, "
        f"share {100 * reached / rate:.1f} %; first step {first:.0f} s"
    )


def _seconds(steps):
    start = time.perf_counter()
    steps(STEPS)
    return (time.perf_counter() - start) / STEPS


if __name__ == "__main__":
    sys.exit(main())
