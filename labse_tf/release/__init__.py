"""The release format: one SavedModel, how it is written, read back and verified."""
