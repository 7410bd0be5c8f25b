"""Translation pairs cleaned, filtered, scored, and written as shards."""
