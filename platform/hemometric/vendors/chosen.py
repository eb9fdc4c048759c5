"""Which signals of a file are standard leads, decided alike for every format."""

from __future__ import annotations

from collections.abc import Sequence

from hemometric.vendors.source import ReadError


def chosen_leads(leads: Sequence[str | None]) -> dict[int, str]:
    """Choose the signals that are standard leads; all others are left out.

    Parameters
    ----------
    leads : sequence of str or None
        For each signal, the standard lead that its name or code means (`waveform.canonical_lead`), None for others.

    Returns
    -------
    dict of int to str
        From a signal's place to its lead.

    Raises
    ------
    ReadError
        ``duplicate_lead`` where a lead stands twice, ``no_standard_lead`` where there is none.
    """
    chosen: dict[int, str] = {}
    for place, lead in enumerate(leads):
        if lead in chosen.values():
            raise ReadError("duplicate_lead", f"lead {lead} stands twice")
        if lead is not None:
            chosen[place] = lead
    if not chosen:
        raise ReadError("no_standard_lead", f"none of its {len(leads)} signals is named as a standard lead")
    return chosen
