"""Word embeddings looked up by OpenVINO against NumPy, and the memory that it takes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labse_tf.openvino.words import WordTable

ROOT = Path(__file__).parents[2]
IDS = np.array([[3, 0, 199, 7], [199, 3, 3, 1]], np.int32)
SPARSE = """
import sys
import numpy as np
from labse_tf.openvino.words import WordTable

def resident(field):
    with open("/proc/self/status") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields[field].split()[0]) / 1000

table = np.memmap(sys.argv[1], np.float32, "r", shape=(400_000, 256))
import openvino
before = resident("VmRSS")
words = WordTable({"embeddings/word": np.asarray(table)}, 1)
assert not words(np.array([[1, 399_999]], np.int32)).any()
few = resident("VmHWM") - before
assert not table.any()
print(few, resident("VmRSS") - before)
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_rows(dtype):
    rng = np.random.default_rng(0)
    weights = {"embeddings/word": rng.standard_normal([200, 64]).astype(np.float32)}
    expected = weights["embeddings/word"]
    if dtype == "float16":
        weights = {"embeddings/word": expected.astype(np.float16)}
        expected = weights["embeddings/word"].astype(np.float32)
    elif dtype == "int8":
        numbers = rng.integers(-127, 128, [200, 64]).astype(np.int8)
        scales = rng.random([200, 4]).astype(np.float32)
        weights = {"embeddings/word": numbers, "embeddings/word_scale": scales}
        expected = numbers * np.repeat(scales, 16, axis=1)
    words = WordTable(weights)
    for ids in (IDS, IDS[:1, :1], IDS):
        rows = words(ids)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows, expected[ids], rtol=1e-6)


def test_only_what_is_looked_up_is_read(tmp_path):
    with open(tmp_path / "table", "wb") as file:
        file.truncate(400_000 * 256 * 4)  # 410 MB, of which nothing is on the disk
    process = subprocess.run(
        [sys.executable, "-c", SPARSE, str(tmp_path / "table")],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-2000:]
    few, all_of_it = map(float, process.stdout.split())
    assert few < 60 and all_of_it > 400  # megabytes
