"""Sentences of known embeddings, to measure with."""

import zlib
from pathlib import Path

import numpy as np

DIM = 24


def planted(*tables):
    """An encode function that looks vectors up, by sentence."""
    vectors = {sentence: vector for table in tables for sentence, vector in table.items()}

    def encode(sentences):
        return np.array([vectors[sentence] for sentence in sentences], np.float32)

    return encode


def by_hash(sentences):
    """A random direction for each sentence, the same for the same one."""
    return np.array(
        [np.random.default_rng(zlib.crc32(s.encode())).normal(size=DIM) for s in sentences],
        np.float32,
    )


def translations(languages, count, noise=0.0, seed=0):
    """Sentences by language and a table of their vectors: a meaning each, and noise."""
    rng = np.random.default_rng(seed)
    meanings = rng.normal(size=[count, DIM])
    texts = {code: [f"{code} {i}" for i in range(count)] for code in languages}
    table = {
        text: meanings[i] + noise * rng.normal(size=DIM)
        for of_code in texts.values()
        for i, text in enumerate(of_code)
    }
    return texts, table


def cosines(encode, a, b):
    """By the definition, in float64."""
    x, y = (np.asarray(encode(side), np.float64) for side in (a, b))
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    return x @ y.T


def write(path, lines):
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
