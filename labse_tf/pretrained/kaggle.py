"""Models of Kaggle, where TF-Hub's have moved: their handles, their download."""

from __future__ import annotations

import re

from labse_tf.extras import install_hint

_HANDLE = re.compile(
    r"(?:https?://(?:www\.)?kaggle\.com/models/)?"
    r"(?P<owner>[\w-]+)/(?P<model>[\w-]+)/(?:frameworks/)?"
    r"(?P<framework>tensorflow2|transformers|pytorch)/"
    r"(?:variations/)?(?P<variation>[\w.-]+)(?:/(?:versions/)?(?P<version>\d+))?/?",
    re.IGNORECASE,
)


def handle_of(source: str) -> str | None:
    """The handle that kagglehub has for a handle or an address; None if it is neither.

    Example:
        >>> handle_of("https://www.kaggle.com/models/google/labse/tensorFlow2/labse/2")
        'google/labse/tensorFlow2/labse/2'
    """
    match = _HANDLE.fullmatch(source)
    return "/".join(filter(None, match.groups())) if match else None


def download(handle: str) -> str:
    """The directory to which a model of Kaggle was fetched, now or before.

    Raises:
        ImportError: kagglehub is not installed.
        OSError: it could not be fetched.
    """
    try:
        import kagglehub
    except ImportError as error:
        raise ImportError(
            f"Fetching {handle!r} from Kaggle needs kagglehub: {install_hint('kaggle')}"
        ) from error
    try:
        return kagglehub.model_download(handle)
    except Exception as error:  # its own errors, and those of the HTTP library below it
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise OSError(
            f"Cannot fetch {handle!r} from Kaggle: {reason} Does it exist, and is this machine "
            "online? A private model needs `kagglehub.login()`."
        ) from error
