"""Negatives of the experiments: of a replica alone, and hard ones that are mined."""

import numpy as np
import pytest
import tensorflow as tf

from labse_tf import AdditiveMarginRankingLoss
from labse_tf.losses.fingerprints import token_fingerprint
from training.experiments.hard_negative_mining import hard_negatives as mine
from training.experiments.replica_negatives import ReplicaNegativesLoss


@pytest.mark.parametrize("extra", [0, 2])
def test_negatives_of_a_replica_are_independent_losses(mirrored, extra):
    """Two replicas' sum, and its gradients, against the mean of two losses without a strategy."""
    rng = np.random.default_rng(0)
    rows = [4, 4] + [4 * extra] * bool(extra)
    shares = []
    for _ in range(2):
        embeddings = [rng.normal(size=[n, 6]).astype(np.float32) for n in rows]
        ids = [rng.integers(1, 90, [n, 5]).astype(np.int32) for n in rows]
        ids[1][3] = ids[1][0]  # equal targets are no negatives
        shares.append((embeddings, ids))
    # Nor are they of other replicas: these would be, if they were looked at.
    shares[1][0][1][2] = shares[0][0][0][1]

    def loss_and_gradients(loss, embeddings, ids):
        embeddings = [tf.identity(x) for x in embeddings]
        fingerprints = [token_fingerprint(x, tf.ones_like(x)) for x in ids]
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value, negatives = loss(
                *embeddings[:2], *fingerprints[:2], *embeddings[2:], *fingerprints[2:]
            )
        return value, negatives, tape.gradient(value, embeddings)

    strategy = mirrored(2)
    values = [
        strategy.experimental_distribute_values_from_function(
            lambda context, part=part, i=i: tf.constant(
                shares[context.replica_id_in_sync_group][part][i]
            )
        )
        for part in (0, 1)
        for i in range(len(rows))
    ]
    count = len(rows)

    @tf.function
    def step(*values):
        loss = ReplicaNegativesLoss(0.3, 10.0)
        return strategy.run(lambda *x: loss_and_gradients(loss, x[:count], x[count:]), args=values)

    value, negatives, gradients = step(*values)
    results = strategy.experimental_local_results
    expected = [
        loss_and_gradients(AdditiveMarginRankingLoss(0.3, 10.0), *map(list, share))
        for share in shares
    ]
    total = sum(float(x) for x in results(value))
    assert total == pytest.approx(np.mean([float(x[0]) for x in expected]), rel=1e-5)
    for replica in (0, 1):
        assert float(results(negatives)[replica]) == pytest.approx(float(expected[replica][1]))
        for found, right in zip(gradients, expected[replica][2], strict=True):
            np.testing.assert_allclose(results(found)[replica], right / 2, atol=1e-5)
    assert float(results(negatives)[0]) == 3 - 0.5 + 4 * extra


def test_hard_negatives_are_no_translations():
    class Model:
        def encode(self, sentences, show_progress=None):
            vectors = {"a": [1, 0], "b": [0, 1], "A": [1, 0], "A!": [0.9, 0.1], "B": [0.5, 0.5]}
            return np.array([vectors[s] for s in sentences], np.float32)

    # "a" has two translations, both nearer to it than "B"; the one of "b" is the nearest to it.
    assert mine([("a", "A"), ("b", "B"), ("a", "A!")], Model()) == ["B", "A!", "B"]
    with pytest.raises(ValueError, match="all 2 targets of its file"):
        mine([("a", "A"), ("a", "B")], Model())
