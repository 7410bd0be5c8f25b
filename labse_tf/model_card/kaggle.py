"""The metadata of a model and its variations as the `kaggle` command and kagglehub upload them.

Form: Kaggle/kaggle-api, docs/models_metadata.md.
"""

from __future__ import annotations

import json
import re

from labse_tf.model_card.claims import Claims
from labse_tf.model_card.facts import Facts
from labse_tf.model_card.overview import describe_model

_LICENSES = {
    "apache-2.0": "Apache 2.0",
    "mit": "MIT",
    "cc0-1.0": "CC0: Public Domain",
    "cc-by-3.0": "Attribution 3.0 Unported (CC BY 3.0)",
    "cc-by-4.0": "Attribution 4.0 International (CC BY 4.0)",
    "cc-by-nc-4.0": "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
    "cc-by-sa-3.0": "CC BY-SA 3.0",
    "cc-by-sa-4.0": "CC BY-SA 4.0",
    "cc-by-nc-sa-4.0": "CC BY-NC-SA 4.0",
    "bsd-3-clause": "BSD-3-Clause",
    "gpl-2.0": "GPL 2",
    "gpl-3.0": "GPL 3",
    "lgpl-3.0": "GNU Lesser General Public License 3.0",
    "agpl-3.0": "GNU Affero General Public License 3.0",
}


def metadata(facts: Facts, claims: Claims, encoder: str, preprocessor: str) -> dict[str, str]:
    """Texts of files, by their names: of the model, and of each SavedModel as a variation of it.

    The model is private until its publisher says otherwise, as Kaggle's own template has it.

    Args:
        encoder, preprocessor: the pages of `labse_tf.model_card.tf_hub`.

    Raises:
        ValueError: the license is none of Kaggle's.
    """
    if claims.license not in _LICENSES:
        raise ValueError(
            f"`license` (={claims.license!r}) is none that Kaggle knows: {', '.join(_LICENSES)}."
        )
    slug = _slug(claims.name)
    model = {
        "ownerSlug": claims.publisher,
        "title": claims.name.rpartition("/")[2],
        "slug": slug,
        "subtitle": describe_model(facts, claims),
        "isPrivate": True,
        "description": "".join(_sections(encoder).values()),
        "publishTime": "",
        "provenanceSources": "\n".join(claims.datasets),
    }
    files = {"kaggle/model-metadata.json": model}
    parts = (
        {"encoder": encoder, "preprocessor": preprocessor} if facts.split else {"release": encoder}
    )
    for name, page in parts.items():
        sections = _sections(page)
        shown = [text for heading, text in sections.items() if heading in _USAGE]
        files[f"kaggle/{name}/model-instance-metadata.json"] = {
            "ownerSlug": claims.publisher,
            "modelSlug": slug,
            "instanceSlug": name,
            "framework": "tensorFlow2",
            "overview": describe_model(facts, claims),
            "usage": "".join(shown),
            "licenseName": _LICENSES[claims.license],
            "fineTunable": name != "preprocessor",
            "trainingData": list(claims.datasets) if name != "preprocessor" else [],
            "modelInstanceType": "Unspecified",
            "baseModelInstance": "",
            "externalBaseModelUrl": "",
        }
    return {name: json.dumps(x, ensure_ascii=False, indent=2) + "\n" for name, x in files.items()}


_USAGE = ("Example use", "Output details", "Change log")


def _sections(page: str) -> dict[str, str]:
    """The page's sections by their headings, without what stands before the first."""
    _, *parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    return {part.partition("\n")[0].removeprefix("## "): part for part in parts}


def _slug(name: str) -> str:
    """Small letters, digits and single dashes between them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
