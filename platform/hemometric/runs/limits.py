"""What limits the findings of a report: sentences made of its facts, and never of a config's good will."""

from __future__ import annotations

from hemometric.corpus import Corpus
from hemometric.encoders import Model
from hemometric.runs.studies import Study
from hemometric.runs.study_rows import Rows

FEW_PATIENTS = 100
"""Below it, the interval of an AUROC of 0.8 is still about 0.2 wide (Hanley and McNeil 1982)."""

ALWAYS = (
    "For research: this is no medical device, and no estimate may guide the care of a patient.",
    "Intervals are of these test patients only: another hospital, device, population or training may lie outside them.",
    "The strongest control is chosen by its score on the test split itself, to the disadvantage of the models.",
)


def limits_of(study: Study, rows: Rows, corpus: Corpus, encoder: Model, predictor: Model | None) -> list[str]:
    """Say what limits one study: its patients, where its labels are from, what was left out of it."""
    found = [_counted(rows)]
    if study.reachable is not None:
        found.append(
            "The ECGs are synthetic and what is estimated was planted in them: the scores say how much of it was "
            "found again, and nothing of any patient."
        )
    else:
        models = {"encoder": encoder} | ({} if predictor is None else {"predictor": predictor})
        found += [told for name, model in models.items() if (told := _training_corpus(name, model, corpus))]
    if rows.num_refused:
        found.append(
            f"{rows.num_refused:,} of {rows.num_refused + len(rows.table):,} recordings of the corpus are left out for "
            "all systems, because a model's preparation refused them."
        )
    return [f"{study.name}: {sentence[0].lower()}{sentence[1:]}" for sentence in found]


def _counted(rows: Rows) -> str:
    test = rows.mask("test")
    num = len(set(rows.column("patient")[test].tolist()))
    sites = {site for site in rows.column("site")[test].tolist() if site is not None}
    where = {0: "their sites are not recorded", 1: "all of one site"}.get(len(sites), f"of {len(sites)} sites")
    few = "; with so few, only large differences can be told from chance" if num < FEW_PATIENTS else ""
    return f"The test split holds {num:,} patients ({int(test.sum()):,} recordings), {where}{few}."


def _training_corpus(name: str, model: Model, corpus: Corpus) -> str:
    theirs = model.description.provenance.get("manifest_hash")
    if theirs == corpus.hash:
        return ""
    trained = "on another corpus" if theirs else "on a corpus that it does not name"
    return f"The {name} was trained {trained}; whether patients of this test split were in it was not checked."
