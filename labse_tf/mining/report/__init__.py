"""The report of a mining run: a page and a table."""
