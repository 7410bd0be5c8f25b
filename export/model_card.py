"""python -m export.model_card: the pages of a model for TF-Hub or Kaggle, and for Hugging Face."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.flags import run_program
from labse_tf.model_card import PAGES, Claims, write_cards


def main(arguments: list[str] | None = None) -> None:
    """Writes the pages and says where they are."""
    parser = argparse.ArgumentParser(
        prog="export.model_card",
        description="Writes a model's page, its preprocessor's page and a card for Hugging Face. "
        "Figures come from evaluations of this model, and the examples are run.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="directory of a release, or the one with encoder/ and preprocessor/ of --split",
    )
    parser.add_argument(
        "--evaluation",
        nargs="+",
        required=True,
        metavar="JSON",
        help="what `labse evaluate MODEL ... --output JSON` wrote",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="must not exist")
    parser.add_argument("--publisher", required=True, help="on TF-Hub or Kaggle")
    parser.add_argument("--name", required=True, help="of the model there")
    parser.add_argument("--version", type=int, default=Claims.version, help="(default: 1)")
    parser.add_argument(
        "--license", required=True, help="as Hugging Face spells it, as apache-2.0, or other"
    )
    parser.add_argument(
        "--languages",
        nargs="+",
        required=True,
        metavar="CODE",
        help="those that the model is for, ISO 639-1 or 639-3",
    )
    parser.add_argument(
        "--asset-path",
        nargs="+",
        required=True,
        metavar="URL",
        help="where the .tar.gz of the release is; or two, of the encoder and the preprocessor",
    )
    parser.add_argument(
        "--dataset", nargs="+", default=(), metavar="NAME", help="what it was trained on"
    )
    parser.add_argument(
        "--test-sets-excluded",
        action="store_true",
        help="say that no sentence of the benchmarks was trained on",
    )
    parser.add_argument(
        "--limitation", nargs="+", default=(), metavar="TEXT", help="what it is not good for"
    )
    parser.add_argument("--description", metavar="LINE", help="one line (default: of its facts)")
    parser.add_argument(
        "--change-log",
        type=Path,
        metavar="FILE",
        help="Markdown without headings; required for versions above 1",
    )
    parser.add_argument(
        "--sentences",
        nargs="+",
        default=(),
        metavar="SENTENCE",
        help="two or more, for the examples (default: some in its languages)",
    )
    parser.add_argument(
        "--repository", metavar="ID", help="on Hugging Face (default: PUBLISHER/NAME)"
    )
    parser.add_argument(
        "--pages",
        nargs="+",
        choices=PAGES,
        default=("tf-hub", "hugging-face"),
        metavar="PAGE",
        help="tf-hub, kaggle, hugging-face (default: tf-hub hugging-face)",
    )
    flags = parser.parse_args(arguments)
    claims = Claims(
        publisher=flags.publisher,
        name=flags.name,
        version=flags.version,
        license=flags.license,
        languages=tuple(flags.languages),
        asset_paths=tuple(flags.asset_path),
        datasets=tuple(flags.dataset),
        test_sets_excluded=flags.test_sets_excluded,
        limitations=tuple(flags.limitation),
        description=flags.description,
        change_log=flags.change_log and flags.change_log.read_text(encoding="utf-8"),
        repository=flags.repository,
    )
    pages = write_cards(
        flags.model,
        flags.evaluation,
        claims,
        flags.output,
        sentences=flags.sentences,
        pages=flags.pages,
    )
    print("\n".join(pages))


if __name__ == "__main__":
    run_program(main)
