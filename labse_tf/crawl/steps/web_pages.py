"""Text of a WARC record: of a WET's conversion, or of the HTML of a response (resiliparse)."""

from __future__ import annotations

import io
import logging

from labse_tf.crawl.steps.warc import WarcRecord
from labse_tf.extras import install_hint

_log = logging.getLogger(__name__)
_HTML = ("text/html", "application/xhtml+xml")


def text_of(record: WarcRecord) -> tuple[str, str | None]:
    """The text of a record and None; or "" and the problem.

    What is no text, as an image, has the text "" and no problem.

    Raises:
        ImportError: fastwarc or resiliparse is not installed.
    """
    if record.kind == "conversion":
        try:
            return record.whole[record.start :].decode("utf-8"), None
        except UnicodeDecodeError:
            return "", "invalid UTF-8"
    try:
        from fastwarc.warc import ArchiveIterator
    except ImportError as error:
        raise ImportError(
            f"WARC files need fastwarc and resiliparse: {install_hint('crawl')}."
        ) from error
    if record.kind == "response" and not record.whole.startswith(b"HTTP/", record.start):
        return "", "no HTTP response"
    try:
        page = next(iter(ArchiveIterator(io.BytesIO(record.whole), auto_decode="all")), None)
        if page is None:
            return "", "no HTTP response"
        kind = page.http_content_type or (page.headers.get("Content-Type") or "")
        status = 200 if page.http_headers is None else page.http_headers.status_code
        if status != 200 or not kind.lower().startswith((*_HTML, "text/plain")):
            return "", None
        charset, content = page.http_charset, page.reader.read()
    except (OSError, ValueError) as error:
        _log.debug("byte %d: %s", record.offset, error)
        return "", "no HTTP response"
    text = _decoded(content, charset)
    if text is None:
        return "", "wrong encoding"
    if kind.lower().startswith("text/plain"):
        return text, None
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(text, main_content=True, alt_texts=False, list_bullets=False), None


def _decoded(content: bytes, charset: str | None) -> str | None:
    """Bytes as the header says, else as the page or its bytes say; None if all are wrong."""
    from resiliparse.parse.encoding import detect_encoding

    for encoding in (charset, detect_encoding(content, from_html_meta=True), "utf-8"):
        try:
            if encoding:
                return content.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return None
