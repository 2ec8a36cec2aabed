"""A profile as one HTML page that needs nothing else: no network, no library.

Names come from models that anybody may have made. They only ever get into the page as JSON, in
which no ``<`` is left, and the script only ever sets them as text. The content security policy
lets the page's own script and style run, by digest, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib import resources
from typing import Any

from lapilli.profile.events import Profile
from lapilli.profile.json_report import to_json

_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<noscript>This page draws with a script of its own; switch scripts on to see it.</noscript>
<main id="page"></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def to_html(profile: Profile) -> str:
    """The page."""
    script, style = _asset("profile.js"), _asset("profile.css")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        f"img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _TEMPLATE.format(
        policy=html.escape(policy),
        title=html.escape(f"{profile.model} on {profile.chip}: lapilli profile"),
        style=style,
        data=embedded(to_json(profile)),
        script=script,
    )


def embedded(value: Any) -> str:
    """JSON that can't end the script element it stands in, or start a comment there."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return "\n" + resources.files("lapilli.data").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """As a content security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
