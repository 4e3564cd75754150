import cv2
import numpy as np
import pytest
import tensorflow as tf
import video_files

from mas import flow


@pytest.mark.parametrize("method", flow.METHODS)
@pytest.mark.parametrize("shift", [(3, 0), (-3, 0), (0, 2), (0, -2), (2, -1)])
def test_flow_of_a_known_shift(method, shift):
    """What moves right has u > 0, what moves down v > 0; the map of 64 x 48 is (48, 64, 2)."""
    previous, following = video_files.moving(2, shift, size=(64, 48))[..., 0]
    found = flow.estimator(method)(previous, following)
    assert found.shape == (48, 64, 2) and found.dtype == np.float32
    np.testing.assert_allclose(np.median(found[8:-8, 8:-8], (0, 1)), shift, atol=0.1)


@pytest.mark.parametrize("method", flow.METHODS)
def test_flow_starts_afresh_for_every_pair(method):
    pairs = [video_files.moving(2, shift)[..., 0] for shift in [(2, 0), (0, -2)]]
    estimate = flow.estimator(method)
    first = [estimate(*pair) for pair in pairs]
    again = [flow.estimator(method)(*pair) for pair in reversed(pairs)][::-1]
    np.testing.assert_array_equal(first, again)


def test_unknown_methods_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"one of \['tvl1', 'dis'\]. Received: flow='farneback'"):
        flow.estimator("farneback")
    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(RuntimeError, match="opencv-contrib-python-headless"):
        flow.estimator("tvl1")


def test_code_of_known_values():
    """(flow + 20) * 255 / 40, to the nearest."""
    values = {
        -20: 0,
        -19.93: 0,
        -19.91: 1,
        -5: 96,  # 95.625
        -0.1: 127,  # 126.86
        0: 128,  # 127.5, to even
        0.1: 128,  # 128.14
        1: 134,  # 133.875
        10: 191,  # 191.25
        19.91: 254,
        20: 255,
        20.5: 255,
        1e6: 255,
        -20.5: 0,
        -1e6: 0,
    }
    code = flow.encode(np.array([*values], np.float32))
    assert code.dtype == np.uint8
    assert code.tolist() == [*values.values()]


def test_decode_of_known_values():
    found = flow.decode(np.array([[0, 51, 102], [153, 204, 255]], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[-20, -12, -4], [4, 12, 20]], atol=1e-5)


def test_code_and_back_is_off_by_half_a_step_at_most():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(flow.encode(flow.decode(codes)), codes)
    values = np.random.default_rng(0).uniform(-20, 20, 10_000).astype(np.float32)
    error = np.abs(flow.decode(flow.encode(values)) - values).max()
    assert 0.9 * 20 / 255 < error < 20 / 255 + 1e-5  # a writer that truncates has up to 40 / 255


def test_decode_is_the_same_on_tensors():
    codes = np.arange(256, dtype=np.uint8)
    found = tf.function(flow.decode)(tf.cast(codes, tf.float32))
    np.testing.assert_allclose(found, flow.decode(codes), atol=1e-5)
