"""The loss against closed forms; what replicas do with it is in test_replicas.py."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from labse_tf import AdditiveMarginRankingLoss, gather_across_replicas
from labse_tf.losses.fingerprints import token_fingerprint


def fingerprints(*keys):
    return tf.constant([[key, key] for key in keys], tf.int32)


def softplus(x):
    return math.log1p(math.exp(x))


# Cosines of these pairs (the lengths do not matter):
#             y1 = (1, 0)   y2 = (0.6, 0.8)
# x1 = (1, 0)      1             0.6
# x2 = (0, 1)      0             0.8
X = tf.constant([[3.0, 0.0], [0.0, 0.5]])
Y = tf.constant([[1.0, 0.0], [6.0, 8.0]])
KEYS = fingerprints(1, 2), fingerprints(3, 4)


def test_two_by_two_by_hand():
    # margin 0.3, scale 2. -log(e^a / (e^a + e^b)) = softplus(b - a).
    # x1: own 2 (1 - 0.3) = 1.4, other 2 * 0.6 = 1.2 -> softplus(-0.2)
    # x2: own 2 (0.8 - 0.3) = 1.0, other 0            -> softplus(-1.0)
    # y1: own 1.4, other 2 * 0 = 0                    -> softplus(-1.4)
    # y2: own 1.0, other 2 * 0.6 = 1.2                -> softplus(0.2)
    forward = (softplus(-0.2) + softplus(-1.0)) / 2
    backward = (softplus(-1.4) + softplus(0.2)) / 2
    both = AdditiveMarginRankingLoss(margin=0.3, scale=2.0)
    one = AdditiveMarginRankingLoss(margin=0.3, scale=2.0, bidirectional=False)
    loss, negatives = both(X, Y, *KEYS)
    assert float(loss) == pytest.approx(forward + backward, abs=1e-6)
    assert float(negatives) == 1.0
    assert float(one(X, Y, *KEYS)[0]) == pytest.approx(forward, abs=1e-6)
    assert float(one(Y, X, *KEYS)[0]) == pytest.approx(backward, abs=1e-6)


def test_gradient_of_the_two_by_two_by_hand():
    # One direction, y fixed and of unit length, x1 of length 3 along (1, 0): the gradient with
    # respect to x1 lies across x1, so it is (0, d phi-gradient / |x1|).
    # dL/dphi(x1,y1) = -s/N (1 - p), dL/dphi(x1,y2) = s/N p', with p' = sigmoid(-0.2) = 1 - p.
    # Across x1, y1 has 0 and y2 has 0.8: dL/dx1 = (0, 2/2 * sigmoid(-0.2) * 0.8 / 3).
    loss = AdditiveMarginRankingLoss(margin=0.3, scale=2.0, bidirectional=False)
    with tf.GradientTape() as tape:
        tape.watch(X)
        value, _ = loss(X, Y, *KEYS)
    expected = 0.8 / 3 / (1 + math.exp(0.2))
    np.testing.assert_allclose(tape.gradient(value, X)[0], [0.0, expected], atol=1e-6)


@pytest.mark.parametrize("same", ["source", "target"])
def test_duplicates_are_no_negatives(same):
    # Three pairs; the first and third have the same source (or target), so neither is ranked
    # against the other: the first sees only the second, the second both, the third the second.
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    y = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    m, s = 0.2, 3.0
    phi = x @ y.T
    allowed = {0: [1], 1: [0, 2], 2: [1]}

    def direction(phi):
        own = [s * (phi[i, i] - m) for i in range(3)]
        others = [[s * phi[i, n] for n in allowed[i]] for i in range(3)]
        return sum(-o + math.log(sum(map(math.exp, [o, *e]))) for o, e in zip(own, others)) / 3

    keys = [fingerprints(1, 2, 1), fingerprints(3, 4, 5)]
    if same == "target":
        keys = keys[::-1]
    args = tf.constant(x, tf.float32), tf.constant(y, tf.float32), *keys
    loss, negatives = AdditiveMarginRankingLoss(m, s)(*args)
    assert float(loss) == pytest.approx(direction(phi) + direction(phi.T), abs=1e-6)
    assert float(negatives) == pytest.approx(4 / 3)
    unmasked = AdditiveMarginRankingLoss(m, s, mask_duplicates=False)(*args[:2])
    assert float(unmasked[1]) == 2.0
    assert float(unmasked[0]) > float(loss) + 0.1


def test_a_pivot_is_no_negative_of_its_own_copy():
    """(a, x), (y, a): the copy of a is nearest to a, but neither a negative nor a wrong answer."""
    a, x, y = [[1.0, 0.0]], [[0.8, 0.6]], [[0.6, 0.8]]
    source, target = tf.constant(a + y), tf.constant(x + a)
    loss, negatives = AdditiveMarginRankingLoss()(
        source, target, fingerprints(1, 3), fingerprints(2, 1)
    )
    assert (float(loss), float(negatives)) == (0.0, 0.0)
    unmasked = AdditiveMarginRankingLoss(mask_duplicates=False)(source, target)
    assert float(unmasked[0]) > 50


@pytest.mark.parametrize("seed", range(3))
def test_sentences_that_belong_together(seed):
    """Few sentences, so that each occurs often, on both sides and as a hard negative: by sets."""
    rng = np.random.default_rng(seed)
    count, kinds, s, m = 7, 12, 3.0, 0.2
    vectors = rng.normal(size=[kinds, 4])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    x, y, z = (rng.integers(kinds, size=n) for n in (count, count, 9))
    # Halves of fingerprints that are equal for different sentences are told apart by the others.
    keys = [tf.constant(np.stack([side % 3, side], axis=1), tf.int32) for side in (x, y, z)]
    expected, negatives = 0.0, 0
    for i in range(count):
        near = [n for n in range(count) if {x[i], y[i]} & {x[n], y[n]}]
        known = {sentence for n in near for sentence in (x[n], y[n])}
        others = [n for n in range(count) if n not in near]
        hard = [n for n in z if n not in known]
        negatives += len(others) + len(hard)
        own = s * (vectors[x[i]] @ vectors[y[i]] - m)
        to_y = s * vectors[x[i]] @ vectors[[*y[others], *hard]].T
        to_x = s * vectors[y[i]] @ vectors[x[others]].T
        expected += sum(np.log(np.exp([own, *to]).sum()) - own for to in (to_y, to_x))
    assert 0 < negatives < count * (count - 1 + len(z)) - 10
    embeddings = [tf.constant(vectors[side], tf.float32) for side in (x, y, z)]
    loss = AdditiveMarginRankingLoss(m, s)
    value, mean = loss(*embeddings[:2], *keys[:2], embeddings[2], keys[2])
    assert float(value) == pytest.approx(expected / count, abs=1e-5)
    assert float(mean) == pytest.approx(negatives / count)


def test_fingerprints_are_equal_for_equal_sentences_alone():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 500_000, [2000, 12]).astype(np.int32)
    lengths = rng.integers(2, 13, [2000])
    mask = (np.arange(12) < lengths[:, None]).astype(np.int32)
    fingerprints = token_fingerprint(tf.constant(ids), tf.constant(mask)).numpy()
    assert len(np.unique(fingerprints, axis=0)) == len({tuple(i[m > 0]) for i, m in zip(ids, mask)})
    # Other padding, other width: the same sentence.
    wide = np.pad(ids * mask, [[0, 0], [0, 8]], constant_values=77)
    wide_mask = np.pad(mask, [[0, 0], [0, 8]])
    np.testing.assert_array_equal(token_fingerprint(wide, wide_mask), fingerprints)
    # Far wider than any encoder: beyond the table of multipliers.
    for width in (1024, 1025, 3000):
        wide = np.pad(ids * mask, [[0, 0], [0, width - 12]])
        wide_mask = np.pad(mask, [[0, 0], [0, width - 12]])
        np.testing.assert_array_equal(token_fingerprint(wide, wide_mask), fingerprints)
    long = rng.integers(0, 500_000, [1, 2100]).astype(np.int32)
    swapped = long[:, [*range(1024, 2048), *range(1024), *range(2048, 2100)]]
    a, b = (token_fingerprint(x, np.ones_like(x)).numpy() for x in (long, swapped))
    assert (a != b).all()
    # The same words in another order, or one more [PAD]-like id 0, are another sentence.
    a, b, c = token_fingerprint(
        tf.constant([[5, 7, 0], [7, 5, 0], [5, 7, 0]]),
        tf.constant([[1, 1, 0], [1, 1, 0], [1, 1, 1]]),
    ).numpy()
    assert tuple(a) != tuple(b) and tuple(a) != tuple(c)


def test_without_a_strategy_gathering_is_the_identity():
    np.testing.assert_array_equal(gather_across_replicas(X), X)


def test_cross_replica_context_is_refused():
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        with pytest.raises(RuntimeError, match="cross-replica context"):
            gather_across_replicas(X)


def test_from_its_config():
    defaults = {"margin": 0.3, "scale": 100.0, "bidirectional": True, "mask_duplicates": True}
    assert AdditiveMarginRankingLoss().get_config() == defaults
    loss = AdditiveMarginRankingLoss(0.1, 2.0, bidirectional=False, mask_duplicates=False)
    again = AdditiveMarginRankingLoss.from_config(json.loads(json.dumps(loss.get_config())))
    assert type(again) is AdditiveMarginRankingLoss
    assert again.get_config() == loss.get_config() != defaults
    assert float(again(X, Y)[0]) == float(loss(X, Y)[0])
    # Under its registered name, in the configs of Keras objects that have one.
    serialized = tf_keras.saving.serialize_keras_object(loss)
    assert serialized["registered_name"] == "labse_tf>AdditiveMarginRankingLoss"
    restored = tf_keras.saving.deserialize_keras_object(serialized)
    assert restored.get_config() == loss.get_config()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`margin` \(=-1\)"):
        AdditiveMarginRankingLoss(margin=-1)
    with pytest.raises(ValueError, match=r"`scale` \(=0\)"):
        AdditiveMarginRankingLoss(scale=0)
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(1, 2\)"):
        AdditiveMarginRankingLoss()(X, Y[:1], *KEYS)
    with pytest.raises(ValueError, match="needs the fingerprints of all"):
        AdditiveMarginRankingLoss()(X, Y)


@pytest.mark.parametrize("options", [{}, {"mask_duplicates": False}, {"scale": 20.0, "margin": 0}])
def test_one_matrix_of_logits_is_as_two(options):
    """The path of one replica against that of many, which `block_loss` is: values, gradients."""
    loss = AdditiveMarginRankingLoss(**options)
    rng = np.random.default_rng(7)
    source, target = (tf.constant(rng.normal(size=[9, 5]), tf.float32) for _ in range(2))
    marks = rng.integers(6, size=[2, 9, 1])  # some sentences are equal, on either side
    fingerprints = [tf.constant(np.repeat(x, 2, axis=1), tf.int32) for x in marks]

    def as_many(source, target):
        pairs = loss.normalise(source, target, None, [*fingerprints, None])
        total, negatives = loss.block_loss(pairs, pairs, 0)
        return total / 9, negatives / 9

    results = []
    for function in (as_many, lambda *sides: loss(*sides, *fingerprints)):
        with tf.GradientTape() as tape:
            tape.watch([source, target])
            value, negatives = function(source, target)
        results.append([value, negatives, *tape.gradient(value, [source, target])])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    assert (results[0][1] < 8) == loss.mask_duplicates
