"""Small runs of pre-training: sentences of three words, each of which tells the other two."""

import numpy as np
import tensorflow as tf

import labse_tf
from labse_tf.data.masked_text import read_masked
from labse_tf.encoder.masked_language_head import MaskedLanguageHead
from labse_tf.training.config import PretrainingConfig

CONFIG = PretrainingConfig(
    steps=8,
    batch_size=8,
    learning_rate=0.01,
    warmup_steps=1,
    stages="1:50%,2:50%",
    tlm_share=0.25,
    shuffle_buffer=100,
    checkpoint_every=3,
    report_every=2,
    evaluate_every=2,
    seed=3,
)
SUBJECTS, VERBS, OBJECTS = (
    text.split() for text in ("the Tom Wie Die", "cat sat saw was", "green mat apples time")
)


def write_pairs(path, count=120, seed=0):
    """Targets are their sources in reverse."""
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        for i in rng.integers(4, size=count):
            words = [SUBJECTS[i], VERBS[i], OBJECTS[i]]
            file.write(f"{' '.join(words)}\t{' '.join(words[::-1])}\n")
    return str(path)


def write_vocabulary(path):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    path.write_text("\n".join([*special, *SUBJECTS, *VERBS, *OBJECTS]) + "\n")
    return path


def make_model(vocab_file, num_layers=1):
    """The same weights at every call."""
    tf.random.set_seed(0)
    config = labse_tf.EncoderConfig.small(
        vocab_size=17, hidden_size=32, num_layers=num_layers, intermediate_size=64,
        max_positions=16, pooling="cls", initializer_range=0.05, dropout=0.0,
    )  # fmt: skip
    encoder = labse_tf.Encoder(config)
    rng = np.random.default_rng(1)
    for weight in encoder.weights:
        weight.assign(rng.normal(scale=0.05, size=weight.shape) + ("scale" in weight.name))
    return labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 14), encoder)


def read_head(config, stage, step):
    """The head of a checkpoint."""
    head = MaskedLanguageHead(config)
    status = tf.train.Checkpoint(head=head).read(str(stage / "checkpoints" / f"ckpt-{step}"))
    status.expect_partial().assert_existing_objects_matched()
    return head


class ReadOnce:
    """`read_masked` for runs on the same text: the first global batches, kept in memory.

    Half of the time of such a run goes into its input pipeline, which tests/data looks at.
    """

    def __init__(self, batches):
        self._batches, self._read = batches, None

    def __call__(self, *arguments, skip, input_context, figures, **options):
        assert input_context.num_replicas_in_sync == 1
        if self._read is None:
            dataset = read_masked(*arguments, skip=0, input_context=input_context, **options)
            read = list(dataset.take(self._batches))
            self._read = {name: tf.stack([batch[name] for batch in read]) for name in read[0]}
            self._options = options
        assert options == self._options
        return tf.data.Dataset.from_tensor_slices(self._read).skip(skip)
