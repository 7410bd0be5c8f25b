"""Models in other formats, and with fewer word pieces."""
