"""Bundled real ECGs and the steps of `make demo`."""
