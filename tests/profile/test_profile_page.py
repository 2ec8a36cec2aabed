"""The HTML page as a file: nothing from outside, nothing that a name could become."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import HOSTILE, digits, hostile

from lapilli.profile.events import Profile
from lapilli.profile.json_report import to_json
from lapilli.profile.page import embedded, to_html

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def data_of(page: str) -> object:
    found = DATA.search(page)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("profile", [digits(), hostile()], ids=["digits", "hostile"])
def test_the_page_holds_the_profile(profile: Profile) -> None:
    assert data_of(to_html(profile)) == json.loads(json.dumps(to_json(profile)))


def test_the_page_asks_nobody_for_anything() -> None:
    page = to_html(digits())
    places = set(re.findall(r"[a-z]+://[^\s\"'<>]+", page)) - {"http://www.w3.org/2000/svg"}
    assert places == set()
    assert not re.search(r"<(link|img|iframe|object|embed)\b|\bsrc=|@import|url\(", page)
    assert "default-src 'none'" in html.unescape(page)


def test_only_the_pages_own_script_and_style_may_run() -> None:
    page = to_html(hostile())
    policy = re.search(r'Policy" content="([^"]*)"', page)
    assert policy is not None
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in html.unescape(policy[1])


def test_hostile_names_are_no_markup() -> None:
    page = to_html(hostile())
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    for name in HOSTILE[:2]:
        assert name not in page
    assert "<img" not in page and "<!--" not in page


def test_the_script_never_makes_markup_of_text() -> None:
    page = to_html(digits())
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in page


@given(st.text())
def test_embedded_json_is_the_text_and_can_not_end_its_element(text: str) -> None:
    found = embedded({"name": text})
    assert json.loads(found) == {"name": text}
    assert not set(found) & set("<>&") and found.isascii()
