"""AdamW, learning rate schedules, and the summing and clipping of gradients."""
