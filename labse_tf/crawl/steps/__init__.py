"""What the stages of a crawl do to bytes and arrays; nothing here knows an engine or a work folder."""
