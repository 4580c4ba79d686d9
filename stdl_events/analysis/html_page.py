"""HTML pages of one file, without scripts and without anything that is loaded from elsewhere."""

import base64
from html import escape

from stdl_events.analysis.canvas import Pixels, png


def image_tag(pixels_HWC: Pixels, text: str) -> str:
    """Return a picture within the page; `text` describes it."""
    data = base64.b64encode(png(pixels_HWC)).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{data}">'


def html_page(title: str, body: str) -> str:
    """Return a page with `title` as its heading; `body` is HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
th {{ text-align: left; padding-right: 2rem; font-weight: normal; color: #666 }}
img {{ max-width: 100% }}
</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""
