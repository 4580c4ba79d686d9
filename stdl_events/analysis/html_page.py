"""HTML pages of one file, without scripts and without anything that is loaded from elsewhere."""

import base64
import hashlib
from functools import cache
from html import escape
from pathlib import Path

from stdl_events.analysis.canvas import Pixels, png


@cache
def stylesheet() -> str:
    """Return the CSS of all pages: light and dark, for narrow and wide screens, and for paper."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def content_policy() -> str:
    """Return the Content-Security-Policy of a page: pictures within it, this stylesheet, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def data_uri(pixels_HWC: Pixels) -> str:
    """Return a picture as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(png(pixels_HWC)).decode("ascii")


def image_tag(pixels_HWC: Pixels, text: str) -> str:
    """Return a picture within the page; `text` describes it."""
    return f'<img alt="{escape(text)}" src="{data_uri(pixels_HWC)}">'


def html_page(title: str, body: str) -> str:
    """Return a page with `title` as its heading; `body` is HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{content_policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{stylesheet()}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""
