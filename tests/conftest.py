"""What all tests share: four logical CPU devices, and a small vocabulary."""

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each worker
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import tensorflow as tf

# Before anything initialises TensorFlow: tests under 2 and 4 replicas need them.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)

from tests.models import make_model  # noqa: E402

SENTENCES = [
    "The cat sat on the mat.",
    "Die Katze saß auf der Matte.",
    "Кошка сидела на коврике.",
    "猫坐在垫子上。",
    "Tom likes green apples, and so do I!",
    "Wie spät ist es?",
    "What time is it?",
    "",
]


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory):
    """Special tokens at odd places, all characters of SENTENCES, some pieces and words."""
    characters = sorted(set("".join(SENTENCES)) - {" "})
    tokens = ["the", "[SEP]", "##at", "[UNK]", "[CLS]", "Tom", "[PAD]", "[MASK]", "green", "##s"]
    tokens += characters + ["##" + c for c in characters if c != "s"]
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def sentencepiece_file(tmp_path_factory):
    """A small unigram SentencePiece model in XLM-RoBERTa's layout, with its normalization."""
    import sentencepiece

    path = tmp_path_factory.mktemp("sentencepiece") / "model"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES[:-1] * 3),
        model_prefix=str(path),
        vocab_size=110,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return f"{path}.model"


@pytest.fixture(scope="session")
def vocab_size(vocab_file):
    with open(vocab_file, encoding="utf-8") as file:
        return sum(1 for _ in file)


@pytest.fixture(scope="session")
def model(vocab_file, vocab_size):
    """A LaBSE of 2 layers of 16, not to be changed: `tests.models.make_model` makes another."""
    return make_model(vocab_file, vocab_size)


@pytest.fixture(scope="session")
def release(model, tmp_path_factory):
    """Its release, not to be changed. Written to one place, then moved."""
    folder = tmp_path_factory.mktemp("release")
    model.save(folder / "written")
    (folder / "moved").mkdir()
    os.rename(folder / "written", folder / "moved" / "model")
    return folder / "moved" / "model"


@pytest.fixture(scope="session")
def hub_model(vocab_file, vocab_size, tmp_path_factory):
    """A LaBSE for TF-Hub, written by the Model Garden's own code; not to be changed."""
    from tests import model_garden

    path = tmp_path_factory.mktemp("tf_hub") / "labse"
    encoder = model_garden.make_encoder(model_garden.bert_config(vocab_size))
    model_garden.export_for_tf_hub(encoder, vocab_file, path)
    return path


@pytest.fixture(scope="session")
def mirrored():
    """MirroredStrategy of 2 replicas by collective ops, or of 4 by copies to one device.

    A process can have one strategy of collective ops: TensorFlow numbers the ops of every
    strategy from the same start, and then takes those of two for one.
    """

    @functools.cache
    def strategy(replicas):
        devices = [f"CPU:{i}" for i in range(replicas)]
        ops = tf.distribute.ReductionToOneDevice() if replicas > 2 else None
        return tf.distribute.MirroredStrategy(devices, cross_device_ops=ops)

    return strategy
