import cv2
import numpy as np
import pytest
import tensorflow as tf
import video_files

from mas import flow


@pytest.mark.parametrize("method", flow.METHODS)
def test_flow_of_known_shifts(method):
    """Motion to the right has u > 0, motion down v > 0; pairs do not affect each other."""
    estimate, results = flow.estimator(method), []
    pairs = [
        video_files.moving(2, shift, size)[..., 0]
        for shift, size in (((3, 0), (64, 48)), ((2, -1), (44, 60)), ((3, 0), (64, 48)))
    ]
    for pair, shift in zip(pairs, [(3, 0), (2, -1), (3, 0)], strict=True):
        found = estimate(*pair)
        assert found.shape == (*pair.shape[1:], 2) and found.dtype == np.float32
        np.testing.assert_allclose(np.median(found[8:-8, 8:-8], (0, 1)), shift, atol=0.1)
        results.append(found)
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("method", ["tvl1", "dis"])
def test_flow_of_video_equals_flow_of_pairs(method):
    frames = video_files.moving(4, (2, 1), size=(64, 48))[..., 0]
    buffer, estimate = np.empty_like(frames[0]), flow.estimator(method)
    for _ in range(2):
        fields = []
        for frame in frames:
            buffer[:] = frame  # what is kept of a frame does not change with its array
            fields.append(estimate.follow(buffer))
            if method == "dis":
                buffer = buffer.copy()
        assert fields[0] is None
        for field, *pair in zip(fields[1:], frames, frames[1:], strict=False):
            np.testing.assert_array_equal(field, flow.estimator(method)(*pair))
        estimate.restart()
    estimate.follow(frames[0])
    with pytest.raises(ValueError, match=r"frame.*\(48, 64\).*=\(48, 62\)"):
        estimate.follow(frames[0][:, :62])
    with pytest.raises(ValueError, match=r"frame.*uint8.*=float32 \(48, 64\)"):
        estimate(frames[0], frames[1].astype(np.float32))
    with pytest.raises(ValueError, match=r"frame.*=uint8 \(48, 64, 1\)"):
        estimate.follow(frames[0][..., None])


def test_unknown_methods_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="'tvl1', .*'dis'.*='farneback'"):
        flow.estimator("farneback")
    monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(RuntimeError, match="opencv-contrib-python-headless"):
        flow.estimator("tvl1_opencv")


def test_encode_of_known_values():
    """(flow + 20) * 255 / 40, to the nearest."""
    values = {
        **{-20: 0, -19.93: 0, -19.91: 1, 19.91: 254, 20: 255},
        **{-5: 96, -0.1: 127, 0: 128, 0.1: 128, 1: 134, 10: 191},  # 95.625, 126.86, 127.5: to even
        **{20.5: 255, 1e6: 255, -20.5: 0, -1e6: 0},
    }
    code = flow.encode(np.array([*values], np.float32))
    assert code.dtype == np.uint8
    assert code.tolist() == [*values.values()]


def test_decode_of_known_values_and_all_codes():
    codes = np.arange(256, dtype=np.uint8)
    found = flow.decode(codes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[[0, 51, 102, 204, 255]], [-20, -12, -4, 12, 20], atol=1e-5)
    np.testing.assert_array_equal(flow.encode(found), codes)
    on_tensors = tf.function(flow.decode)(tf.cast(codes, tf.float32))
    np.testing.assert_allclose(on_tensors, found, atol=1e-5)
