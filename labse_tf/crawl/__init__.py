"""Bitext from a crawl: stages of shard files, run in this process or by Apache Spark."""
