"""Small corpora for the recipe of labse-mini."""

import pytest

from tests.corpora import write_corpora


@pytest.fixture(scope="session")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_corpora(root)
    return root
