"""Runs whose batches have no negatives, or nothing to mask, end with the reason."""

import dataclasses

import pytest
import tensorflow as tf

import labse_tf
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.nothing_to_learn import STEPS, StopWithoutMasks, StopWithoutNegatives
from labse_tf.training.pretraining import pretrain
from labse_tf.training.stages import Stage
from tests.running import untraced
from tests.training import pretraining_runs
from tests.training.runs import CONFIG, checkpoints

THAI = ["ฉันเรียนภาษาไทยวันนี้และพรุ่งนี้ก็จะเรียนอีก", "เขากลับบ้านไปกินอาหารกับเพื่อนแล้วก็นอน"]


def test_sources_that_are_all_unknown(new_model, vocab_file, tmp_path, mirrored):
    """As Thai to a model whose words have a limit. 16 sequences: one source, 8 targets."""
    words = "the Tom green s a t m e".split()
    lines = [f"{THAI[i % 2]}\t{word} cat sat on the mat\n" for i, word in enumerate(words)]
    (pairs := tmp_path / "tha-eng.tsv").write_text("".join(lines), encoding="utf-8")
    with mirrored(2).scope():
        encoder = new_model(0).encoder
    model = labse_tf.LaBSE(labse_tf.Preprocessor(vocab_file, 32, max_word_bytes=100), encoder)
    config = dataclasses.replace(CONFIG, steps=3, report_every=1)
    with pytest.raises(ValueError) as error:
        fine_tune(model, pairs, config, tmp_path / "run")
    message = str(error.value)
    assert message.startswith("No pair of 3 batches had a negative, since each of them has")
    assert "up to step 3: there is nothing to learn." in message
    assert "has 16 sequences, 9 different ones as token ids; 50% of them are nothing " in message
    assert "[UNK]. The vocabulary does not know this text" in message
    assert "`max_word_bytes` (=100)" in message
    assert checkpoints(tmp_path / "run") == [0]


def test_sentences_that_are_all_equal(vocab_file):
    preprocessor = labse_tf.Preprocessor(vocab_file, 8)
    batch = tuple(preprocessor(tf.constant([sentence] * 4)) for sentence in ("Tom", "a cat"))
    callback = StopWithoutNegatives(
        preprocessor, Stage("", None, 0, 2), 0, lambda *_: tf.data.Dataset.from_tensors(batch)
    )
    callback.on_train_batch_end(0, {"negatives": 0.0})
    with pytest.raises(ValueError, match=r"has 8 .* 2 different .*; 0% of .*--max-per-source 1"):
        callback.on_train_batch_end(1, {"negatives": 0.0})


def test_text_without_anything_to_mask(word_file, tmp_path):
    text = tmp_path / "tha.txt"
    text.write_text("\n".join(THAI * 20), encoding="utf-8")
    config = dataclasses.replace(pretraining_runs.CONFIG, stages="", steps=2, tlm_share=0)
    expected = pytest.raises(ValueError, match=r"No sequence of 2 batches had .* to mask.*100%")
    with expected, untraced():
        pretrain(pretraining_runs.make_model(word_file), text, [], config, tmp_path / "run")


@pytest.mark.parametrize(
    ("kind", "nothing", "something"),
    [
        (StopWithoutNegatives, {"negatives": 0.0}, {"negatives": 0.01}),
        # A loss that is 0 on what is masked is a perfect one.
        (StopWithoutMasks, {"loss": 0, "masked_accuracy": 0}, {"loss": 0, "masked_accuracy": 1}),
    ],
)
def test_a_few_unlucky_batches(new_model, kind, nothing, something):
    ids = {name: tf.constant([[1, 1]]) for name in ("input_word_ids", "input_mask")}
    skips = []

    def dataset(context, skip):
        skips.append(skip)
        return tf.data.Dataset.from_tensors((ids, ids))

    callback = kind(new_model(0).preprocessor, Stage("", None, 100, 1000), 10, dataset)
    for step in range(3 * STEPS):
        callback.on_train_batch_end(step, nothing if (step + 1) % STEPS else something)
    with pytest.raises(ValueError, match=f"of {STEPS} batches .* to step {110 + 4 * STEPS}:"):
        for step in range(3 * STEPS, 4 * STEPS):
            callback.on_train_batch_end(step, nothing)
    assert step == 4 * STEPS - 1 and skips == [109 + 4 * STEPS]
