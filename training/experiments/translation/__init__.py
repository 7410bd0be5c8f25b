"""Translation models trained on mined pairs: python -m training.experiments.translation --help"""
