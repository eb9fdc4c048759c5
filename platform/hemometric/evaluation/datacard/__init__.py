"""The data card of a corpus: `count_corpus` reads its columns, `data_card` makes a report of the counts."""

from hemometric.evaluation.datacard.answers import Answers
from hemometric.evaluation.datacard.card import data_card
from hemometric.evaluation.datacard.census import Census, count_corpus
from hemometric.evaluation.datacard.small_cells import LEAST, SmallCells

__all__ = ["LEAST", "Answers", "Census", "SmallCells", "count_corpus", "data_card"]
