import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import hemometric
from hemometric.ecg import LEADS
from hemometric.errors import UsageError
from hemometric.evaluation.page import PAGE_DPI, ecg_page, page_bytes, save_page

RECORD = Path(hemometric.__file__).parent / "demo/data/ptbxl/records500/00000/00001_hr.dat"


def real_ecg():
    """PTB-XL record 1: 500 Hz, 1000 counts a millivolt, format 16."""
    return np.fromfile(RECORD, dtype="<i2").reshape(-1, 12).T.astype(np.float32) / 1000


def lines(figure, gid):
    return [line for line in figure.axes[0].lines if line.get_gid() == gid]


def text(figure):
    return [written.get_text() for written in figure.axes[0].texts]


def dark_pixels(figure):
    """[height, width] bool of the page at 10 pixels a millimetre, row 0 at the top."""
    image = np.asarray(Image.open(io.BytesIO(page_bytes(figure, "png", PAGE_DPI))).convert("L"))
    return image < 90


def test_the_page_is_a4_and_one_unit_is_one_millimetre():
    figure = ecg_page(real_ecg(), 500)
    FigureCanvasAgg(figure)
    assert figure.get_size_inches() * 25.4 == pytest.approx([297, 210])
    figure.set_dpi(PAGE_DPI)
    origin, corner = figure.axes[0].transData.transform([(0, 0), (297, 210)])
    assert corner - origin == pytest.approx([2970, 2100])


def test_calibration_pulse_is_10_mm_high_and_5_mm_wide_in_the_picture():
    figure = ecg_page(np.full((12, 5000), np.nan), 500)
    dark = dark_pixels(figure)
    # The pulses are the only long vertical strokes on a page without signal: their ends are 5 mm and 10 mm apart.
    x, y = lines(figure, "pulse-0")[0].get_data()
    assert (max(y) - min(y), x[3] - x[1]) == pytest.approx((10, 5))
    left, right = round(x[1] * 10), round(x[3] * 10)
    top, bottom = 2100 - round(max(y) * 10), 2100 - round(min(y) * 10)
    for column in (left, right):
        assert dark[top:bottom, column - 2 : column + 3].any(axis=1).all()
    assert dark[top - 2 : top + 3, left:right].any(axis=0).all()
    assert not dark[top + 5 : bottom - 5, left + 5 : right - 5].any()
    assert not dark[: top - 5, left - 20 : right + 20][-60:].any()


def test_grid_has_a_line_each_millimetre():
    page = np.asarray(Image.open(io.BytesIO(page_bytes(ecg_page(np.full((12, 5000), np.nan), 500)))).convert("RGB"))
    green = page[2100 - 195, :, 1].astype(int)
    row = green[110:2860]
    is_line = row < 250
    starts = np.flatnonzero(is_line[1:] & ~is_line[:-1])
    assert np.median(np.diff(starts)) == 10
    assert 265 <= len(starts) <= 276


def test_a_millivolt_is_10_mm_and_a_second_25_mm():
    ecg = real_ecg()
    figure = ecg_page(ecg, 500)
    x, y = lines(figure, "rhythm")[0].get_data()
    assert x[-1] - x[0] == pytest.approx(250, abs=0.1)
    expected = 10 * (ecg[1] - np.median(ecg[1]))
    np.testing.assert_allclose(y - np.median(y), expected[: len(y)], atol=1e-3)
    half = ecg_page(ecg, 500, gain_mm_per_mv=5)
    assert np.ptp(lines(half, "rhythm")[0].get_ydata()) == pytest.approx(np.ptp(y) / 2)
    assert any("5 mm/mV" in line for line in text(half))


def test_each_lead_shows_its_own_quarter_and_touches_the_next():
    ecg = real_ecg()
    figure = ecg_page(ecg, 500)
    ends = {}
    for position, lead in enumerate(LEADS):
        (line,) = lines(figure, f"lead-{lead}")
        x, y = line.get_data()
        column = position // 3
        first = column * 1250
        assert len(x) == (1251 if column < 3 else 1250)
        trace = 10 * (ecg[position] - np.median(ecg[position]))[first : first + len(x)]
        np.testing.assert_allclose(y - y[0], trace - trace[0], atol=1e-3)
        ends[lead] = (x[0], x[-1])
    assert ends["I"][1] == pytest.approx(ends["aVR"][0])
    assert ends["V1"][0] - ends["I"][0] == pytest.approx(125)
    assert set(LEADS) <= set(text(figure))


def test_a_missing_lead_says_so_and_a_gap_stays_a_gap():
    ecg = real_ecg()
    ecg[LEADS.index("V2")] = np.nan
    ecg[LEADS.index("I"), 200:300] = np.nan
    figure = ecg_page(ecg, 500)
    assert text(figure).count("no signal") == 1
    assert lines(figure, "lead-V2") == []
    assert np.isnan(lines(figure, "lead-I")[0].get_ydata()).sum() == 100
    assert text(ecg_page(np.full((12, 5000), np.nan), 500)).count("no signal") == 13


@pytest.mark.parametrize("num_samples", [1, 10, 400, 940])
def test_a_short_recording_starts_each_column_at_its_beginning(num_samples):
    ecg = real_ecg()[:, ::5][:, :num_samples]
    figure = ecg_page(ecg, 100)
    assert any("each column starts at 0 s" in line for line in text(figure))
    for position, lead in enumerate(LEADS):
        _, y = lines(figure, f"lead-{lead}")[0].get_data()
        assert len(y) == min(num_samples, 251)
        trace = 10 * ecg[position, : len(y)]
        np.testing.assert_allclose(y - y[0], trace - trace[0], atol=1e-3)
    assert page_bytes(figure, dpi=50)


def test_a_long_recording_says_what_is_shown():
    figure = ecg_page(np.tile(real_ecg(), 3), 500)
    assert any("first 10 s of 30.0 s" in line for line in text(figure))
    assert any("500 Hz" in line and "25 mm/s" in line and "10 mm/mV" in line for line in text(figure))


def test_titles_are_shown_as_they_are():
    figure = ecg_page(real_ecg(), 500, "cost $5_{x}$", ["63 years", "male"])
    assert "cost $5_{x}$" in text(figure)
    assert any("63 years" in line and "male" in line for line in text(figure))
    page_bytes(figure, dpi=50)


@pytest.mark.parametrize("tall_mv", [0.0, 1.3, 2.0])
def test_no_lead_s_name_lies_on_a_trace(tall_mv):
    """Tall complexes at the start of every lead, where its name usually stands, and a neighbour's in the same row."""
    ecg = real_ecg()
    for start in range(0, 5000, 1250):
        ecg[:, start + 100 : start + 120] += tall_mv
    figure = ecg_page(ecg, 500)
    FigureCanvasAgg(figure)
    axes = figure.axes[0]
    traces = [line for lead in LEADS for line in lines(figure, f"lead-{lead}")] + lines(figure, "rhythm")
    names = [written for written in axes.texts if written.get_text() in LEADS]
    assert len(names) == 13
    for written in names:
        inked = written.get_window_extent().transformed(axes.transData.inverted())
        for trace in traces:
            x, y = trace.get_data()
            near = (x > inked.x0 - 1) & (x < inked.x1 + 1)
            assert not ((y[near] > inked.y0) & (y[near] < inked.y1)).any(), written.get_text()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_saved_pages_are_whole_and_the_same_each_time(tmp_path, suffix):
    first = save_page(ecg_page(real_ecg(), 500, "One"), tmp_path / "new" / f"a{suffix}", dpi=60)
    second = save_page(ecg_page(real_ecg(), 500, "One"), tmp_path / f"b{suffix}", dpi=60)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [f"a{suffix}", f"b{suffix}"]


def test_a_png_holds_its_scale(tmp_path):
    with Image.open(save_page(ecg_page(real_ecg(), 500), tmp_path / "page.png")) as image:
        assert image.size == (2970, 2100)
        assert image.info["dpi"] == pytest.approx((254, 254), abs=0.1)


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"\(5000, 12\); expected \[12, sample\]"):
        ecg_page(real_ecg().T, 500)
    with pytest.raises(ValueError, match="infinity"):
        ecg_page(np.full((12, 10), np.inf), 500)
    with pytest.raises(ValueError, match="rate_hz=0"):
        ecg_page(real_ecg(), 0)
    with pytest.raises(UsageError, match=r"page\.jpg: an ECG page is written as"):
        save_page(ecg_page(real_ecg(), 500), tmp_path / "page.jpg")
    assert list(tmp_path.iterdir()) == []
