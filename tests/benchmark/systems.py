"""The systems of the speed benchmark: ways to embed strings with the same weights on a CPU.

Each is begun in a process of its own (`tests.benchmark.speed_worker`), so nothing is imported here
that not every system needs; above all not labse_tf, which a release is used without.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

Embed = Callable[[list[str]], np.ndarray]
RELEASES = {"float32": "release", "bfloat16": "release-bfloat16"}


@dataclasses.dataclass(frozen=True)
class System:
    """What a row of the table is about.

    Args:
        label: its name there.
        precision: "float32", "bfloat16" or "int8".
        start: loads the model from a folder of formats, for a number of threads, in a precision.
        packages: what must be installed, by import names.
        formats: what it reads, of `speed_model.FORMATS`.
        most: how many sentences a round has for it; None: all.
    """

    label: str
    precision: str
    start: Callable[[Path, int, str], Embed]
    packages: tuple[str, ...]
    formats: tuple[str, ...]
    most: int | None = None


def _limit_tensorflow(threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def labse_tf(folder: Path, threads: int, precision: str) -> Embed:
    _limit_tensorflow(threads)
    return _labse_tf(folder, precision, "tensorflow")


def openvino(folder: Path, threads: int, precision: str) -> Embed:
    """It does not import TensorFlow, and takes as many threads as the process may use cores."""
    return _labse_tf(folder, precision, "openvino")


def quantized(folder: Path, threads: int, precision: str) -> Embed:
    """What `labse quantize` wrote."""
    return _labse_tf(folder, precision, "openvino", "release-int8")


def _labse_tf(folder: Path, precision: str, backend: str, release: str = "release") -> Embed:
    import labse_tf

    model = labse_tf.load(folder / release, precision=precision, backend=backend)
    # The others embed each sentence, too.
    return functools.partial(model.encode, deduplicate=False)


def saved_model(folder: Path, threads: int, precision: str) -> Embed:
    """A release by itself, in the sentences' order: what a program without labse_tf does."""
    _limit_tensorflow(threads)
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401

    model = hub.load(str(folder / RELEASES[precision]))

    def embed(sentences):
        return np.concatenate([model(tf.constant(batch)) for batch in _batches(sentences, 256)])

    return embed


def tf_hub(folder: Path, threads: int, precision: str) -> Embed:
    """As the page of google/LaBSE/2 on tfhub.dev shows it: always 128 tokens wide."""
    _limit_tensorflow(threads)
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401

    # A release's preprocessor gives the same ids as Google's, and needs no download.
    preprocessor = hub.load(str(folder / "release")).preprocessor
    encoder = hub.load(str(folder / "tf-hub"))

    def embed(sentences):
        found = []
        for batch in _batches(sentences, 32):
            ids = preprocessor(tf.constant(batch))
            inputs = [ids[name] for name in ("input_word_ids", "input_mask", "input_type_ids")]
            found.append(tf.math.l2_normalize(encoder(inputs)["pooled_output"], axis=1))
        return np.concatenate(found)

    return embed


def sentence_transformers(folder: Path, threads: int, precision: str) -> Embed:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(
        str(folder / "hugging-face"),
        device="cpu",
        model_kwargs={"dtype": getattr(torch, precision)},
    )
    return functools.partial(model.encode, show_progress_bar=False)


def onnx_runtime(folder: Path, threads: int, precision: str) -> Embed:
    """Batches of 32 of like length, as sentence-transformers makes them."""
    import onnxruntime
    from transformers import AutoTokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        folder / "onnx-int8" / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "hugging-face")

    def embed(sentences):
        tokens = tokenizer(sentences, truncation=True, max_length=128)["input_ids"]
        found = None
        for rows in _batches(np.argsort([-len(ids) for ids in tokens], kind="stable"), 32):
            batch = tokenizer.pad({"input_ids": [tokens[i] for i in rows]}, return_tensors="np")
            batch["token_type_ids"] = np.zeros_like(batch["input_ids"])
            (pooled,) = session.run(None, dict(batch))
            if found is None:
                found = np.empty([len(sentences), pooled.shape[1]], np.float32)
            found[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return found

    return embed


def _batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


_TENSORFLOW = ("tensorflow", "tensorflow_text", "tensorflow_hub")
_OURS = (*_TENSORFLOW, "tf_keras")
_TORCH = ("torch", "transformers", "safetensors")
_BOTH = ("float32", "bfloat16")

SYSTEMS = {
    **{f"labse_tf-{p}": System("labse_tf", p, labse_tf, _OURS, ("release",)) for p in _BOTH},
    **{
        f"saved_model-{p}": System(
            "its SavedModel, `hub.load`", p, saved_model, _TENSORFLOW, (RELEASES[p],)
        )
        for p in _BOTH
    },
    **{
        f"openvino-{p}": System(
            "labse_tf, OpenVINO", p, openvino, ("openvino", "openvino_tokenizers"), ("release",)
        )
        for p in (*_BOTH, "int8")
    },
    "quantized-int8": System(
        "labse_tf, OpenVINO, `labse quantize`",
        "int8",
        quantized,
        ("openvino", "openvino_tokenizers"),
        ("release", "release-int8"),
    ),
    "tf_hub-float32": System(
        "the TF-Hub way", "float32", tf_hub, (*_TENSORFLOW, "official"), ("release", "tf-hub"), 128
    ),
    **{
        f"sentence_transformers-{p}": System(
            "sentence-transformers",
            p,
            sentence_transformers,
            (*_TORCH, "sentence_transformers"),
            ("hugging-face",),
        )
        for p in _BOTH
    },
    "onnxruntime-int8": System(
        "ONNX Runtime",
        "int8",
        onnx_runtime,
        (*_TORCH, "onnx", "onnxruntime"),
        ("hugging-face", "onnx-int8"),
    ),
}
REFERENCE, TF_HUB = "labse_tf-float32", "tf_hub-float32"  # what the others are compared with


def missing_packages(system: System) -> list[str]:
    return [name for name in system.packages if importlib.util.find_spec(name) is None]
