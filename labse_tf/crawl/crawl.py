"""crawl: the stages in their order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from labse_tf.crawl.embed import check_model, embed
from labse_tf.crawl.extract import CrawlFile, check_extract, extract
from labse_tf.crawl.index import index
from labse_tf.crawl.options import STAGES
from labse_tf.crawl.run import Run
from labse_tf.crawl.score import score
from labse_tf.crawl.search import check_k, search
from labse_tf.crawl.write import write

_log = logging.getLogger(__name__)
_WITHOUT_FILES = {"embed": embed, "index": index, "search": search, "score": score}


def crawl(run: Run, stages: Sequence[str], files: Sequence[CrawlFile] = ()) -> list[str]:
    """Does stages of a crawl, in the order of `STAGES`.

    Args:
        run: the work folder, options and engine.
        stages: which; a stage before one of these must be finished in the work folder.
        files: the input of extract.

    Returns:
        The paths of the pairs, if "write" is one of the stages.

    Raises:
        FileNotFoundError, ImportError, OSError, ValueError: what is wrong with the options, the
            files, the model, or the work folder.
    """
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages:
        raise ValueError(f"`stages` (={list(stages)}) must be of {STAGES}.")
    with run.locked():
        # What can be known to be wrong is said before hours of work.
        if "extract" in stages:
            check_extract(run, files)
        if "embed" in stages:
            check_model(run)
        written = []
        for stage in STAGES:
            if stage not in stages:
                continue
            if stage == "extract":
                extract(run, files)
                if "search" in stages:
                    check_k(run)
            elif stage == "write":
                written = write(run)
            else:
                _WITHOUT_FILES[stage](run)
        return written
