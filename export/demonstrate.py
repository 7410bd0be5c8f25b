"""Shows what a release does, as a user without labse_tf sees it: python export/demonstrate.py -h

It loads releases with hub.KerasLayer alone, and `import labse_tf` is an error in this process.
"""

import argparse
import gzip
import os
import sys
import unicodedata

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.modules["labse_tf"] = None  # from here on `import labse_tf` raises ImportError

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Retrieval accuracy (P@1) of releases on held-out pairs, each sentence among "
        "all of its file, and the nearest translations that the last release finds."
    )
    parser.add_argument("releases", nargs="+", metavar="NAME=DIR", help="releases to compare")
    parser.add_argument("--heldout", nargs="+", required=True, help="<code>-eng.*.tsv.gz files")
    parser.add_argument("--rows", type=int, default=2, help="sentences a language in the table")
    flags = parser.parse_args()

    pairs = {os.path.basename(path).split("-")[0]: read_pairs(path) for path in flags.heldout}
    names, scores = [], []
    for release in flags.releases:
        name, _, path = release.partition("=")
        embed = embedder(path)
        embeddings = {
            code: (embed([p[0] for p in rows]), embed([p[1] for p in rows]))
            for code, rows in pairs.items()
        }
        names.append(name)
        scores.append({code: accuracies(*sides) for code, sides in embeddings.items()})
    print_accuracies(names, scores, {code: len(rows) for code, rows in pairs.items()})
    print_nearest(pairs, embeddings, flags.rows)


def read_pairs(path: str) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def embedder(path: str):
    """A function from sentences to unit rows, in batches of like length."""
    layer = hub.KerasLayer(path)

    def embed(sentences: list[str]) -> np.ndarray:
        order = np.argsort([len(s.encode()) for s in sentences])
        rows = [
            layer(tf.constant([sentences[i] for i in order[start : start + BATCH]])).numpy()
            for start in range(0, len(order), BATCH)
        ]
        embeddings = np.empty([len(sentences), rows[0].shape[1]], np.float32)
        embeddings[order] = np.concatenate(rows)
        return embeddings

    return embed


def accuracies(source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Share of sources whose nearest target is their own, and of targets likewise."""
    cosines = source @ target.T
    own = np.arange(len(cosines))
    return np.mean(cosines.argmax(1) == own), np.mean(cosines.argmax(0) == own)


def print_accuracies(names, scores, counts) -> None:
    print("\nHeld-out retrieval, P@1 in percent (to English / from English)")
    print(f"{'':6}{'of':>6}" + "".join(f"{name:>18}" for name in names))
    for code, count in counts.items():
        cells = (f"{100 * s[code][0]:.1f} / {100 * s[code][1]:.1f}" for s in scores)
        print(f"{code:6}{count:6}" + "".join(f"{cell:>18}" for cell in cells))
    means = [100 * np.mean(list(s.values())) for s in scores]
    print(f"{'mean':12}" + "".join(f"{mean:>17.1f}%" for mean in means))


def print_nearest(pairs, embeddings, rows: int) -> None:
    english = [pair[1] for of_code in pairs.values() for pair in of_code]
    candidates = np.concatenate([sides[1] for sides in embeddings.values()])
    print(f"\nThe nearest of {len(english):,} English sentences of all languages")
    for code, of_code in pairs.items():
        cosines = embeddings[code][0][:rows] @ candidates.T
        for (sentence, translation), nearest in zip(of_code, cosines.argmax(1), strict=False):
            found = english[nearest]
            verdict = "" if found == translation else f"   (should be: {translation})"
            print(f"{code}  {fit(sentence, 46)}  {found}{verdict}")


def fit(text: str, columns: int) -> str:
    """Cut or filled to a width on the terminal; East Asian characters take two columns."""
    fitted, used = "", 0
    for character in text:
        wide = unicodedata.east_asian_width(character) in "WF"
        width = 0 if unicodedata.combining(character) else 1 + wide
        if used + width > columns - 1:
            fitted, used = fitted + "…", used + 1
            break
        fitted, used = fitted + character, used + width
    return fitted + " " * (columns - used)


if __name__ == "__main__":
    main()
