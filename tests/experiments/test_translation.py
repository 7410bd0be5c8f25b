"""The translation experiment, small: what is torn and held out, the ways to mine, the models."""

import collections
import dataclasses
import json

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from labse_tf.files.locks import lock_directory
from labse_tf.mining.mine import MinedPair
from tests.corpora import write_corpora
from tests.labse_mini.test_recipe import SMALL
from tests.running import untraced
from training.experiments.translation import __main__ as program
from training.experiments.translation import corpus, transformer, ways
from training.experiments.translation.settings import Options, TranslationConfig

TINY = TranslationConfig(
    vocab_size=60, hidden_size=8, num_layers=1, intermediate_size=8, num_heads=2, dropout=0.0,
    steps=4, batch_size=8, warmup_steps=1, max_length=10, beam_size=2, checkpoint_every=2,
    report_every=4,
)  # fmt: skip
FLAGS = (
    "--languages deu:0.5 --encoder-steps 2 --amounts 0.5,1 --ngram-dimensions 64 --vocab-size 60 "
    "--hidden-size 8 --num-layers 1 --intermediate-size 8 --num-heads 2 --steps 2 --batch-size 8 "
    "--warmup-steps 1 --max-length 8 --beam-size 2"
).split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root


def run(data, workdir, *more):
    with untraced():
        program.main(["--data", str(data), "--workdir", str(workdir), *FLAGS, *more], SMALL)


@pytest.fixture(scope="module")
def workdir(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "work"
    run(data, path)
    return path


def test_the_torn_half(workdir):
    """A fifth of each side has lost its partner, and as many have none of Tatoeba."""
    folder = workdir / "corpora" / "deu"
    counts = json.loads((folder / "counts.json").read_text())
    sources, targets = (corpus.read_lines(folder / f"{x}.txt") for x in ("sources", "targets"))
    true = corpus.read_pairs(folder / "true.tsv")
    half, fifth = counts["half_b"], round(0.2 * counts["half_b"])
    assert len(sources) == len(targets) == counts["sources"] == half > 150
    assert len(true) == counts["true"] == half - 2 * fifth
    # In these corpora "eins 5" is "One 5." and nothing else; what is not of Tatoeba has "help".
    pairs = {(f"eins {i}", f"One {i}.") for i in range(400)}
    known = collections.Counter((source in sources, target in targets) for source, target in pairs)
    assert set(true) == {(s, t) for s, t in pairs if s in sources and t in targets}
    assert known[True, True] == len(true)
    assert known[True, False] == known[False, True] == fifth
    unrelated = [set(side) - set(of) for side, of in zip((sources, targets), zip(*pairs))]
    assert [len(sentences) for sentences in unrelated] == [fifth, fifth]
    numbers = [{text.split()[-1].rstrip(".") for text in side} for side in unrelated]
    assert not numbers[0] & numbers[1]
    assert [s for s, _ in true] != [s for s in sources if s in dict(true)]  # shuffled apart


def test_the_encoder_saw_nothing_of_it(workdir):
    held_out = set(corpus.read_lines(workdir / "corpora" / "deu" / "held_out.txt"))
    sides = [
        corpus.read_lines(workdir / "corpora" / "deu" / f"{x}.txt") for x in ("sources", "targets")
    ]
    assert held_out > set(sides[0]) | set(sides[1])
    trained = [
        cell
        for path in (workdir / "encoder" / "data").glob("*/*.tsv-*")
        for line in corpus.read_lines(path)
        for cell in line.split("\t")
    ]
    assert len(trained) > 500 and not held_out & set(trained)


def test_what_was_mined_is_counted_right(workdir):
    true = set(corpus.read_pairs(workdir / "corpora" / "deu" / "true.tsv"))
    found = json.loads((workdir / "mined" / "deu" / "all.json").read_text())
    assert [run["name"] for run in found["runs"]] == [
        "margin-0.5", "margin-1", "cosine-1", "character-n-grams-1", "true",
    ]  # fmt: skip
    for one in found["runs"]:
        pairs = corpus.read_pairs(workdir / "mined" / "deu" / f"{one['name']}.tsv")
        right = len(true & set(pairs))
        assert one["pairs"] == len(pairs) > 0
        assert one["precision"] == pytest.approx(right / len(pairs))
        assert one["recall"] == pytest.approx(right / len(true))
    half, whole = (
        corpus.read_pairs(workdir / "mined" / "deu" / f"margin-{amount}.tsv")
        for amount in ("0.5", "1")
    )
    assert len(half) == round(0.5 * len(true)) and whole[: len(half)] == half


def test_scores_and_report(workdir):
    test = corpus.read_pairs(workdir / "corpora" / "deu" / "test.tsv")
    results = json.loads((workdir / "report" / "results.json").read_text())
    for name, scores in results["languages"]["deu"]["scores"].items():
        for direction, own in (("to English", 1), ("from English", 0)):
            path = workdir / "translated" / "deu" / name / f"{direction.replace(' ', '-')}.txt"
            hypotheses = corpus.read_lines(path)
            bleu = sacrebleu.corpus_bleu(hypotheses, [[pair[own] for pair in test]])
            assert scores[direction]["bleu"] == pytest.approx(bleu.score)
    table = (workdir / "report" / "table.md").read_text()
    assert "| margin, best 0.5 |" in table and "| true pairs |" in table
    assert (workdir / "report" / "plot.png").read_bytes()[1:4] == b"PNG"


def test_started_again_it_reads_back(workdir, data, monkeypatch):
    """And what another process trains is left to it."""
    monkeypatch.setattr(transformer.Translator, "train", lambda *_: pytest.fail("trained again"))
    run(data, workdir)
    scores = workdir / "translated" / "deu" / "cosine-1" / "scores.json"
    before = scores.read_text()
    scores.unlink()
    with lock_directory(scores.parent), pytest.raises(BlockingIOError, match="train deu cosine-1"):
        run(data, workdir)
    scores.write_text(before)
    with pytest.raises(ValueError, match="seed"):
        run(data, workdir, "--seed", "3")


def test_bad_input(data, tmp_path):
    with pytest.raises(ValueError, match="no translation test of 'xxx'"):
        run(data, tmp_path / "work", "--languages", "xxx:0.5")
    with pytest.raises(FileNotFoundError, match="cmn-eng"):
        run(data, tmp_path / "work", "--languages", "deu:0.5,cmn:0.5")
    assert not (tmp_path / "work").exists()
    for wrong in ({"languages": "deu"}, {"languages": "deu:1"}, {"amounts": "0.5"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Options(**wrong)


def test_ngrams():
    """The same text has cosine 1, what shares no n-gram 0, and a shared name more than none."""
    rows = ways.ngram_embeddings(
        ["Tom Miller lacht", "Tom Miller lacht", "uxy", "Tom Miller"], 4096
    )
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    cosines = rows @ rows[0]
    assert cosines[1] == pytest.approx(1) and abs(cosines[2]) < 0.1 and cosines[3] > 0.5


def test_judged():
    found = [MinedPair(s, a, b, 0.5, [0], [0]) for s, a, b in ((3, "a", "A"), (2, "b", "C"))]
    mined = ways.judged(found, [("a", "A"), ("b", "B"), ("c", "C")])
    assert (mined.precision, mined.recall) == (0.5, pytest.approx(1 / 3))
    assert (mined.best(1).precision, mined.best(0).precision) == (1.0, 0.0)


@pytest.fixture(scope="module")
def pieces(workdir):
    return str(workdir / "corpora" / "deu" / "pieces.model")


def test_interrupted_training_goes_on_as_if_it_had_not_been(pieces, tmp_path, monkeypatch):
    pairs = [(f"eins {i}", f"One {i}.") for i in range(20)]
    weights = []
    with untraced():
        whole = transformer.Translator(pieces, TINY, 0)
        whole.train(pairs, str(tmp_path / "whole"))
        halves = transformer.Translator(pieces, TINY, 0)
        take, taken = halves._step, []

        def step(*batch):
            if len(taken) == 3:  # a step after the checkpoint
                raise KeyboardInterrupt
            taken.append(take(*batch))
            return taken[-1]

        monkeypatch.setattr(halves, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            halves.train(pairs, str(tmp_path / "halves"))
        halves = transformer.Translator(pieces, TINY, 0)
        take, taken = halves._step, []
        monkeypatch.setattr(halves, "_step", lambda *batch: (taken.append(1), take(*batch))[1])
        halves.train(pairs, str(tmp_path / "halves"))
    assert len(taken) == 2  # of the four, from the checkpoint on
    for translator in (whole, halves):
        weights.append([w.numpy() for w in translator.model.trainable_variables])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_ids_and_loss(pieces):
    with untraced():
        translator = transformer.Translator(pieces, TINY, 0)
    ids = translator.ids("eins 5", corpus.TO_ENGLISH)
    assert ids[0] == translator._pieces.piece_to_id(corpus.TO_ENGLISH) > 2 and ids[-1] == 1
    assert len(translator.ids("eins 5 " * 50, corpus.TO_ENGLISH)) == TINY.max_length
    rng = np.random.default_rng(0)
    logits = rng.normal(size=[2, 3, 5]).astype(np.float32)
    targets = np.array([[3, 4, 1], [2, 1, 0]], np.int32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    by_hand = -np.mean([np.log(shares[i, j, k]) for (i, j), k in np.ndenumerate(targets) if k])
    assert float(transformer.mean_loss(logits, tf.constant(targets))) == pytest.approx(
        by_hand, 1e-5
    )


def test_batches():
    """Each example once an epoch, the same at every call, the lengths of a batch alike."""
    examples = [([i] * (1 + i % 9), [i] * (1 + i % 9)) for i in range(1, 81)]
    batches = transformer.Batches(examples, 8, 0)
    first = [batches(step) for step in range(10)]
    seen = np.concatenate([source.numpy()[:, 0] for source, _ in first])
    assert sorted(seen) == list(range(1, 81))
    assert np.array_equal(transformer.Batches(examples, 8, 0)(3)[0], first[3][0])
    assert not np.array_equal(batches(10)[0].numpy()[:, 0], first[0][0].numpy()[:, 0])
    spans = [np.ptp((source.numpy() > 0).sum(axis=1)) for source, _ in first]
    assert np.mean(spans) < 3


def test_a_shorter_corpus_than_a_batch():
    assert transformer.Batches([([5, 1], [6, 1])], 8, 0)(7)[0].shape == [1, 8]


def test_settings():
    assert Options().shares == {"deu": 0.5, "cmn": 0.75}
    with pytest.raises(ValueError, match="num_heads"):
        dataclasses.replace(TINY, num_heads=3)
