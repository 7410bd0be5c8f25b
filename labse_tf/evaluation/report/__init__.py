"""Reports of evaluations: a page, a text, a picture."""
