import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import resvg_py
from hypothesis import given
from hypothesis import strategies as st

from punie.cli.pictures import write_pictures
from punie.errors import InputError
from punie.records.comparison import Bucket, Difference, LatencyComparison
from punie.records.duel import DuelSlice
from punie.records.summary import Estimate, Spread
from punie.reporting.arms_chart import Arms, arms_cell, arms_chart
from punie.reporting.comparison_charts import charts_of_comparison
from punie.reporting.flips_chart import flips_bar, flips_chart
from punie.reporting.forest_chart import (
    Line,
    forest_axis,
    forest_cell,
    forest_chart,
    lines_of,
    scale_of,
)
from punie.reporting.latency_chart import latency_chart
from punie.reporting.png import png_of
from punie.reporting.svg import Chart
from punie.reporting.win_chart import win_cell, win_chart
from synthetic_comparison import a_compared, paired_rows

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</svg><script>alert(1)</script> "quoted" & \x00\x1b[31m \u202e \ud800 ]]>'
MIDDLING = Estimate(value=0.5, low=0.3, high=0.7, n=20)
GAIN = Difference(value=0.2, low=0.1, high=0.3, n=20, lower=0.12, upper=0.34)
LOSS = Difference(value=-0.2, low=-0.3, high=-0.1, n=20, lower=-0.28, upper=-0.06)
SPREAD = Spread(mean=1.1, median=1.0, p95=2.0, min=0.1, max=9.0, n=20)
TIMES = LatencyComparison(
    base=SPREAD, current=SPREAD, ratio=1.2, low=1.0, high=1.4, lower=1.02, upper=1.38, n=20
)
WON = DuelSlice(name="overall", wins=3, losses=2, ties=1, win_rate=MIDDLING)
COUNTS = dict(zip(Bucket, (3, 4, 5, 6), strict=True))
SCALE = scale_of([GAIN, LOSS], 0.05)

CHARTS: dict[str, Callable[[str, bool], str]] = {
    "forest": lambda label, alone: forest_chart(
        [Line(label, GAIN, label, whole=True), Line(label), Line(label, None, "")],
        margin=0.05,
        title=label,
        standalone=alone,
    ),
    "forest cell": lambda label, _: forest_cell(LOSS, SCALE, margin=0.05, label=label),
    "arms": lambda label, alone: arms_chart(
        [Arms(label, MIDDLING, None), Arms(label, None, MIDDLING)],
        names=(label, label),
        title=label,
        standalone=alone,
    ),
    "arms cell": lambda label, _: arms_cell(MIDDLING, None, label=label),
    "flips": lambda label, alone: flips_chart(COUNTS, title=label, standalone=alone),
    "latency": lambda label, alone: latency_chart(TIMES, title=label, standalone=alone),
    "wins": lambda label, alone: win_chart(
        [WON.model_copy(update={"name": label})], title=label, standalone=alone
    ),
    "win cell": lambda label, _: win_cell(WON.model_copy(update={"name": label})),
}


def parse(written: str) -> ET.Element:
    named = written.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ET.fromstring(written if "xmlns" in written else named)


def words_in(written: str) -> list[str]:
    return [each.text or "" for each in parse(written).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("alone", [False, True])
def test_a_chart_is_well_formed_titled_and_inert_whatever_its_labels(name: str, *, alone: bool):
    root = parse(CHARTS[name](HOSTILE, alone))
    title = root.find(f"{SVG}title")
    assert title is not None
    assert "<script>alert(1)</script>" in (title.text or "")
    assert root.get("aria-label") == title.text
    allowed = {"svg", "title", "style", "rect", "line", "circle", "text", "polygon", "g"}
    allowed |= {"defs", "pattern"}
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= allowed
    assert not [key for each in root.iter() for key in each.attrib if key in {"style", "onload"}]


def test_a_forest_says_in_text_what_it_draws():
    comparisons = a_compared(paired_rows(60)).comparisons
    drawn = forest_chart(lines_of(comparisons), margin=0.05, title="Difference")
    words = words_in(drawn)
    assert {"overall", "Category", "tool_calling", "Role", "Other suites", "guard suite"} <= set(
        words
    )
    assert "better" in words
    assert "too few prompts to tell" in words
    assert any("a loss of 5 points" in each for each in words)
    # The overall difference is a diamond among discs.
    assert len(list(parse(drawn).iter(f"{SVG}polygon"))) == 1


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8), st.floats(0, 1))
def test_every_interval_zero_and_the_margin_lie_on_the_scale(
    values: Sequence[float], margin: float
):
    found = [
        Difference(
            value=each,
            low=max(-1, each - 0.1),
            high=min(1, each + 0.1),
            n=9,
            lower=each,
            upper=each,
        )
        for each in values
    ]
    scale = scale_of(found, margin)
    ends = [0.0, -margin, *(end for each in found for end in (each.low, each.high))]
    assert all(scale.low <= end <= scale.high for end in ends)
    assert 1 <= len(scale.ticks()) <= 8
    parse(forest_axis(scale, margin=margin))


def test_all_differences_zero_and_no_margin_still_make_a_scale():
    still = Difference(value=0, low=0, high=0, n=9, lower=0, upper=0)
    scale = scale_of([still, None], 0)
    assert scale.low < 0 < scale.high
    parse(forest_cell(still, scale, margin=0, label="none"))


def test_flips_are_told_apart_without_colour():
    drawn = flips_chart(COUNTS, title="Flips")
    assert {"3 regressed", "4 fixed", "5 still failing", "6 unchanged"} <= set(words_in(drawn))
    striped = [each.get("fill") for each in parse(drawn).iter(f"{SVG}rect") if each.get("fill")]
    assert set(striped) == {"url(#stripes-regressed)", "url(#stripes-failing)"}


def test_a_bar_of_flips_is_as_wide_as_its_counts():
    bar = parse(flips_bar(COUNTS | {Bucket.STILL_PASSING: 0}))
    widths = [
        float((each.get("width") or "").rstrip("%"))
        for each in bar.iter(f"{SVG}rect")
        if not each.get("fill")
    ]
    assert widths == pytest.approx([25, 100 / 3, 125 / 3], abs=1e-3)
    assert "track" in flips_bar({})


def test_a_slowest_answer_far_out_is_named_and_not_drawn_to_scale():
    words = words_in(latency_chart(TIMES, title="Latency"))
    assert words.count("→ 9.00 s") == 2
    assert (
        "A prompt takes 1.20 times as long [1.00 to 1.40], by the median over 20 prompts" in words
    )
    near = TIMES.model_copy(update={"base": SPREAD.model_copy(update={"max": 2.5})})
    assert "2.50 s" in words_in(latency_chart(near, title="Latency"))


def test_times_of_zero_are_drawn():
    still = Spread(mean=0, median=0, p95=0, min=0, max=0, n=1)
    none = TIMES.model_copy(update={"base": still, "current": still, "n": 1})
    assert any("1 prompt" in each for each in words_in(latency_chart(none, title="Latency")))


def test_a_slice_that_no_judge_saw_has_an_empty_bar():
    nothing = DuelSlice(name="prose", wins=0, losses=0, ties=0, faults=2)
    drawn = win_cell(nothing)
    assert "2 not judged" in drawn
    assert "track" in drawn


def test_a_comparison_gives_every_chart_that_it_has():
    compared = a_compared(paired_rows(60))
    charts = charts_of_comparison(compared)
    assert set(charts) == {
        "differences.svg",
        "arms.svg",
        "flips.svg",
        "latency.svg",
        "duel.svg",
    }
    for chart in charts.values():
        root = parse(chart.svg)
        style = root.find(f"{SVG}style")
        assert style is not None
        used = {each.split(")")[0] for each in (style.text or "").split("var(")[1:]}
        assert all(f"{each}:" in (style.text or "") for each in used)
        assert chart.title in root.get("aria-label", "")
    bare = compared.comparisons[0].model_copy(
        update={"score": None, "base_score": None, "current_score": None, "latency": None}
        | {"buckets": {}, "categories": (), "roles": ()}
    )
    assert (
        charts_of_comparison(compared.model_copy(update={"comparisons": (bare,), "duel": None}))
        == {}
    )


def test_charts_become_png_of_twice_their_size(tmp_path: Path):
    charts = charts_of_comparison(a_compared(paired_rows(60)))
    files = write_pictures(charts, svg=tmp_path / "svg", png=tmp_path / "deep" / "png")
    assert len(files) == 2 * len(charts)
    assert (tmp_path / "svg" / "flips.svg").read_text() == charts["flips.svg"].svg
    for name, chart in charts.items():
        picture = (tmp_path / "deep" / "png" / name).with_suffix(".png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", picture[16:24])
        root = parse(chart.svg)
        assert (width, height) == tuple(
            2 * round(float(root.get(each, "0"))) for each in ("width", "height")
        )


def test_a_png_has_the_colours_of_the_light_scheme():
    drawn = charts_of_comparison(a_compared(paired_rows(60)))["flips.svg"].svg
    png = png_of(drawn)
    assert png != png_of(drawn.replace("#0b7468", "#ff0000"))
    assert png == png_of(drawn.replace("#4fc4b2", "#ff0000"))


def test_a_machine_without_fonts_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fontless = partial(resvg_py.svg_to_bytes, skip_system_fonts=True)
    monkeypatch.setattr(resvg_py, "svg_to_bytes", fontless)
    with pytest.raises(InputError, match="no font on this machine") as caught:
        write_pictures({"a.svg": Chart("a", "<svg/>")}, svg=None, png=tmp_path)
    assert "fonts-dejavu-core" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


NO_RESVG = """
import sys
sys.modules["resvg_py"] = None
from pathlib import Path
from punie.cli.pictures import write_pictures
from punie.errors import InputError
from punie.reporting.svg import Chart
try:
    write_pictures({"a.svg": Chart("a", "<svg/>")}, svg=None, png=Path(sys.argv[1]))
except InputError as error:
    print(error.hint)
"""


def test_without_the_renderer_its_command_is_named(tmp_path: Path):
    told = subprocess.run(
        [sys.executable, "-c", NO_RESVG, tmp_path], capture_output=True, text=True, check=True
    )
    assert told.stdout == "pip install 'punie[png]', or --svg FOLDER\n"


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken"):
        write_pictures({"a.svg": Chart("a", "<svg/>")}, svg=tmp_path / "taken", png=None)
