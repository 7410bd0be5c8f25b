"""Embedding in float16, for GPUs without bfloat16."""

import numpy as np
import pytest

import labse_tf
from labse_tf.encoder.precision import weights_dtype_of
from tests.conftest import SENTENCES


def test_float16(model, release):
    exact, half = model.encode(SENTENCES), model.encode(SENTENCES, precision="float16")
    assert np.sum(exact * half, axis=1).min() > 0.9999
    assert np.abs(exact - half).max() > 1e-6
    loaded = labse_tf.load(release, precision="float16")
    assert weights_dtype_of(loaded.encoder) == loaded.encoder.compute_dtype == "float16"
    np.testing.assert_allclose(loaded.encode(SENTENCES), half, atol=2e-3)


def test_not_with_openvino(release):
    with pytest.raises(ValueError, match=r"must be .* with backend=.openvino"):
        labse_tf.load(release, precision="float16", backend="openvino")
