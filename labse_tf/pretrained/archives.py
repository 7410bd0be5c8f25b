"""Model archives: .tar.gz files, as Kaggle Models and TF-Hub serve SavedModels."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib

SUFFIXES = (".tar.gz", ".tgz", ".tar")


def extract(archive: str, directory: str) -> str:
    """Unpacks an archive into a directory and returns the model's directory in it.

    That is `directory` itself, or the one directory that the archive holds.

    Raises:
        ValueError: it is not a whole archive, or holds a link, a device or a path that leads out
            of `directory`. Nothing is ever written outside.
    """
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            for member in tar:
                _extract_member(tar, member, archive, os.path.realpath(directory))
    except (tarfile.TarError, EOFError, zlib.error, shutil.Error) as error:
        raise ValueError(
            f"{archive!r} is not a whole .tar.gz archive: {error or type(error).__name__}. "
            "Was it downloaded completely?"
        ) from error
    inside = os.listdir(directory)
    if len(inside) == 1 and os.path.isdir(only := os.path.join(directory, inside[0])):
        return only
    return directory


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: str, root: str):
    target = os.path.realpath(os.path.join(root, member.name))
    if os.path.commonpath([root, target]) != root:
        raise ValueError(f"{archive!r} holds a path that leads out of it: {member.name!r}.")
    if member.isdir():
        os.makedirs(target, exist_ok=True)
    elif member.isfile():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with tar.extractfile(member) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
        if os.path.getsize(target) != member.size:
            raise EOFError(f"{member.name!r} is cut off")
    else:
        raise ValueError(f"{archive!r} holds {member.name!r}, which is neither file nor directory.")
