"""embed: shards of sentences -> shards of embeddings, float16 or int8 with a scale for each row."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from labse_tf.crawl.extraction import SIDES
from labse_tf.crawl.models import describe, embed_texts
from labse_tf.crawl.run import Run, read_manifest
from labse_tf.crawl.steps.eight_bits import to_eight_bits
from labse_tf.crawl.tables import read_columns
from labse_tf.crawl.tasks import Made, Task, files_key
from labse_tf.files.atomic import atomic_file


def check_model(run: Run) -> dict[str, Any]:
    """The fingerprint and the dim of the model, as one of the engine's processes has it.

    Raises:
        FileNotFoundError, ValueError: there is no such model, or the embeddings that are there are
            of another one.
    """
    options, path = run.options, _path_of(run.options.model)
    (model,) = run.engine.map(_describe, [(path, options.precision)], "embed: the model")
    before = read_manifest(run.folder, "embed")
    if before is not None and before.settings.get("model") != model["fingerprint"]:
        run.refuse(
            "embed",
            f"its embeddings are of another model ({before.settings.get('model')}) than "
            f"{options.model!r} ({model['fingerprint']})",
        )
    return model


def embed(run: Run) -> None:
    """Writes embed/SIDE-00000.npy, a row for each sentence of extract/SIDE-00000.parquet.

    Raises:
        FileNotFoundError, ValueError: as `check_model`.
    """
    extracted, options = run.needs("extract"), run.options
    model = check_model(run)
    manifest = run.begin("embed", {"model": model["fingerprint"]})
    settings = {
        "model": _path_of(options.model),
        "fingerprint": model["fingerprint"],
        "precision": options.precision,
        "batch_tokens": options.batch_tokens,
        "dtype": options.dtype,
    }
    for side in SIDES:
        tasks = [
            Task(
                f"embed/{os.path.basename(name)}",
                embed_shard,
                {"texts": f"{name}.parquet", **settings},
                files_key([record]),
                ignored=("model", "batch_tokens"),
            )
            for name, record in extracted.records[f"{side} shards"].items()
        ]
        run.phase(manifest, f"{side}s", tasks)
    run.finish(manifest, {"dim": model["dim"], "dtype": options.dtype})


def _path_of(model: str) -> str:
    """A directory by its whole path, since other processes run in other directories."""
    return os.path.abspath(model) if os.path.exists(model) else model


def _describe(model: tuple[str, str]) -> dict:
    return describe(*model)


def embed_shard(
    folder: str, name: str, *, texts, model, fingerprint, precision, batch_tokens, dtype
) -> Made:
    """Sentences of a table -> NAME.npy: float16 [sentences, dim], or `row_dtype` [sentences]."""
    (sentences,) = read_columns(os.path.join(folder, texts), ["text"])
    with warnings.catch_warnings():  # of sentences that are longer than the model reads
        warnings.simplefilter("ignore", UserWarning)
        rows = embed_texts(sentences, model, precision, batch_tokens, fingerprint)
    kept = to_eight_bits(rows) if dtype == "int8" else rows.astype(np.float16)
    with atomic_file(os.path.join(folder, f"{name}.npy"), "wb") as file:
        np.save(file, kept)
    return Made((f"{name}.npy",), {"rows": len(kept)})
