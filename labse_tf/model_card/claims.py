"""What a publisher says of a model: what no file of it and no measurement can tell."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from labse_tf.tokenization.scripts import canonical_code, scripts_of

TF_HUB = "https://tfhub.dev/"
# As TF-Hub's validator has them (tensorflow/tfhub.dev, tools/validator.py).
_PUBLISHER = re.compile(r"[a-z0-9-]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_ASSET = re.compile(r"https?://\S+\.tar\.gz")
_NOT_FETCHED = re.compile(r"https://github\.com/.*/releases/download/.*")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Claims:
    """The publisher's part of a model card.

    Args:
        publisher: on TF-Hub: small letters, digits and dashes.
        name: of the model there; parts may be parted by "/".
        license: the identifier that Hugging Face has for it, as "apache-2.0"; "other" for another.
        languages: ISO 639-1 or 639-3 codes of the languages that the model is for. Kept as one
            code a language (`labse_tf.tokenization.scripts.canonical_code`).
        asset_paths: addresses of `.tar.gz` archives: of the release; or of the encoder and of the
            preprocessor.
        version: from 1 on.
        datasets: names of what it was trained on; none if that is not known.
        test_sets_excluded: whether the sentences of the benchmarks were left out of the training.
        limitations: what it is not good for, besides what its files and figures tell.
        description: one line; None for one that is made of the model's facts.
        change_log: Markdown without headings; None says that it is the first version.
        repository: on Hugging Face; None for PUBLISHER/NAME.

    Raises:
        ValueError: one of them is not as it must be; the message says how that is.
    """

    publisher: str
    name: str
    license: str
    languages: tuple[str, ...]
    asset_paths: tuple[str, ...]
    version: int = 1
    datasets: tuple[str, ...] = ()
    test_sets_excluded: bool = False
    limitations: tuple[str, ...] = ()
    description: str | None = None
    change_log: str | None = None
    repository: str | None = None

    def __post_init__(self):
        self._check_name()
        for path in self.asset_paths:
            _check(_ASSET, "asset_paths", path, "must be the address of a .tar.gz archive")
            if _NOT_FETCHED.fullmatch(path):
                raise ValueError(
                    f"`asset_paths`: GitHub lets no machine fetch {path!r}, so that TF-Hub refuses "
                    "it. Put the archive elsewhere."
                )
        wanted = "must be an identifier of Hugging Face's, in small letters, as 'apache-2.0'"
        _check(_LICENSE, "license", self.license, wanted)
        if not self.languages:
            raise ValueError("`languages` is empty: name those that the model is for.")
        codes = tuple(dict.fromkeys(map(canonical_code, self.languages)))
        for code in codes:
            _check(_LANGUAGE, "languages", code, "must be an ISO 639-1 or 639-3 code, as 'fr'")
        object.__setattr__(self, "languages", codes)
        for field in ("datasets", "limitations", "description"):
            self._set_lines(field)
        self._check_change_log()
        if self.repository is None:
            repository = f"{self.publisher}/{self.name.replace('/', '-')}"
            object.__setattr__(self, "repository", repository)
        _check(_REPOSITORY, "repository", self.repository, "must be OWNER/NAME")

    @property
    def handle(self) -> str:
        return f"{self.publisher}/{self.name}/{self.version}"

    @property
    def preprocessor_handle(self) -> str:
        return f"{self.publisher}/{self.name}-preprocess/{self.version}"

    def check_languages(self, measured: set[str]) -> None:
        """ValueError unless each language is one of LaBSE's or was measured: it may be a typo."""
        for code in self.languages:
            if code not in measured:
                try:
                    scripts_of(code)
                except ValueError as error:
                    raise ValueError(
                        f"`languages`: {error} Another one can be claimed if it was measured, but "
                        "no evaluation has it."
                    ) from error

    def _check_name(self) -> None:
        wanted = "may hold small letters, digits and dashes alone, by TF-Hub's rules"
        _check(_PUBLISHER, "publisher", self.publisher, wanted)
        wanted = "may hold letters, digits, dots, dashes and _ alone, parted by /"
        _check(_NAME, "name", self.name, wanted)
        if any(not part.strip(".") for part in self.name.split("/")):
            raise ValueError(f"`name` (={self.name!r}) has a part of nothing but dots.")
        if self.version < 1:
            raise ValueError(f"`version` (={self.version}) must be at least 1.")

    def _set_lines(self, field: str) -> None:
        """Makes one line of each text; none may be empty."""
        value = getattr(self, field)
        if value is None:
            return
        texts = [" ".join(text.split()) for text in ([value] if isinstance(value, str) else value)]
        if not all(texts) or any(text.startswith(("#", "<!--")) for text in texts):
            raise ValueError(
                f"`{field}` (={value!r}) must be text, neither empty nor with # or <!-- in front."
            )
        object.__setattr__(self, field, texts[0] if isinstance(value, str) else tuple(texts))

    def _check_change_log(self) -> None:
        if self.change_log is None:
            if self.version > 1:
                raise ValueError(
                    f"`version` is {self.version}: say in a change log what changed since version "
                    f"{self.version - 1}."
                )
            object.__setattr__(self, "change_log", "Version 1: the first version.")
        lines = self.change_log.strip().splitlines()
        if not lines or any(line.startswith("#") for line in lines):
            found = "is empty" if not lines else "has a line that begins with #"
            raise ValueError(f"The change log {found}: write paragraphs or lists, no headings.")
        object.__setattr__(self, "change_log", self.change_log.strip())


def listed(texts: Sequence[str]) -> str:
    """Texts as a list in a sentence."""
    return ", ".join(texts[:-1]) + " and " + texts[-1] if len(texts) > 1 else "".join(texts)


def _check(pattern: re.Pattern, field: str, value: str, wanted: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"`{field}` (={value!r}) {wanted}.")
