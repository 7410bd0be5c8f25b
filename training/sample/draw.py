"""Draws this directory's files: python training/sample/draw.py SOURCE_DIR OUTPUT_DIR

SOURCE_DIR holds <code>-eng.tsv.gz files with the columns sentence, English, source.
"""

import gzip
import os
import random
import sys
import unicodedata

LANGUAGES = "ara cmn deu ell fra heb hin jpn kor rus spa tur ukr".split()
SOURCE, SEED = "tatoeba", 2007_01852
MOST_TRAIN, HELD_OUT = 15_000, 500
TRAIN_WORDS, HELD_OUT_WORDS = range(1, 31), range(4, 21)


def key(sentence: str) -> str:
    """Two sentences of one key are one sentence: letters, marks and digits, case folded."""
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def read(path: str) -> list[tuple[str, str]]:
    """The pairs of SOURCE, each sentence of either side once, in random order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    pairs = sorted({(row[0], row[1]) for row in rows if row[2] == SOURCE})
    random.Random(SEED).shuffle(pairs)
    kept, seen, seen_english = [], set(), set()
    for sentence, english in pairs:
        keys = key(sentence), key(english)
        if keys[0] in seen or keys[1] in seen_english or keys[0] == keys[1] or not all(keys):
            continue
        if len(english.split()) in TRAIN_WORDS:
            kept.append((sentence, english))
            seen.add(keys[0])
            seen_english.add(keys[1])
    return kept


def write(path: str, pairs: list[tuple[str, str]]) -> None:
    text = "".join(f"{sentence}\t{english}\n" for sentence, english in pairs)
    with open(path, "wb") as file:  # no name and no time in the archive: the same bytes each time
        with gzip.GzipFile(
            filename="", mode="wb", fileobj=file, compresslevel=9, mtime=0
        ) as archive:
            archive.write(text.encode("utf-8"))


def main(source_dir: str, output_dir: str) -> None:
    pairs = {code: read(os.path.join(source_dir, f"{code}-eng.tsv.gz")) for code in LANGUAGES}
    held_out = {
        code: [p for p in rows if len(p[1].split()) in HELD_OUT_WORDS][:HELD_OUT]
        for code, rows in pairs.items()
    }
    # No held-out sentence, of whatever language, is trained on in any.
    secret = {key(side) for rows in held_out.values() for pair in rows for side in pair}
    os.makedirs(output_dir, exist_ok=True)
    for code, rows in pairs.items():
        train = [pair for pair in rows if not secret & {key(side) for side in pair}][:MOST_TRAIN]
        write(os.path.join(output_dir, f"{code}-eng.train.tsv.gz"), train)
        write(os.path.join(output_dir, f"{code}-eng.heldout.tsv.gz"), held_out[code])
        print(f"| {code} | {len(train):,} | {len(held_out[code])} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
