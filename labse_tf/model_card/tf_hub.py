"""The pages of a model and of its preprocessor as TF-Hub and Kaggle have them.

Form: https://www.tensorflow.org/hub/writing_documentation; what is allowed in the comments:
tensorflow/tfhub.dev, tools/validator.py and tags/*.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence

from labse_tf.model_card.claims import TF_HUB, Claims
from labse_tf.model_card.example import embedding_example, preprocessing_example
from labse_tf.model_card.facts import Facts
from labse_tf.model_card.limitations import of_model, of_text
from labse_tf.model_card.metrics import metrics, of_languages
from labse_tf.model_card.overview import (
    REFERENCES,
    assembled,
    bullets,
    describe_model,
    overview,
)

# Of tags/*.yaml. Of the data those of text; other data and licenses have "other" and "custom".
_LANGUAGES = set(
    "ar as bg bn ca cs da de el en es et fa fi fr gu he hi hr hu id it ja ko kn ks lt lv ml mr ms "
    "ne nl no or pa pl pt ro ru sa sd sk sl sr sv ta te th tl tr uk ur vi".split()
)
_RENAMED = {"zh": "zh-cn"}
_DATASETS = set(
    "bookscorpus commoncrawl google-news multilingual-wikipedia multiple natural-questions pmindia "
    "translation twitter wiki40b wikipedia wikipedia-and-bookscorpus wmt14 wmt16".split()
)
_LICENSES = set(
    "apache-2.0 bsd-2-clause bsd-3-clause gpl-2.0 gpl-3.0 lgpl-2.0 lgpl-2.1 lgpl-3.0 mit mpl-2.0 "
    "cddl-1.0 epl-2.0 cc-by-nc-4.0".split()
)


def encoder_page(
    facts: Facts, claims: Claims, evaluations: Sequence[dict], sentences: Sequence[str]
) -> str:
    """The page of what embeds: the release, or the encoder that takes token ids."""
    shown = [of_languages(result, claims.languages) for result in evaluations]
    architecture = "bert" if facts.config.num_layers else "other"
    metadata = _metadata(claims, claims.asset_paths[0], True, "text-embedding", architecture)
    preprocessor = f"[{claims.preprocessor_handle}]({TF_HUB}{claims.preprocessor_handle})"
    about = (
        f"It takes token ids, which {preprocessor} makes of strings."
        if facts.split
        else f"It takes strings: the tokenizer is inside, and is described at {preprocessor}."
    )
    sections = {
        "Overview": f"{overview(facts, claims)}\n\n{about}",
        "Example use": embedding_example(facts, claims, sentences)
        + f"\n\n{_training(facts, claims)}",
        "Output details": _outputs(facts),
        "Metrics": metrics(shown),
        "Limitations": bullets(of_model(facts, claims, evaluations, saved_model=True)),
        "Change log": claims.change_log,
        "References": REFERENCES,
    }
    head = f"# Module {claims.handle}\n{describe_model(facts, claims)}\n\n{metadata}"
    return assembled(head, sections)


def _training(facts: Facts, claims: Claims) -> str:
    handle = f"{TF_HUB}{claims.handle}"
    if facts.weights_dtype != "int8":
        return f'To train it further: `hub.KerasLayer("{handle}", trainable=True)`.'
    return (
        "Its word embeddings are in int8, which cannot be trained. To train it further, convert it "
        f"(`labse convert {handle} trainable --weights-dtype float32`), and use "
        '`hub.KerasLayer("trainable", trainable=True)`.'
    )


def preprocessor_page(facts: Facts, claims: Claims, sentences: Sequence[str]) -> str:
    """The page of what makes token ids of strings."""
    metadata = _metadata(claims, claims.asset_paths[-1], False, "text-preprocessing")
    encoder = f"[{claims.handle}]({TF_HUB}{claims.handle})"
    about = f"It makes the token ids that {encoder} takes, from strings in UTF-8. It has no weights"
    about += ", and belongs in the input pipeline (`tf.data`), outside the training step."
    if not facts.split:
        about += (
            f"\n\nThis handle and {encoder} are of one archive, the whole release, which embeds "
            "strings by itself. The preprocessor is its attribute `preprocessor`; the encoder that "
            "takes its output is the attribute `encoder`."
        )
    tokens = facts.config.vocab_size
    about += (
        f"\n\nIt cuts text into {tokens:,} word pieces as BERT [2] does, for sentence embeddings "
        f"after LaBSE [1]. License: {claims.license}."
    )
    width = facts.seq_length
    sections = {
        "Overview": about,
        "Example use": preprocessing_example(facts, claims, sentences),
        "Output details": f"A dict of three int32 tensors [batch, {width}]:\n\n"
        + bullets(
            [
                "`input_word_ids`: the token ids: `[CLS]`, the sentence's, `[SEP]`, then padding;",
                "`input_mask`: 1 for tokens, 0 for padding;",
                "`input_type_ids`: the number of the segment, 0 where there is one alone.",
            ]
        )
        + "\n\n`tokenize(strings)` and `bert_pack_inputs([segment, ...], seq_length=...)` are "
        "there as well, for two segments or another width, as [TF-Hub's API]"
        "(https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders) has "
        "them.",
        "Limitations": bullets(
            [
                *of_text(facts),
                f"It is made for {claims.handle}: the ids mean nothing to an encoder of another "
                "vocabulary.",
            ]
        ),
        "Change log": claims.change_log,
        "References": REFERENCES,
    }
    head = f"# Module {claims.preprocessor_handle}\nText preprocessing for {claims.handle}."
    return assembled(f"{head}\n\n{metadata}", sections)


def _outputs(facts: Facts) -> str:
    dim, width = facts.model.dim, facts.seq_length
    raw = [
        f"`default`, and the same as `pooled_output`: float32 [batch, {dim}], one row a sentence, "
        "not normalised: divide each by its length before you compare them;",
        f"`sequence_output`: float32 [batch, tokens, {dim}], one row a token.",
    ]
    if facts.split:
        return "A dict of\n\n" + bullets(raw)
    return (
        f"`model(sentences)`: float32 [batch, {dim}], one row a sentence, of length 1, so that the "
        "product of two rows is their cosine.\n\n"
        f"`model.encoder(model.preprocessor(sentences))`, with token ids [batch, {width}] in "
        "between: a dict of\n\n" + bullets(raw) + "\n\n"
        "Signatures for servers: `serving_default` from `sentences`, `token_ids` from "
        "`input_word_ids`, `input_mask` and `input_type_ids`; both give `embeddings`."
    )


def _metadata(
    claims: Claims, asset_path: str, fine_tunable: bool, task: str, architecture: str | None = None
) -> str:
    languages = [_RENAMED.get(code, code) for code in claims.languages]
    known = [code for code in languages if code in _LANGUAGES | set(_RENAMED.values())]
    # What was trained has them, the tokenizer has not.
    datasets = dict.fromkeys(
        name.lower() if name.lower() in _DATASETS else "other"
        for name in (claims.datasets if fine_tunable else ())
    )
    pairs = [
        ("asset-path", asset_path),
        ("task", task),
        ("fine-tunable", str(fine_tunable).lower()),
        ("format", "saved_model_2"),
        ("license", claims.license if claims.license in _LICENSES else "custom"),
        *(("language", code) for code in known),
        *([("language", "multilingual")] if len(known) < len(languages) else []),
        *([("network-architecture", architecture)] if architecture else []),
        *(("dataset", name) for name in datasets),
    ]
    return "\n".join(f"<!-- {key}: {value} -->" for key, value in pairs)
