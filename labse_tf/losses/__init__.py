"""Losses of translation ranking and of masked language modelling."""
