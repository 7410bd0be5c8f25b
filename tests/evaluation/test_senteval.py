"""SentEval: the protocol against scikit-learn step by step, separable data, noise, both layouts."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from labse_tf.evaluation import SentEval
from labse_tf.evaluation.benchmarks import classification, senteval
from labse_tf.evaluation.benchmarks.senteval_files import Examples, read_task
from labse_tf.evaluation.observer import Observer
from tests.planted import by_hash, write


def blobs(count, gap, classes=2, dim=8, seed=0):
    """Gaussians whose means are `gap` standard deviations apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    means = gap * np.eye(classes, dim)
    return (means[labels] + rng.normal(size=[count, dim])).astype(np.float32), labels


def test_separable_data_is_told_apart_and_noise_is_not():
    assert classification.nested_folds(blobs(200, gap=20), 5) == (1, 1)
    accuracy, validation = classification.nested_folds(blobs(400, gap=0), 5)
    # By chance 0.5, with a standard deviation of 0.5 / sqrt(400) = 0.025.
    assert 0.4 < accuracy < 0.6 and validation < 0.6
    data = blobs(200, gap=20, classes=4)
    found, _ = classification.folds_of_training(data, data, 5)
    assert (found == data[1]).all()
    assert classification.with_validation(data, data, data) == (1, 1)


def test_nested_folds_step_by_step():
    features, labels = blobs(240, gap=1.2)
    outer = StratifiedKFold(4, shuffle=True, random_state=1111)
    tests, validations, chosen = [], [], []
    for train, test in outer.split(features, labels):
        scores = []
        for c in (0.25, 0.5, 1, 2, 4, 8):
            inner = StratifiedKFold(4, shuffle=True, random_state=1111)
            scores.append(np.mean([
                LogisticRegression(C=c, max_iter=5000, tol=1e-8)
                .fit(features[train][a], labels[train][a])
                .score(features[train][b], labels[train][b])
                for a, b in inner.split(features[train], labels[train])
            ]))  # fmt: skip
        best = int(np.argmax(np.round(100 * np.array(scores), 2)))
        chosen.append(best)
        validations.append(scores[best])
        model = LogisticRegression(C=(0.25, 0.5, 1, 2, 4, 8)[best], max_iter=5000, tol=1e-8)
        tests.append(model.fit(features[train], labels[train]).score(features[test], labels[test]))
    assert len(set(chosen)) > 1  # the choice matters
    accuracy, validation = classification.nested_folds((features, labels), 4)
    assert accuracy == pytest.approx(np.mean(tests))
    assert validation == pytest.approx(np.mean(validations))


@pytest.mark.parametrize("classes", [2, 4])
def test_folds_of_the_training_set_step_by_step(classes):
    # So small that the weakest regularisation is the best.
    train, test = ((0.03 * x, y) for x, y in (blobs(200, 1.5, classes, seed=s) for s in (0, 1)))
    scores = []
    strengths = (0.5, 1, 2, 4, 8, 16, 32)
    for c in strengths:
        split = StratifiedKFold(5, shuffle=True, random_state=1111).split(*train)
        scores.append(np.mean([
            LogisticRegression(C=c, max_iter=5000, tol=1e-8)
            .fit(train[0][a], train[1][a]).score(train[0][b], train[1][b])
            for a, b in split
        ]))  # fmt: skip
    best = int(np.argmax(np.round(100 * np.array(scores), 2)))
    assert strengths[best] > 8
    model = LogisticRegression(C=strengths[best], max_iter=5000, tol=1e-8).fit(*train)
    found, validation = classification.folds_of_training(train, test, 5)
    np.testing.assert_array_equal(found, model.predict(test[0]))
    assert validation == pytest.approx(scores[best])


def test_validation_split_step_by_step():
    train, validation, test = (blobs(150, 1.0, seed=seed) for seed in range(3))
    strengths = (0.25, 0.5, 1, 2, 4, 8)
    models = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(*train) for c in strengths]
    scores = [model.score(*validation) for model in models]
    best = int(np.argmax(np.round(100 * np.array(scores), 2)))
    expected = (models[best].score(*test), scores[best])
    assert classification.with_validation(train, validation, test) == pytest.approx(expected)


def test_strengths_of_equal_accuracy_in_percent_of_two_digits():
    scores = np.array([0.5, 0.70002, 0.70004, 0.70006])
    assert classification._best_strength({"mean_test_score": scores[:3]}) == 1
    assert classification._best_strength({"mean_test_score": scores}) == 3


WORDS = ("awful", "splendid")


def plain_layout(folder, rows=60):
    for name in ("rt-polarity", "custrev", "subj", "mpqa"):
        write(folder / f"{name}.all", [f"{i % 2} {WORDS[i % 2]} film {i}" for i in range(rows)])
    for split, count in (("train", rows), ("dev", 20), ("test", 20)):
        lines = [f"{i % 2} {WORDS[i % 2]} {split} {i}" for i in range(count)]
        write(folder / f"stsa.binary.{split}", lines)
    questions = ("How far", "What county", "Who was", "Where is", "Why does", "What is NATO")
    for split in ("train", "test"):
        lines = [f"{i % 6} {questions[i % 6]} {i} ?" for i in range(rows)]
        write(folder / f"TREC.{split}.all", lines)
        pairs = ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
        pairs += [f'{i % 2}\t1\t2\t"Yes {i}\tA {i} {i % 2}' for i in range(rows)]
        write(folder / f"msr_paraphrase_{split}.txt", pairs)


def test_all_tasks_on_what_tells_the_classes_apart(tmp_path):
    plain_layout(tmp_path)

    def encode(sentences):
        rows = by_hash(sentences)
        for row, sentence in zip(rows, sentences):
            row[0] = 8 * ("splendid" in sentence) + 16 * sentence.endswith(" 1")
            for i, word in enumerate(("far", "county", "Who", "Where", "Why", "NATO")):
                row[i + 1] += 12 * (word in sentence)
        return rows

    found = SentEval(folds=5)(encode, tmp_path)
    tasks = ("MR", "CR", "SUBJ", "MPQA", "TREC", "SST-2", "MRPC")
    assert {f"{task}/accuracy": found[f"{task}/accuracy"] for task in tasks} == {
        f"{task}/accuracy": 1.0 for task in tasks
    }
    assert found["MRPC/F1"] == 1 and found["mean of 7/accuracy"] == 1
    noise = SentEval(tasks=("MR",), folds=5)(by_hash, tmp_path)
    assert 0.25 < noise["MR/accuracy"] < 0.75


def test_pair_features_and_f1(tmp_path):
    plain_layout(tmp_path)
    found = SentEval(tasks=("MRPC",), folds=5)(by_hash, tmp_path)
    sides = {}
    rows = [*range(0, 60, 2), *range(1, 60, 2)]  # all of equally many words: by label
    for split in ("train", "test"):
        u, v = (
            by_hash([pair.format(i=i, y=i % 2) for i in rows]) for pair in ('"Yes {i}', "A {i} {y}")
        )
        sides[split] = np.concatenate([np.abs(u - v), u * v], axis=1), np.array(rows) % 2
    predicted, validation = classification.folds_of_training(sides["train"], sides["test"], 5)
    labels = sides["test"][1]
    assert found["MRPC/accuracy"] == pytest.approx(np.mean(predicted == labels))
    assert found["MRPC/F1"] == pytest.approx(f1_score(labels, predicted))
    assert found["MRPC/validation accuracy"] == pytest.approx(validation)


def test_folds_are_those_of_sentevals_order():
    """sorted() with its keys: senteval/binary.py, and mrpc.py, where a pair has two sides."""
    rng = np.random.default_rng(0)
    first, second = ([" ".join("a" * n) for n in rng.integers(1, 5, 40)] for _ in range(2))
    first = [f"{sentence} {i}" for i, sentence in enumerate(first)]
    labels = rng.integers(0, 2, 40)
    for sides, key in (
        ((first,), lambda z: (len(z[0].split()), z[1])),
        ((first, second), lambda z: (len(z[0].split()), len(z[1].split()), z[2])),
    ):
        expected = sorted(zip(*sides, labels.tolist()), key=key)
        found = senteval.in_order(Examples(sides, labels))
        assert list(zip(*found.sentences, found.labels.tolist())) == expected


def test_f1_without_positives_is_zero_as_in_scikit_learn():
    for found, labels in (([0, 0, 0], [0, 0, 0]), ([0, 0, 0], [0, 1, 0]), ([1, 1, 0], [0, 1, 1])):
        expected = f1_score(labels, found, zero_division=0)
        assert senteval._f1(np.array(found), np.array(labels)) == expected


def test_the_original_layout_reads_the_same(tmp_path):
    old = tmp_path / "original"
    for name in ("MR", "CR", "SUBJ", "MPQA", "TREC", "SST/binary", "MRPC"):
        (old / name).mkdir(parents=True)
    for neg, pos in (
        ("MR/rt-polarity.neg", "MR/rt-polarity.pos"),
        ("CR/custrev.neg", "CR/custrev.pos"),
        ("SUBJ/subj.subjective", "SUBJ/subj.objective"),
        ("MPQA/mpqa.neg", "MPQA/mpqa.pos"),
    ):
        (old / neg).write_bytes("un café triste\nbad 1\n".encode("latin-1"))
        write(old / pos, ["good 0"])
    write(old / "TREC/train_5500.label", ["NUM:dist How far ?", "ABBR:exp What is NATO ?"])
    write(old / "TREC/TREC_10.label", ["LOC:other Where ?"])
    for split in ("train", "dev", "test"):
        write(old / f"SST/binary/sentiment-{split}", ["a bad film\t0", "a good film\t1"])
    for split in ("train", "test"):
        write(
            old / f"MRPC/msr_paraphrase_{split}.txt",
            [
                "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
                '1\t1\t2\t"Yes.\tYes, he said.',
            ],
        )

    def task(name):
        return {
            split: (list(map(list, zip(*examples.sentences))), examples.labels.tolist())
            for split, examples in read_task(str(old), name, Observer()).items()
        }

    for name in ("MR", "CR", "SUBJ", "MPQA"):
        expected = [["un café triste"], ["bad 1"], ["good 0"]], [0, 0, 1]
        assert task(name) == {"all": expected}
    assert task("TREC")["train"] == ([["How far ?"], ["What is NATO ?"]], [5, 0])
    assert task("TREC")["test"] == ([["Where ?"]], [4])
    assert task("SST-2") == dict.fromkeys(
        ("train", "validation", "test"), ([["a bad film"], ["a good film"]], [0, 1])
    )
    assert task("MRPC")["test"] == ([['"Yes.', "Yes, he said."]], [1])


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"senteval needs its directory.*facebookresearch"):
        SentEval()(by_hash)
    with pytest.raises(FileNotFoundError, match=r"no MR/rt-polarity\.neg.* or rt-polarity\.all in"):
        SentEval(tasks=("MR",))(by_hash, tmp_path)
    with pytest.raises(ValueError, match=r"`tasks` \(='SST'\) must be of"):
        SentEval(tasks=("SST",))(by_hash, tmp_path)
    with pytest.raises(ValueError, match=r"`folds` \(=1\) must be at least 2"):
        SentEval(folds=1)(by_hash, tmp_path)
    plain_layout(tmp_path)
    write(tmp_path / "rt-polarity.all", ["0 fine", "good film"])
    with pytest.raises(ValueError, match=r"rt-polarity\.all:2: expected a label and .*'good film'"):
        SentEval(tasks=("MR",))(by_hash, tmp_path)
    write(tmp_path / "rt-polarity.all", ["0 a", "0 b", "1 c"])
    with pytest.raises(ValueError, match=r"10 folds need as many .* has only 1"):
        SentEval(tasks=("MR",))(by_hash, tmp_path)
    # Enough for the outer folds, but not for those that choose the regularisation.
    write(tmp_path / "rt-polarity.all", [f"{i % 2} film {i}" for i in range(6)])
    with pytest.raises(ValueError, match=r"3 folds need as many .* has only 2"):
        SentEval(tasks=("MR",), folds=3)(by_hash, tmp_path)
    write(tmp_path / "rt-polarity.all", [])
    with pytest.raises(ValueError, match="there is nothing in 'all'"):
        SentEval(tasks=("MR",))(by_hash, tmp_path)
    write(tmp_path / "msr_paraphrase_test.txt", ["header", "1\ta\tb\tc"])
    with pytest.raises(ValueError, match=r"msr_paraphrase_test\.txt:2: expected 0 or 1"):
        SentEval(tasks=("MRPC",))(by_hash, tmp_path)
