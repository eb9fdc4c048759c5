"""Questions that a data card answers, and those that only people can answer.

That a data set should come with such answers is the idea of Gebru et al., "Datasheets for Datasets" (2021);
questions and answers are our own.
"""

from __future__ import annotations

from hemometric.config import Config
from hemometric.evaluation.datacard.census import Census
from hemometric.evaluation.datacard.small_cells import SmallCells
from hemometric.evaluation.datacard.words import percent

OPEN = "Not known to hemometric: whoever hands the corpus on must answer this (hemometric card --answers FILE)."


class Answers(Config):
    """What people say of a corpus that its columns cannot; empty where nobody has.

    Attributes
    ----------
    purpose, makers, selection, collection, consent, known_uses, licence, contact : str
        One answer each, in paragraphs parted by empty lines; `QUESTIONS` has the questions.
    """

    purpose: str = ""
    makers: str = ""
    selection: str = ""
    collection: str = ""
    consent: str = ""
    known_uses: str = ""
    licence: str = ""
    contact: str = ""


QUESTIONS = {
    "purpose": "What was the archive gathered for, and why was the corpus made?",
    "makers": "Who made it, for whom, and who paid?",
    "selection": "Which patients and ECGs of the hospital are in it, and which are not?",
    "collection": "On which devices, by whom and how were the ECGs and the labels taken?",
    "consent": "Who allowed its use: patients, an ethics committee, the data's owner; and how can that be revoked?",
    "known_uses": "What has it been used for?",
    "licence": "Under which terms may it be used and handed on?",
    "contact": "Who answers questions, mends mistakes and removes patients who ask for it?",
}


def answered(census: Census, answers: Answers, small: SmallCells) -> tuple[tuple[str, str], ...]:
    """Give questions with answers: what the corpus tells itself, then what people were asked."""
    asked = tuple((question, getattr(answers, name).strip() or OPEN) for name, question in QUESTIONS.items())
    return (*_told(census, small), *asked)


def _told(census: Census, small: SmallCells) -> tuple[tuple[str, str], ...]:
    counts = census.corpus.manifest.counts
    several = sum(num for recordings, num in census.repeats.patients.items() if recordings > 1)
    part = percent(several, census.num_patients) if small.shows(several) else "Few"
    depend = (
        f"Yes. {part} of the patients have two ECGs or more." if several else "No patient is known to have two ECGs."
    )
    told = {
        "What is one row?": (
            "One resting ECG of one patient: integer counts of its leads with their scale, sampling rate and length; "
            "pseudonyms of recording and patient; split; age, sex, site and time where known; labels; quality flags "
            "and figures."
        ),
        "Is anything missing?": (
            f"{percent(counts.accepted, counts.found)} of the recordings that were found are in it; the others are "
            "counted above by reason. Values that are not known are absent, never filled in."
        ),
        "Do rows depend on each other?": (
            f"{depend} Splits, intervals and tests must go by patient, as those of hemometric do."
        ),
        "Are there errors in it?": (
            "Surely. Gates refuse what cannot be an ECG, flags mark what is odd, and neither reads a diagnosis. Labels "
            "are as the joined tables have them, but for values out of range."
        ),
        "Is anything needed from elsewhere?": (
            "No. The corpus is a folder of Parquet files with a manifest that holds their hashes; hemometric verify "
            "checks them all. The pseudonym key is needed only to add to it or to find a patient again."
        ),
        "What was done to the signals, and can it be undone?": (
            "Nothing: resampling, filters and the order of leads are applied when they are read, and recorded with "
            "each model."
        ),
        "What should it not be used for?": (
            "Diagnosis, triage or treatment of anybody; finding out who a patient is; claims on hospitals, devices or "
            "groups of patients that are not in it, or of which it holds few."
        ),
        "Will it change?": (
            "hemometric ingest adds new and changed sources; patients stay in their splits. hemometric remove takes "
            "out who withdraws. The corpus hash below names this state of it, and a new card belongs to a new state."
        ),
    }
    return tuple(told.items())
