"""WARC files made by hand, and by warcio where it is another library's word that counts."""

import gzip


def record(kind: str, url: str, content: bytes, content_type: str = "text/plain") -> bytes:
    """A WARC record, as ISO 28500 has it."""
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
        "WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-000000000001>\r\n"
        "WARC-Date: 2020-01-01T00:00:00Z\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return header.encode() + content + b"\r\n\r\n"


def page(url: str, html: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    """A response with a page of HTML."""
    http = f"HTTP/1.1 {status}\r\nContent-Type: text/html{headers}\r\n\r\n".encode()
    return record("response", url, http + html, "application/http; msgtype=response")


def wet(*texts: str) -> list[bytes]:
    """Conversions of pages http://0, http://1..."""
    return [record("conversion", f"http://{i}", text.encode()) for i, text in enumerate(texts)]


def gzipped(records: list[bytes]) -> list[bytes]:
    """A gzip member for each record."""
    return [gzip.compress(record, mtime=0) for record in records]
