"""Lead names, the order of leads, derived leads, and the four identities."""

import numpy as np
import pytest

from hemometric.ecg import INDEPENDENT_LEADS, LEADS
from hemometric.waveform import canonical_lead, limb_lead_residuals, standard_leads


@pytest.fixture
def signal12() -> np.ndarray:
    """Twelve leads that obey every identity: eight random walks and their sums."""
    generator = np.random.default_rng(1)
    eight = np.cumsum(generator.normal(0, 0.05, (8, 2000)), axis=1)
    one, two = eight[0], eight[1]
    limbs = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([limbs, eight[2:]]).astype(np.float32)


@pytest.mark.parametrize("lead", LEADS)
def test_every_spelling_of_a_lead_is_known(lead: str) -> None:
    for name in (
        lead,
        lead.upper(),
        lead.lower(),
        f"  {lead} ",
        f"MDC_ECG_LEAD_{lead}",
        f"mdc_ecg_lead_{lead.upper()}",
    ):
        assert canonical_lead(name) == lead, name
    for name in (f"Lead {lead}", f"LEAD_{lead}", f"ECG {lead}", f"lead: {lead}", f"ecg-{lead}", f"ECG - {lead}"):
        assert canonical_lead(name) == lead, name


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("DI", "I"),
        ("dii", "II"),
        ("D3", "III"),
        ("C1", "V1"),
        ("aV R", "aVR"),
        ("AVF", "aVF"),
        ("V 4", "V4"),
        ("v_6", "V6"),
    ],
)
def test_other_names_of_the_same_electrodes(name: str, lead: str) -> None:
    assert canonical_lead(name) == lead


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "-aVR",
        "Lead -aVR",
        "MDC_ECG_LEAD_-aVR",
        "MLII",
        "VR",
        "V",
        "V7",
        "V3R",
        "V10",
        "vx",
        "X",
        "I filtered",
        "ECG I filtered",
        "IIII",
        "1",
        "ABP",
        "V-1",
        "a",
    ],
)
def test_what_is_not_that_lead_is_not_taken_for_it(name: str) -> None:
    assert canonical_lead(name) is None


def test_permuted_leads_come_back_in_order(signal12: np.ndarray) -> None:
    order = np.random.default_rng(2).permutation(12)
    ordered, present = standard_leads(signal12[order], [LEADS[row].upper() for row in order])
    np.testing.assert_array_equal(ordered, signal12)
    assert present.all()


def test_leads_of_other_names_are_left_out(signal12: np.ndarray) -> None:
    with_frank = np.concatenate([signal12[:1] * 0 + 9, signal12])
    ordered, present = standard_leads(with_frank, ["vx", *LEADS])
    np.testing.assert_array_equal(ordered, signal12)
    assert present.all()


def test_eight_leads_become_twelve(signal12: np.ndarray) -> None:
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    ordered, present = standard_leads(signal12[rows], INDEPENDENT_LEADS)
    np.testing.assert_allclose(ordered, signal12, atol=2e-6)
    assert present.all()


@pytest.mark.parametrize("absent", ["I", "II", "III"])
def test_two_of_the_three_give_the_third(signal12: np.ndarray, absent: str) -> None:
    names = [lead for lead in LEADS if lead != absent]
    ordered, present = standard_leads(signal12[[LEADS.index(lead) for lead in names]], names)
    np.testing.assert_allclose(ordered, signal12, atol=2e-6)
    assert present.all()


def test_a_lead_that_is_there_is_never_replaced(signal12: np.ndarray) -> None:
    signal12[4] = 7.0
    ordered, _ = standard_leads(signal12, LEADS)
    assert (ordered[4] == 7.0).all()


def test_absent_leads_are_nan_rows(signal12: np.ndarray) -> None:
    ordered, present = standard_leads(signal12[[0, 6]], ["I", "V1"])
    assert present.tolist() == [lead in ("I", "V1") for lead in LEADS]
    assert np.isnan(ordered[~present]).all()
    assert ordered.dtype == np.float32


def test_a_lead_that_stands_twice_is_an_error(signal12: np.ndarray) -> None:
    with pytest.raises(ValueError, match="lead I stands twice"):
        standard_leads(signal12[:2], ["I", "DI"])
    with pytest.raises(ValueError, match="shape"):
        standard_leads(signal12, ["I"])


def test_right_leads_leave_no_residual(signal12: np.ndarray) -> None:
    residuals = limb_lead_residuals(signal12)
    assert set(residuals) == {"III", "aVR", "aVL", "aVF"}
    assert max(residuals.values()) < 1e-5


@pytest.mark.parametrize(
    ("first", "second", "contradicted"),
    [
        ("aVR", "aVL", {"aVR", "aVL"}),  # III = II - I still holds, and so does aVR + aVL + aVF = 0
        ("aVL", "aVF", {"aVL", "aVF"}),
        ("III", "aVF", {"III", "aVF"}),
        ("I", "II", {"III", "aVL", "aVF"}),
        ("II", "III", {"III", "aVR", "aVL", "aVF"}),
    ],
)
def test_each_identity_speaks_for_itself(signal12: np.ndarray, first: str, second: str, contradicted: set[str]) -> None:
    rows = [LEADS.index(first), LEADS.index(second)]
    signal12[rows] = signal12[rows[::-1]]
    residuals = limb_lead_residuals(signal12)
    assert {lead for lead, residual in residuals.items() if residual > 0.01} == contradicted


def test_residuals_ignore_offsets_gaps_and_single_spikes(signal12: np.ndarray) -> None:
    signal12[2] += 20.0
    signal12[3, 100:400] = np.nan
    signal12[4, 1000] = 300.0
    assert max(limb_lead_residuals(signal12).values()) < 1e-4
    signal12[0] = np.nan
    assert limb_lead_residuals(signal12) == {}
