"""Negatives of the experiments: of a replica alone, and hard ones that are mined."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import AdditiveMarginRankingLoss
from labse_tf.losses.fingerprints import token_fingerprint
from training.experiments.hard_negative_mining import hard_negatives as mine
from training.experiments.hard_negative_mining import random_negatives
from training.experiments.replica_negatives import GroupNegativesLoss


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_negatives_of_a_group_are_independent_losses(mirrored, replicas, bidirectional):
    """The replicas' sum, and its gradients, against the mean of two losses without a strategy."""
    rng = np.random.default_rng(0)
    groups = []
    for _ in range(2):
        embeddings = [rng.normal(size=[4, 6]).astype(np.float32) for _ in range(2)]
        ids = [rng.integers(1, 90, [4, 5]).astype(np.int32) for _ in range(2)]
        ids[1][3] = ids[1][0]  # equal targets are no negatives
        groups.append((embeddings, ids))
    # Nor are they of other groups: these would be, if they were looked at.
    groups[1][0][1][2] = groups[0][0][0][1]
    shares = groups
    if replicas == 1:
        shares = [
            [[np.concatenate([g[part][i] for g in groups]) for i in (0, 1)] for part in (0, 1)]
        ]

    def loss_and_gradients(loss, embeddings, ids):
        embeddings = [tf.identity(x) for x in embeddings]
        fingerprints = [token_fingerprint(x, tf.ones_like(x)) for x in ids]
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value, negatives = loss(*embeddings, *fingerprints)
        return value, negatives, tape.gradient(value, embeddings)

    strategy = mirrored(2) if replicas == 2 else tf.distribute.get_strategy()
    values = [
        strategy.experimental_distribute_values_from_function(
            lambda context, part=part, i=i: tf.constant(
                shares[context.replica_id_in_sync_group][part][i]
            )
        )
        for part in (0, 1)
        for i in range(2)
    ]
    options = dict(margin=0.3, scale=10.0, bidirectional=bidirectional)

    @tf.function
    def step(*values):
        loss = GroupNegativesLoss(4, **options)
        return strategy.run(lambda *x: loss_and_gradients(loss, x[:2], x[2:]), args=values)

    value, negatives, gradients = step(*values)
    results = strategy.experimental_local_results
    expected = [
        loss_and_gradients(AdditiveMarginRankingLoss(**options), *map(list, group))
        for group in groups
    ]
    total = sum(float(x) for x in results(value))
    assert total == pytest.approx(np.mean([float(x[0]) for x in expected]), rel=1e-5)
    for found in results(negatives):
        assert float(found) == 3 - 0.5
    for side in (0, 1):
        found = np.concatenate([x.numpy() for x in results(gradients[side])])
        right = np.concatenate([x[2][side].numpy() for x in expected]) / 2
        np.testing.assert_allclose(found, right, atol=1e-5)


def test_what_a_group_cannot_be():
    with pytest.raises(ValueError, match=r"`group` \(=1\)"):
        GroupNegativesLoss(1)
    ids = tf.ones([4, 5], tf.int32)
    fingerprint = token_fingerprint(ids, ids)
    extra = tf.ones([4, 3]), fingerprint
    with pytest.raises(ValueError, match="Hard negatives are of no group"):
        GroupNegativesLoss(2)(*[tf.ones([4, 3])] * 2, *[fingerprint] * 2, *extra)


def test_hard_negatives_are_no_translations():
    class Model:
        def encode(self, sentences, show_progress=None):
            vectors = {"a": [1, 0], "b": [0, 1], "A": [1, 0], "A!": [0.9, 0.1], "B": [0.5, 0.5]}
            return np.array([vectors[s] for s in sentences], np.float32)

    # "a" has two translations, both nearer to it than "B"; the one of "b" is the nearest to it.
    pairs = [("a", "A"), ("b", "B"), ("a", "A!")]
    assert mine(pairs, Model()) == [["B"], ["A!"], ["B"]]
    assert random_negatives([*pairs[::2], ("b", "B")], 0)[:2] == [["B"]] * 2
    drawn = [random_negatives(pairs, seed)[1][0] for seed in range(20)]
    assert set(drawn) == {"A", "A!"} and random_negatives(pairs, 3)[1] == [drawn[3]]
    for choose in (lambda *x: mine(x[0], Model(), *x[1:]), lambda *x: random_negatives(x[0], 0)):
        with pytest.raises(ValueError, match="2 of the 2 targets of its file"):
            choose([("a", "A"), ("a", "B")])
