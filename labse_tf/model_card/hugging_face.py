"""The card of a repository on Hugging Face that holds what `--to hugging-face` writes.

Form: https://huggingface.co/docs/hub/model-cards; the figures stand in its model-index.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence

from labse_tf.evaluation.metrics import is_threshold
from labse_tf.evaluation.report.tables import sections as sections_of
from labse_tf.extras import install_hint
from labse_tf.model_card.claims import TF_HUB, Claims
from labse_tf.model_card.example import labse_tf_example
from labse_tf.model_card.facts import Facts
from labse_tf.model_card.limitations import of_model
from labse_tf.model_card.metrics import metrics, of_languages
from labse_tf.model_card.overview import (
    REFERENCES,
    assembled,
    bullets,
    describe_model,
    overview,
)
from labse_tf.pretrained import hugging_face

_TASKS = {"senteval": "text-classification"}  # of the others it is sentence-similarity
# By how our names begin: the identifiers of https://huggingface.co/metrics, where there is one.
_METRICS = {
    "to ": "accuracy",
    "from ": "accuracy",
    "P@1": "precision_at_1",
    "xsim error": "xsim_error",
    "F1": "f1",
    "best F1": "f1",
    "spearman": "spearmanr",
    "pearson": "pearsonr",
}
_DATASET = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def metadata(claims: Claims, evaluations: Sequence[dict]) -> str:
    """The YAML in front of the card.

    Raises:
        ImportError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import ModelCardData
    except ImportError as error:
        raise ImportError(
            f"The card for Hugging Face needs huggingface_hub: {install_hint('hugging-face')}. "
            "The others do not: --pages tf-hub kaggle"
        ) from error
    data = ModelCardData(
        language=list(claims.languages),
        license=claims.license,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "labse", "tensorflow"],
        # Other names are no data sets of theirs.
        datasets=[name for name in claims.datasets if _DATASET.fullmatch(name)] or None,
        model_name=claims.repository.partition("/")[2],
        eval_results=_eval_results(
            [of_languages(result, claims.languages) for result in evaluations]
        ),
    )
    return f"---\n{data.to_yaml()}\n---"


def card(
    facts: Facts,
    claims: Claims,
    evaluations: Sequence[dict],
    sentences: Sequence[str],
    yaml: str,
) -> str:
    """The card, under its `metadata`."""
    shown = [of_languages(result, claims.languages) for result in evaluations]
    with tempfile.TemporaryDirectory() as folder:
        directory = os.path.join(folder, "repository")
        hugging_face.write(directory, facts.model.preprocessor, facts.model.encoder)
        example = labse_tf_example(directory, claims.repository, sentences)
    sections = {
        "Overview": f"{overview(facts, claims)}\n\nAs a SavedModel of TensorFlow it is "
        f"[{claims.handle}]({TF_HUB}{claims.handle}).",
        "Example use": f"{install_hint('hugging-face')}, then\n\n{example}\n\n"
        "The files are those of sentence-transformers as well, which gives the same embeddings: "
        f'`SentenceTransformer("{claims.repository}").encode(sentences)`.',
        "Metrics": metrics(shown),
        "Limitations": bullets(of_model(facts, claims, evaluations, saved_model=False)),
        "Change log": claims.change_log,
        "References": REFERENCES,
    }
    title = claims.repository.partition("/")[2]
    return assembled(f"{yaml}\n\n# {title}\n\n{describe_model(facts, claims)}", sections)


def _eval_results(evaluations: Sequence[dict]) -> list:
    """A result for each figure that is a row of a table, thresholds left out."""
    from huggingface_hub import EvalResult

    results = []
    for evaluation in evaluations:
        model = evaluation["model"]
        how = {name: model[name] for name in ("precision", "backend") if model.get(name)}
        for section in sections_of([evaluation]):
            (run,) = section.runs
            task = _TASKS.get(run["name"], "sentence-similarity")
            for key, value in run["figures"].items():
                part, _, metric = key.rpartition("/")
                if value is None or ">" in part or is_threshold(metric):
                    continue
                results.append(
                    EvalResult(
                        task_type=task,
                        task_name=run["name"],
                        dataset_type=re.sub(r"[^\w.-]+", "-", section.title).strip("-"),
                        dataset_name=section.title,
                        dataset_config=part,
                        metric_type=next(
                            (known for name, known in _METRICS.items() if metric.startswith(name)),
                            metric,
                        ),
                        metric_name=metric,
                        metric_value=value,
                        metric_args=how or None,
                    )
                )
    return results
