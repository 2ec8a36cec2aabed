"""The profile's page in a real Chromium: ``make test-browser``. Skipped unless that asks for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("LAPILLI_BROWSER") != "1":
    pytest.skip("browser tests are run by make test-browser", allow_module_level=True)

from chromium import Chromium
from places import DIGITS
from profiles import HOSTILE, digits, hostile, profile_of
from shared_data import shared_data

from lapilli.profile.events import Profile
from lapilli.profile.page import to_html


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    found = Chromium(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


def page(folder: Path, profile: Profile, name: str) -> Path:
    path = folder / f"{name}.html"
    path.write_text(to_html(profile), "utf-8")
    return path


@pytest.fixture
def opened(browser: Chromium, folder: Path) -> Chromium:
    """The digits model's page, loaded anew."""
    browser.open(page(folder, digits(measured=True), "digits"))
    return browser


def column(browser: Chromium, number: int) -> list[str]:
    """What the table has in a column."""
    cells = f"#operators tbody td:nth-child({number})"
    found: list[str] = browser.value(
        f"[...document.querySelectorAll({json.dumps(cells)})].map((c) => c.textContent)"
    )
    return found


def view(browser: Chromium) -> tuple[float, float]:
    """Seconds that the time line shows."""
    drawing = "document.querySelector('#timeline-drawing').dataset"
    return float(browser.value(f"{drawing}.from")), float(browser.value(f"{drawing}.to"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_load_without_complaint_and_fit(
    browser: Chromium, folder: Path, width: int, scheme: str
) -> None:
    models = shared_data() / "models"
    large = profile_of(models / "ssdlite_mobiledet_coco_qat_postprocess.tflite")
    for name, profile in (("digits", digits(True)), ("hostile", hostile()), ("large", large)):
        path = page(folder, profile, name)
        browser.open(path, width, scheme=scheme)
        assert browser.complaints() == []
        assert [url for url in browser.requests() if not url.startswith("file://")] == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        rows = browser.value("document.querySelectorAll('#operators tbody tr').length")
        assert rows == len(profile.operators)
        for drawing in ("timeline", "sram", "tensors", "roofline", "graph"):
            assert browser.value(f"document.querySelector('#{drawing}-drawing').children.length")
        colour = browser.value("getComputedStyle(document.body).backgroundColor")
        assert colour == {"light": "rgb(244, 245, 247)", "dark": "rgb(17, 21, 27)"}[scheme]


def test_tensors_lie_where_and_as_long_as_the_program_says(browser: Chromium, folder: Path) -> None:
    """As high above the ground as their address, and from their first job to their last."""
    profile = digits()
    browser.open(page(folder, profile, "digits"))
    memory, jobs = profile.parts[0].memory, profile.jobs
    assert memory is not None and len(memory.regions) > 3
    boxes = browser.value(
        "[...document.querySelectorAll('#tensors-drawing rect')].map((r) =>"
        " ['x', 'y', 'width', 'height'].map((name) => Number(r.getAttribute(name))))"
    )
    assert len(boxes) == len(memory.regions)
    scale = max(x + width for x, _, width, _ in boxes) - min(x for x, *_ in boxes)
    for region, (_, _, width, height) in zip(memory.regions, boxes, strict=True):
        lasts = jobs[region.last].end - jobs[region.first].start
        assert width == pytest.approx(max(scale * lasts / profile.npu_cycles, 0.6), abs=0.1)
        share = region.size / memory.taken
        assert height == pytest.approx(max(166 * share - 1, 1), abs=0.1)


def test_a_click_on_a_head_sorts_and_another_turns_round(opened: Chromium) -> None:
    order = column(opened, 1)
    by_time = sorted(digits(True).operators, key=lambda op: -(op.seconds or 0))
    opened.click("th button[data-key=seconds]")
    assert column(opened, 1) == [str(op.operators[0]) for op in by_time]
    head = "document.querySelector('th[aria-sort]').getAttribute('aria-sort')"
    assert opened.value(head) == "descending"
    opened.click("th button[data-key=seconds]")
    assert opened.value(head) == "ascending"
    assert column(opened, 1)[0] == str(by_time[-1].operators[0])
    opened.click("th button[data-key=row]")
    assert column(opened, 1) == order


def test_the_filter_leaves_what_has_the_words(opened: Chromium) -> None:
    opened.click("#filter")
    opened.call("Input.insertText", text="depthwise npu")
    assert set(column(opened, 2)) == {"DEPTHWISE_CONV_2D"}
    assert "2 of 11 rows" in opened.value("document.querySelector('#counted').textContent")


def test_wheel_and_keys_and_buttons_zoom_and_move(opened: Chromium) -> None:
    start, end = view(opened)
    x, y = opened.middle("#timeline-drawing")
    opened.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    opened.until(lambda: view(opened)[1] < end)
    closer = view(opened)
    assert start < closer[0] < closer[1] < end
    opened.value("document.querySelector('#timeline-drawing').focus()")
    opened.key("+")
    assert view(opened)[1] - view(opened)[0] == pytest.approx((closer[1] - closer[0]) / 2)
    before = view(opened)
    opened.key("ArrowRight")
    assert view(opened)[0] > before[0]
    assert opened.value("document.querySelector('#sram-drawing').dataset.to") == opened.value(
        "document.querySelector('#timeline-drawing').dataset.to"
    )
    opened.click("button[aria-label='Show all']")
    assert view(opened) == (start, end)
    opened.click("button[aria-label='Zoom in']")
    assert view(opened)[1] - view(opened)[0] == pytest.approx((end - start) / 2)
    assert opened.complaints() == []


def test_dragging_pans(opened: Chromium) -> None:
    opened.click("button[aria-label='Zoom in']")
    before = view(opened)
    x, y = opened.middle("#timeline-drawing")
    opened.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    opened.mouse("mouseMoved", x + 60, y, button="left", buttons=1)
    opened.mouse("mouseReleased", x + 60, y, button="left")
    after = view(opened)
    assert after[0] < before[0]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0])


def test_a_chosen_operator_is_marked_everywhere(opened: Chromium) -> None:
    opened.click("#operators tbody tr:nth-child(3) td")
    marked: Any = opened.value(
        "[...document.querySelectorAll('.chosen')].map((e) => e.dataset.row)"
    )
    assert set(marked) == {"2"} and len(marked) >= 4
    opened.click("#graph .node[data-row='4']")
    assert opened.value("document.querySelector('#operators tr.chosen').dataset.row") == "4"


def test_pointing_at_a_slice_says_what_it_is(opened: Chromium) -> None:
    x, y = opened.middle("#roofline .dot[data-row='7']")
    opened.mouse("mouseMoved", x, y)
    text = opened.value("document.querySelector('.tip').innerText")
    assert "#7 CONV_2D" in text and "MAC/byte" in text and "features" in text


def test_hostile_names_stay_text(browser: Chromium, folder: Path) -> None:
    browser.open(page(folder, hostile(), "hostile"))
    for row in range(len(HOSTILE)):
        x, y = browser.middle(f"#operators tr[data-row='{row}']")
        browser.mouse("mouseMoved", x, y)
        browser.click(f"#graph .node[data-row='{row}']")
    shown = column(browser, 21)
    assert shown == list(HOSTILE)
    assert browser.value("document.querySelector('h1').textContent") == f"{HOSTILE[0]}.tflite"
    assert browser.value("typeof window.hacked") == "undefined"
    assert browser.value("document.images.length") == 0
    assert browser.value("document.scripts.length") == 2
    assert browser.complaints() == []


def test_it_opens_with_the_answer(opened: Chromium) -> None:
    answer: str = opened.value("document.querySelector('.answer').textContent")
    assert answer.startswith("0.10 ms on the NPU, 100 % of it waiting for start-up")


def modelled(browser: Chromium, **factors: float) -> float:
    """Seconds on the NPU with these switches, and all others as profiled."""
    for name in ("bus", "chip", "clock", "startUp"):
        browser.value(
            f"(() => {{ const s = document.querySelector('#what-if select[name={name}]');"
            f" s.value = '{factors.get(name, 1):g}'; s.dispatchEvent(new Event('change'));"
            " return 0; })()"
        )
    found: str = browser.value("document.querySelector('#what-if-result').dataset.seconds")
    return float(found)


def test_what_if_recomputes_the_time_line_from_the_cost_terms(
    browser: Chromium, folder: Path
) -> None:
    path = shared_data() / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    profile = profile_of(path)
    browser.open(page(folder, profile, "what-if"))
    profiled = profile.npu_seconds
    assert modelled(browser) == pytest.approx(profiled)
    assert modelled(browser, startUp=0) < profiled < modelled(browser, startUp=2)
    assert modelled(browser, bus=2) < profiled < modelled(browser, bus=0.5)
    assert modelled(browser, chip=0.5) >= profiled - 1e-12
    faster = modelled(browser, clock=2)
    assert profiled / 2 < faster < profiled
    assert view(browser)[1] == pytest.approx(faster)
    words = browser.value("document.querySelector('#what-if-result').textContent")
    assert words.startswith("Then ") and " instead of " in words
    assert modelled(browser) == pytest.approx(profiled)


def test_every_head_of_the_table_has_a_tip(opened: Chromium) -> None:
    heads = "[...document.querySelectorAll('#operators th button')]"
    assert opened.value(f"{heads}.length") > 15
    assert opened.value(f"{heads}.every((button) => button.title.length > 8)")


def test_a_chart_with_nothing_in_it_says_why(browser: Chromium, folder: Path) -> None:
    browser.open(page(folder, profile_of(DIGITS, chip="imx8mp"), "empty"))
    words: str = browser.value("document.querySelector('#sram .empty').textContent")
    assert words.startswith("Nothing is kept on chip") and "once for each tile" in words
