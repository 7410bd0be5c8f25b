"""Results of two made-up models, for the tests of reports."""

import copy
import json

CODES = {"deu": "Latin", "fra": "Latin", "rus": "Cyrillic", "jpn": "Han", "ell": "Greek"}


def result(name="model one", shift=0.0):
    accuracies = {code: 0.9 - 0.1 * i - shift * (i % 2) for i, code in enumerate(CODES)}
    tatoeba = {"mean of 5/accuracy": sum(accuracies.values()) / 5}
    for code, value in accuracies.items():
        tatoeba |= {f"{code}/accuracy": value, f"{code}/to eng": value + 0.01}
    retrieval = {}
    for i, code in enumerate(CODES):
        retrieval[f"{code}/P@1 to eng"] = 0.5 + 0.05 * i + shift
        retrieval[f"{code}/xsim error to eng"] = 0.5 - 0.05 * i - shift
    for i, a in enumerate(CODES):
        for j, b in enumerate(CODES):
            if a != b:
                retrieval[f"{a}>{b}/P@1"] = 0.1 * i + 0.02 * j
    curve = {"threshold": [0.5, 0.75, 1.0], "precision": [0.2, 0.6, 1.0]}
    curve |= {"recall": [1.0, 0.6, 0.1], "F1": [1 / 3, 0.6, 2 / 11]}
    benchmarks = [
        {
            "name": "tatoeba",
            "options": {"languages": []},
            "data": {"directory": None, "files": {"tatoeba.tar.xz": "sha256:00ff"}},
            "seconds": 2.5,
            "figures": tatoeba,
            "scripts": CODES,
            "published": {"mean of 5/accuracy": {"LaBSE": 0.837}},
            "curves": {},
            "failures": {"xyz": "tatoeba.xyz-eng.eng has 12 lines, but <13> were expected"},
        },
        {"name": "retrieval", "data": {"directory": "/data/ntrex"}, "figures": retrieval},
        {"name": "retrieval", "data": {"directory": "/data/flores/"}, "figures": {"deu/P@1": 0.25}},
        {
            "name": "mining",
            "figures": {
                "de-en, ratio, mutual/F1": 0.6,
                "de-en, ratio, mutual/threshold": 1.23456,
            },
            "curves": {"de-en, ratio, mutual": curve},
        },
    ]
    return {
        "format": "labse_tf evaluation 1",
        "model": {"name": name, "fingerprint": "sha256:0123456789abcdef", "precision": "float32"},
        "command": f"labse evaluate '{name}' tatoeba | tee <log>",
        "date": "2026-11-24T03:05:00+00:00",
        "seconds": 75.0,
        "system": {"python": "3.11.7", "cpu": "A CPU", "cores": 2, "labse_tf": "0.1.0"},
        "benchmarks": copy.deepcopy(benchmarks),
    }


def written(folder, *results):
    """Paths of results."""
    paths = []
    for i, one in enumerate(results):
        paths.append(folder / f"{i}.json")
        paths[-1].write_text(json.dumps(one), encoding="utf-8")
    return paths
