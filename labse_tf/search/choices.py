"""Names of margins and of directions; without TensorFlow, for command lines."""

MARGINS = ("absolute", "distance", "ratio")
DIRECTIONS = ("forward", "backward", "mutual", "max")
NEIGHBOURS = 4  # as in LASER
