"""The paper's evaluation: each benchmark a callable `(encode, data_dir) -> dict[str, float]`.

`encode` is any function from a list of strings to an array [sentences, dim], so that any model can
be measured: `Tatoeba()(model.encode)`. Metrics are fractions or correlations, under keys of the
form "part/metric", as "deu/accuracy". `labse_tf.evaluation.results.measure` runs several and gives
what `labse evaluate` writes and `labse evaluate report` reads.
"""

from labse_tf.evaluation.benchmarks.mining import Mining
from labse_tf.evaluation.benchmarks.retrieval import Retrieval
from labse_tf.evaluation.benchmarks.senteval import SentEval
from labse_tf.evaluation.benchmarks.sts import STS
from labse_tf.evaluation.benchmarks.tatoeba import Tatoeba

__all__ = ["STS", "Mining", "Retrieval", "SentEval", "Tatoeba"]
