"""What the stages of a crawl do to bytes and arrays; they know no engine and no folder."""
