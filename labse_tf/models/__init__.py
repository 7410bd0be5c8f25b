"""labse-mini, the model that comes with the package: its name is known wherever a model is read."""

from __future__ import annotations

import os

NAME = "labse-mini"


def named(source: str | os.PathLike) -> str:
    """The directory of a model that is given by a path or a name.

    Args:
        source: "labse-mini" is the release that lies in the package, if there is no file or
            directory of this name here; anything else is what it is.

    Raises:
        FileNotFoundError: it is labse-mini, but the package was installed without it.
    """
    source = os.fspath(source)
    if source != NAME or os.path.exists(source):
        return source
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), NAME)
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"There is no {path!r}: this installation of labse_tf lacks its model. Install it "
            "anew from a whole clone or wheel, or name another model."
        )
    return path
