"""Model archives: .tar.gz, as Kaggle Models and TF-Hub serve SavedModels, other tars, .zip."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import PurePosixPath

_SUFFIXES = (
    ".tar.gz", ".tgz", ".tar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".zip"
)  # fmt: skip
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


def is_archive(path: str) -> bool:
    """Whether a file's name is that of an archive, in whatever case."""
    return path.lower().endswith(_SUFFIXES)


def extract(archive: str, directory: str) -> str:
    """Unpacks an archive into a directory and returns the model's directory in it.

    That is `directory` itself, or the one directory that the archive holds. What macOS adds
    (`._*`, `.DS_Store`, `__MACOSX`) is left out.

    Raises:
        ImportError: this Python's tarfile has no extraction filters.
        ValueError: it is not a whole archive, or holds a link, a device or a path that leads out
            of `directory`, or is encrypted. Nothing is ever written outside.
    """
    unpack = _unzip if archive.lower().endswith(".zip") else _untar
    try:
        unpack(archive, directory)
    except _BROKEN as error:
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"{archive!r} is not a whole archive: {reason.rstrip(':')}. Was it downloaded "
            "completely?"
        ) from error
    inside = os.listdir(directory)
    if len(inside) == 1 and os.path.isdir(only := os.path.join(directory, inside[0])):
        return only
    return directory


def _untar(archive: str, directory: str) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise ImportError(
            f"Unpacking {archive!r} safely needs the extraction filters of Python 3.10.12, 3.11.4 "
            "or newer. Update Python, or unpack it yourself and load the directory."
        )
    try:
        with tarfile.open(archive, mode="r:*") as tar:
            tar.extractall(directory, filter=_files_and_directories)
    except (tarfile.AbsolutePathError, tarfile.OutsideDestinationError) as error:
        raise _leads_out(archive, error.tarinfo.name) from error
    except tarfile.SpecialFileError as error:
        raise _special(archive, error.tarinfo.name) from error
    except OSError as error:
        if error.errno is None:  # so does bz2 say that its data are damaged
            raise EOFError(str(error)) from error
        raise


def _files_and_directories(member: tarfile.TarInfo, directory: str) -> tarfile.TarInfo | None:
    """tarfile's filter "data", less two things that it lets pass and no model needs.

    Links, since a chain of them can deceive the filter of older versions (CVE-2025-4517); and
    absolute paths, which it puts below `directory`.
    """
    if not (member.isfile() or member.isdir()):
        raise tarfile.SpecialFileError(member)
    if os.path.isabs(member.name):
        raise tarfile.AbsolutePathError(member)
    return None if _is_of_macos(member.name) else tarfile.data_filter(member, directory)


def _unzip(archive: str, directory: str) -> None:
    with zipfile.ZipFile(archive) as file:
        members = [info for info in file.infolist() if not _is_of_macos(info.filename)]
        for info in members:
            path, mode = PurePosixPath(info.filename), info.external_attr >> 16
            if path.is_absolute() or ".." in path.parts:
                raise _leads_out(archive, info.filename)
            # 0 where it was not packed on Unix.
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _special(archive, info.filename)
            if info.flag_bits & 1:
                raise ValueError(f"{archive!r} is encrypted. Unpack it and load the directory.")
        file.extractall(directory, members)  # compares each one's CRC-32


def _is_of_macos(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith("._") or part in ("__MACOSX", ".DS_Store") for part in parts)


def _leads_out(archive: str, name: str) -> ValueError:
    return ValueError(f"{archive!r} holds a path that leads out of it: {name!r}.")


def _special(archive: str, name: str) -> ValueError:
    return ValueError(f"{archive!r} holds {name!r}, which is neither file nor directory.")
