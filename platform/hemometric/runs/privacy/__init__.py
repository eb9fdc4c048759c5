"""Proof that words given in confidence stand nowhere in what was written; and what a corpus shows by itself."""
