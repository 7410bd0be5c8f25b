"""The command line: `labse`, and flags from dataclasses."""
