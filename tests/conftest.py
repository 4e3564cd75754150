"""Options and fixtures that every test shares."""

import contextlib
import importlib.util
import pathlib
import signal
import sys

import pytest
import tensorflow as tf
from absl import flags

# In the background of a shell SIGINT is ignored, by processes that tests start and interrupt, too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Two logical devices of one CPU, for the tests of distribution; must come before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--runslow"):
        return
    skip = pytest.mark.skip(reason="slow: needs --runslow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Parallel tests send their reports as UTF-8, which file names of other bytes are not."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(scope="session")
def shared():
    """The folder of golden values and real clips next to the checkout; skips if absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED.name}/ next to the checkout")
    return SHARED


@pytest.fixture(scope="session")
def golden_inputs(shared):
    """The module that makes the seeded inputs of the golden files."""
    sys.path.insert(0, str(shared / "golden"))
    try:
        import inputs
    finally:
        sys.path.pop(0)
    return inputs


@pytest.fixture(scope="session")
def two_replicas():
    """The strategy over both logical CPUs; a second one in the same process can fail."""
    from mas import training

    return training.strategy("mirrored")


@pytest.fixture(scope="session")
def sample_data(tmp_path_factory):
    """A few tiny videos, prepared: videos/, data/, train.txt, test.txt and classes.txt."""
    from mas import prepare, sample

    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, videos=2, test=1, frames=18, size=(44, 32))
    options = {"flow": "dis", "size": (44, 32), "progress": False}
    prepare.prepare_videos(folder / "videos", folder / "data", **options)
    return folder


@pytest.fixture(scope="session")
def script():
    """`with script(path, *arguments) as module`: a script in this process, its flags parsed.

    They are gone afterwards: several scripts define the same ones.
    """

    @contextlib.contextmanager
    def load(path, *arguments):
        name = path.removesuffix(".py").replace("/", ".")  # never `__main__` alone
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        module = importlib.util.module_from_spec(spec)
        earlier = set(flags.FLAGS)
        sys.modules[name] = module  # absl asks there whose the flags are
        try:
            spec.loader.exec_module(module)
            flags.FLAGS.unparse_flags()
            flags.FLAGS([path, *map(str, arguments)])
            yield module
        finally:
            for flag in set(flags.FLAGS) - earlier:
                delattr(flags.FLAGS, flag)
            del sys.modules[name]

    return load
