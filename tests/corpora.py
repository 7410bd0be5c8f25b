"""Small corpora in the layout that the recipe of labse-mini reads."""

import gzip


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def write_corpora(root):
    """Made-up languages deu and fra, whose sentence number i is the translation of "one i"."""
    for code, word in (("deu", "eins"), ("fra", "un")):
        rows = [f"{word} {i}\tOne {i}.\ttatoeba" for i in range(400)]
        rows += [f"{word} help {i}\tHelp {i}.\tlibreoffice" for i in range(100)]
        write(root / "train" / f"{code}-eng.tsv.gz", rows)
    write(
        root / "train2" / "deu-eng.tsv.gz",
        [
            "geschuetzt\tProtected text\twesnoth",
            *(f"Wort{i}\tword {i}\tdict:wiktionary" for i in range(9)),
            "frei\tfree\tdict:freedict",
        ],
    )
    write(root / "train2" / "fra-eng.tsv.gz", ["mot\tword\tdict:omw", "oui\tyes\tdict:wikt-omw"])
    rows = [f"eins {i}\tun {i}\ttatoeba" for i in range(100)]
    write(
        root / "train-x" / "deu-fra.tsv.gz",
        [*rows, "geprueft\tverifie\ttatoeba", "geschuetzt\tprotege\twesnoth"],
    )
    test = root / "eval"
    write(test / "tatoeba" / "tatoeba.deu-eng.deu", ["EINS 7!"])
    write(test / "tatoeba" / "tatoeba.deu-eng.eng", ["One 8"])
    write(test / "ntrex" / "newstest2019-ref.fra.txt.gz", ["un 9"])
    for language in ("de", "fr", "en"):
        write(test / "mining" / f"de-en.{language}", [f"{language}-1\tGeprueft {language}"])
    write(test / "nmt" / "tatoeba_de-en.dev.tsv", ["eins 11\tOne 12"])
    write(test / "nmt" / "tatoeba_de-en.test.tsv", [f"eins zu {i}\tOne to {i}" for i in range(6)])
    write(test / "sts" / "en-dev.tsv.gz", ["3.0\tOne 13\tOne 14"])
    write(test / "senteval" / "msrp.txt", ["1\t2\t3\tHelp 5\tHelp 6"])
    write(test / "senteval" / "TREC.train.all", ["0 one 15 ?", "1 un help 7 !"])
    write(test / "senteval" / "stsa.fine.dev", ["0 yes", "1 un help 8 ."])
