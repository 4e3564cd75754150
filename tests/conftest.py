"""Options and fixtures that every test shares."""

import pathlib
import sys

import pytest
import tensorflow as tf

# Two logical devices of one CPU, for the tests of distribution; must come before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--runslow"):
        return
    skip = pytest.mark.skip(reason="slow: needs --runslow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared():
    """The folder of golden values and real clips beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED.name}/ beside the checkout")
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
