"""Writes a model's pages, for TF-Hub, Kaggle and Hugging Face, of its files and evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence

from labse_tf.files.atomic import atomic_directory
from labse_tf.model_card import hugging_face, kaggle, tf_hub
from labse_tf.model_card.claims import Claims
from labse_tf.model_card.example import choose_sentences
from labse_tf.model_card.facts import read_facts
from labse_tf.model_card.metrics import measured_languages, read_evaluations

PAGES = ("tf-hub", "kaggle", "hugging-face")


def write_cards(
    model: str | os.PathLike,
    evaluations: Sequence[str | os.PathLike],
    claims: Claims,
    output: str | os.PathLike,
    *,
    sentences: Sequence[str] = (),
    pages: Sequence[str] = ("tf-hub", "hugging-face"),
) -> list[str]:
    """Writes PUBLISHER/models/NAME/VERSION.md, the preprocessor's page, and README.md.

    The first two lie as TF-Hub's repository of documentation has them, the last one is for a
    repository on Hugging Face. For Kaggle there are model-metadata.json, and for each SavedModel
    model-instance-metadata.json, in the directory `kaggle`. The examples in them were run, in
    processes of their own; what they print is what was printed.

    Args:
        model: directory of a release, or with `encoder/` and `preprocessor/` of `--split`.
        evaluations: JSON files that `labse evaluate` wrote of it.
        claims: what the publisher says.
        output: a directory that does not exist; written whole or not at all.
        sentences: of the examples, two or more; none for some of the first languages.
        pages: which of `PAGES`; "hugging-face" needs huggingface_hub.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: `output` exists.
        FileNotFoundError: a file or a directory is not there.
        ImportError: huggingface_hub is not installed.
        ValueError: an argument is wrong, an evaluation is of another model, or an example fails.
    """
    output = os.fspath(output)
    if os.path.lexists(output):
        raise FileExistsError(f"{output!r} exists. Choose another path.")
    if not pages or not set(pages) <= set(PAGES):
        raise ValueError(f"`pages` (={list(pages)}) must be of {PAGES}.")
    sentences = choose_sentences(claims.languages, sentences)
    facts = read_facts(model)
    if len(claims.asset_paths) != 1 + facts.split:
        kind = (
            "two archives, of encoder/ and of preprocessor/" if facts.split else "one, the release"
        )
        raise ValueError(f"`asset_paths` (={list(claims.asset_paths)}) must be of {kind}.")
    results = read_evaluations(evaluations, facts)
    claims.check_languages(measured_languages(results))
    yaml = hugging_face.metadata(claims, results) if "hugging-face" in pages else ""
    texts: dict[str, str] = {}
    if {"tf-hub", "kaggle"} & set(pages):
        encoder = tf_hub.encoder_page(facts, claims, results, sentences)
        preprocessor = tf_hub.preprocessor_page(facts, claims, sentences)
        if "tf-hub" in pages:
            texts[_path(claims.handle)] = encoder
            texts[_path(claims.preprocessor_handle)] = preprocessor
        if "kaggle" in pages:
            texts |= kaggle.metadata(facts, claims, encoder, preprocessor)
    if "hugging-face" in pages:
        texts["README.md"] = hugging_face.card(facts, claims, results, sentences, yaml)
    with atomic_directory(output) as unfinished:
        for name, text in texts.items():
            path = os.path.join(unfinished, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    return [os.path.join(output, name) for name in texts]


def _path(handle: str) -> str:
    publisher, _, rest = handle.partition("/")
    return os.path.join(publisher, "models", f"{rest}.md")
