"""Sentences on a command line: themselves, or the files that have them."""

from __future__ import annotations

from collections.abc import Iterator

from labse_tf.files.lines import read_lines

HELP = "a sentence, @FILE for the lines of a file, or @- for stdin; @@ is an @ at the start"


def given_sentences(argument: str) -> Iterator[str]:
    """The sentences of an argument.

    Args:
        argument: "@FILE" for the lines of a file, "@-" for those of standard input; "@@..." for a
            sentence that begins with one @; else a sentence.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as of `read_lines`.
    """
    if not argument.startswith("@"):
        yield argument
    elif argument.startswith("@@"):
        yield argument[1:]
    else:
        try:
            yield from read_lines(argument[1:])
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"There is no file {argument[1:]!r}. For a sentence that begins with @, write @@."
            ) from error
