"""Commands of README pages that are not run by tests/test_readme.py: why, and where they are."""

from __future__ import annotations

from typing import NamedTuple


class NotRun(NamedTuple):
    """Commands that are not run.

    Args:
        begins: all commands that begin with it.
        reason: why they are not run.
        where: the file with what runs them, or with what they would do.
        text: is in that file.
        parsed: whether their flags are read all the same, by the program's own parser.
    """

    begins: str
    reason: str
    where: str
    text: str
    parsed: bool = False


NOT_RUN = (
    NotRun("pip install ", "changes the machine", "Makefile", "$(PIP_INSTALL) --editable ."),
    NotRun("make demo", "minutes", ".ci/run", "make demo"),
    NotRun("make test", "runs this", ".ci/run", "make test"),
    NotRun("make lint", "runs other tools", ".ci/run", "make lint"),
    NotRun("make notebooks", "minutes", ".ci/run", "make notebooks"),
    NotRun("python -m tests.notebooks", "minutes", "Makefile", "-m tests.notebooks"),
    NotRun("make coverage", "runs this", "Makefile", "coverage: "),
    NotRun("make bench", "takes long", "Makefile", "bench: "),
    NotRun("python -m tests.benchmark", "minutes each", "Makefile", "-m tests.benchmark.speed"),
    NotRun("docker compose up", "no Docker", "tests/serving/test_directory.py", "docker-compose"),
    NotRun("make test-spark", "needs Java", ".ci/run", "make test-spark"),
    NotRun(
        "labse crawl all --engine spark ", "needs Java",
        "tests/spark/test_spark.py", '"spark"', parsed=True,
    ),
    NotRun(
        "labse convert https://tfhub.dev/", "no network",
        "tests/pretrained/test_tf_hub.py", "http.server", parsed=True,
    ),
    NotRun(
        "labse convert sentence-transformers/", "no network",
        "tests/pretrained/test_hugging_face.py", "http.server", parsed=True,
    ),
    NotRun(
        "labse client models.example.org", "no network",
        "tests/serving/test_client.py", '"--header"', parsed=True,
    ),
    NotRun(
        "labse client https://models.example.org", "no network",
        "tests/serving/test_client.py", '"--header"', parsed=True,
    ),
    NotRun(
        "python -m training.dual_encoder --init release ", "labse_tf.fine_tune is run",
        "tests/programs/test_programs.py", '"--init"', parsed=True,
    ),
    NotRun(
        "python -m training.dual_encoder --init labse-mini ", "labse_tf.fine_tune is run",
        "tests/programs/test_programs.py", '"--init"', parsed=True,
    ),
    NotRun(
        "labse evaluate labse-mini ", "seconds", "tests/test_models.py", '"evaluate"', parsed=True
    ),
    NotRun(
        "labse evaluate hebrew-mini ", "seconds", "tests/test_models.py", '"evaluate"', parsed=True
    ),
    NotRun(
        "python -m export.saved_model run half ", "an export takes seconds",
        "tests/programs/test_programs.py", '"--compute-dtype"', parsed=True,
    ),
    NotRun(
        "python -m export.saved_model run small ", "an export takes seconds",
        "tests/programs/test_programs.py", '"--weights-dtype"', parsed=True,
    ),
    NotRun(
        "labse convert labse labse-half ", "an export takes seconds",
        "tests/conversion/test_formats.py", "float16", parsed=True,
    ),
    NotRun(
        "labse convert labse labse-int8 ", "an export takes seconds",
        "tests/programs/test_programs.py", '"int8"', parsed=True,
    ),
    NotRun(
        "python -m training.labse_small ", "hours",
        "tests/labse_small/test_recipe.py", "program.main", parsed=True,
    ),
    NotRun(
        "python -m training.labse_mini ", "hours",
        "tests/labse_mini/test_recipe.py", "program.main", parsed=True,
    ),
    NotRun(
        "python -m training.experiments.", "several trainings each",
        "tests/experiments/test_experiments.py", "margin.main", parsed=True,
    ),
)  # fmt: skip
# Of the root's table, where the page of the row runs the program: parsed.
RUN_ON_ITS_PAGE = (
    "python -m training.dual_encoder --pairs",
    "python -m training.pretrain",
    "python -m export.saved_model",
    "python -m export.verify",
    "python -m export.lite",
    "labse crawl",
    "labse evaluate",
    "labse mine",
    "labse prune",
    "labse quantize",
)


def how(command: str, page: str) -> str:
    """How to run a command of a page: "run", "parse", or "skip"."""
    for entry in NOT_RUN:
        if command.startswith(entry.begins):
            return "parse" if entry.parsed else "skip"
    return "parse" if page == "README.md" and command.startswith(RUN_ON_ITS_PAGE) else "run"
