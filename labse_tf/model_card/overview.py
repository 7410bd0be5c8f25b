"""The first section of a card: what the model is."""

from __future__ import annotations

from labse_tf.evaluation.report.markdown import escape
from labse_tf.model_card.claims import Claims, listed
from labse_tf.model_card.facts import Facts

REFERENCES = """\
[1] Fangxiaoyu Feng, Yinfei Yang, Daniel Cer, Naveen Arivazhagan, Wei Wang.
[Language-agnostic BERT Sentence Embedding](https://arxiv.org/abs/2007.01852). 2020.

[2] Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova.
[BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding](https://arxiv.org/abs/1810.04805). 2018."""

_POOLINGS = {
    "cls": "the dense layer with tanh over the first token, `[CLS]`, as in LaBSE",
    "mean": "the mean of its tokens, where LaBSE has a dense layer over the first one",
}


def describe_model(facts: Facts, claims: Claims) -> str:
    """One line."""
    if claims.description is not None:
        return escape(claims.description)
    count = len(claims.languages)
    return (
        f"Sentence embeddings of {facts.model.dim} numbers for {count} "
        f"language{'s' if count > 1 else ''}, after LaBSE."
    )


def overview(facts: Facts, claims: Claims) -> str:
    """Paragraphs on what goes in, what comes out, and what is between."""
    config = facts.config
    layers = f"{config.num_layers} transformer layer{'' if config.num_layers == 1 else 's'}"
    size = f"BERT [2], {layers} of {config.hidden_size} with {config.num_heads} heads"
    if not config.num_layers:
        size = f"the embeddings of BERT [2], of {config.hidden_size}, without transformer layers"
    facts_of_it = [
        f"Languages: {', '.join(claims.languages)}.",
        f"Encoder: {size}; {config.vocab_size:,} word pieces; {facts.weights:,} weights.",
        f"A sentence's embedding: {_POOLINGS[config.pooling]}.",
        f"License: {claims.license}.",
    ]
    if claims.datasets:
        facts_of_it.append(f"Trained on: {escape(listed(claims.datasets))}.")
    return (
        f"The model maps a sentence to a vector of {facts.model.dim} numbers, as LaBSE [1] does: "
        "the more alike two sentences are in meaning, in one language or in two, the higher the "
        "cosine of their vectors should be. It serves to find translations, to compare sentences, "
        "and as a start for classifiers.\n\n" + bullets(facts_of_it)
    )


def bullets(texts: list[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def assembled(head: str, sections: dict[str, str]) -> str:
    """A page: what stands before the first heading, then the sections."""
    return "\n\n".join([head, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"
