"""Model archives: .tar.gz files, as Kaggle Models and TF-Hub serve SavedModels."""

from __future__ import annotations

import os
import tarfile
import zlib

SUFFIXES = (".tar.gz", ".tgz", ".tar")


def extract(archive: str, directory: str) -> str:
    """Unpacks an archive into a directory and returns the model's directory in it.

    That is `directory` itself, or the one directory that the archive holds.

    Raises:
        ImportError: this Python's tarfile has no extraction filters.
        ValueError: it is not a whole archive, or holds a link, a device or a path that leads out
            of `directory`. Nothing is ever written outside.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ImportError(
            f"Unpacking {archive!r} safely needs the extraction filters of Python 3.10.12, 3.11.4 "
            "or newer. Update Python, or unpack it yourself and load the directory."
        )
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            tar.extractall(directory, filter=_files_and_directories)
    except (tarfile.AbsolutePathError, tarfile.OutsideDestinationError) as error:
        name = error.tarinfo.name
        raise ValueError(f"{archive!r} holds a path that leads out of it: {name!r}.") from error
    except tarfile.SpecialFileError as error:
        name = error.tarinfo.name
        raise ValueError(
            f"{archive!r} holds {name!r}, which is neither file nor directory."
        ) from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive!r} is not a whole .tar.gz archive: {error or type(error).__name__}. "
            "Was it downloaded completely?"
        ) from error
    inside = os.listdir(directory)
    if len(inside) == 1 and os.path.isdir(only := os.path.join(directory, inside[0])):
        return only
    return directory


def _files_and_directories(member: tarfile.TarInfo, directory: str) -> tarfile.TarInfo:
    """tarfile's filter "data", less two things that it lets pass and no model needs.

    Links, since a chain of them can deceive the filter of older versions (CVE-2025-4517); and
    absolute paths, which it puts below `directory`.
    """
    if not (member.isfile() or member.isdir()):
        raise tarfile.SpecialFileError(member)
    if os.path.isabs(member.name):
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, directory)
