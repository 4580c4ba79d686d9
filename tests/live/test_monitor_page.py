"""The page itself, in a headless Chromium: what it shows, its buttons, hostile names, and accessibility."""

import io
import json
import shutil

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra `monitor`")
pytest.importorskip("playwright.sync_api", reason="needs the extra `dev`")

from axe import check_page, require_axe
from monitored import MonitoredRun, clip_of_events
from playwright import sync_api

from stdl_events.events import open_recording

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium", allow_module_level=True)

HOSTILE = (
    "<img src=x onerror=\"document.title='hit'\">",
    "\u202egnp.exe\nsecond line\x1b[31m",
    "</script><script>document.title='hit'</script>",
)
SIZES = ({"width": 390, "height": 844}, {"width": 1440, "height": 900})
# Of the newest recognised clip; bars and texts are drawn before it is set.
SHOWS_CLIP = "clip => Number(document.body.dataset.clip) >= clip"
CANVAS = "document.getElementById('picture').toDataURL()"


complaints = []


@pytest.fixture(autouse=True)
def no_complaints():
    complaints.clear()
    yield
    assert complaints == []


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with MonitoredRun(tmp_path_factory.mktemp("run")) as run:
        run.push_clips(4)
        yield run


@pytest.fixture
def page(browser, run):
    context = browser.new_context(viewport=SIZES[1])
    its = opened(context, run)
    yield its
    context.close()


def until(page, expression, argument=None):
    """Wait until an expression is true. The page's policy forbids playwright's own way, which evaluates text in it."""
    for _ in range(3_000):
        if page.evaluate(expression, argument):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never true: {expression}")


def note(message):
    """Keep errors and warnings; these tests read the canvas again and again, of which Chromium warns."""
    if message.type in ("error", "warning") and "willReadFrequently" not in message.text:
        complaints.append(message.text)


def opened(context, run):
    """Return an open page of the run; what its scripts complain of is added to `complaints`."""
    its = context.new_page()
    its.set_default_timeout(60_000)
    its.on("pageerror", lambda error: complaints.append(str(error)))
    its.on("console", note)
    its.goto(run.monitor.url)
    until(its, SHOWS_CLIP, run.predictions[-1]["clip"])
    return its


def push(run, page, count=1):
    run.push_clips(count)
    until(page, SHOWS_CLIP, run.predictions[-1]["clip"])


def bars(page):
    items = page.locator("#bars li").all()
    return {item.locator(".name").text_content(): float(item.get_attribute("data-probability")) for item in items}


def test_the_page_shows_what_the_json_stream_says(run, page):
    page.evaluate(f"window.pictures = new Set(); setInterval(() => pictures.add({CANVAS}), 5)")
    for _ in range(3):
        push(run, page)
        last = run.predictions[-1]
        assert bars(page) == last["probabilities"]
        assert page.locator("#label").text_content() == last["decision"]
        assert page.locator("#why").text_content() == last["why"]
        shares = [item.text_content() for item in page.locator("#bars .percent").all()]
        assert shares == [f"{100 * share:.1f} %" for share in last["probabilities"].values()]
    until(page, "pictures.size > 2")  # lit, and fading
    rows = [row.locator("td").nth(2).text_content() for row in page.locator("#last-predictions tbody tr").all()]
    assert rows == [prediction["why"] for prediction in reversed(run.predictions[-5:])]
    assert page.locator("#source-name").text_content() == "a source"
    assert page.locator("dd", has_text=run.predictions and "4 of 10 ms").count() == 1


def test_buttons_act_on_the_run(run, page, tmp_path):
    page.get_by_role("button", name="Pause").press("Enter")
    page.get_by_role("button", name="Go on").wait_for()
    assert run.monitor.controls.paused
    assert page.locator("#connection").text_content() == "paused"
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Pause").wait_for()
    assert not run.monitor.controls.paused

    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Stop recording").wait_for()
    first = run._clip
    push(run, page, 2)
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="Record", exact=True).wait_for()
    (path,) = run.folder.glob("*.aedat4")
    expected = np.concatenate([clip_of_events(clip) for clip in (first, first + 1)])
    assert np.array_equal(open_recording(path).read(), expected)

    context = "document.getElementById('picture').getContext('2d')"
    until(page, f"{context}.getImageData(0, 0, 8, 6).data.every(value => value === 0)")  # it has faded
    page.evaluate(f"() => {{ {context}.fillStyle = 'rgb(1, 2, 3)'; {context}.fillRect(0, 0, 4, 6); }}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Snapshot").click()
    download.value.save_as(tmp_path / "snapshot.png")
    image = pytest.importorskip("PIL.Image").open(tmp_path / "snapshot.png")
    assert download.value.suggested_filename.startswith("snapshot-")
    assert image.size == (960, 720 + 44)
    pixels = np.asarray(image.convert("RGB"))
    assert (pixels[:720, :480] == (1, 2, 3)).all()
    assert (pixels[:720, 480:] == 255).all()
    assert (pixels[720:] < 128).any()  # the decision as text


def test_a_threshold_moved_by_keys_holds_from_the_next_clip_for_all_pages(run, page, browser):
    context = browser.new_context(viewport=SIZES[0])
    other = opened(context, run)
    slider = page.get_by_label("Unknown below")
    slider.focus()
    slider.press("End")
    until(page, "document.getElementById('unknown-key').textContent === 'unknown below 1.00'")
    until(other, "document.getElementById('unknown-below').value === '1'")
    assert run.monitor.controls.thresholds.unknown_below == 1.0
    push(run, page, 2)
    assert page.locator("#label").text_content() == "unknown" == run.predictions[-1]["state"]
    mark = "getComputedStyle(document.querySelector('.track'), '::before')"
    assert page.evaluate(f"{mark}.display") == "block"
    slider.press("Home")
    until(other, "document.getElementById('unknown-below').value === '0'")
    assert page.evaluate(f"{mark}.display") == "none"
    page.get_by_label("Hold, clips").fill("0")
    page.get_by_label("Hold, clips").press("Enter")
    page.locator("#problem", has_text="hold: 0 is not").wait_for()
    page.get_by_label("Hold, clips").fill("1")
    page.get_by_label("Hold, clips").press("Enter")
    page.locator("#problem").wait_for(state="hidden")
    context.close()


@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(run, browser, size):
    axe = require_axe()
    context = browser.new_context(viewport=size, color_scheme="dark")
    page = opened(context, run)
    check_page(page, axe, size["width"])
    context.close()


def test_hostile_names_stay_text(browser, tmp_path):
    with MonitoredRun(tmp_path, labels=HOSTILE, provenance={HOSTILE[0]: HOSTILE[2]}) as run:
        run.push_clips(3)
        context = browser.new_context(viewport=SIZES[0])
        page = opened(context, run)
        assert list(bars(page)) == list(HOSTILE)
        assert page.locator("#label").text_content() == run.predictions[-1]["decision"]
        assert page.locator("dt", has_text=HOSTILE[0]).count() == 1
        assert page.title() == "stdl-events live"
        assert page.locator("main img, main script, header script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        context.close()


def test_a_script_without_the_nonce_does_not_run(browser, run):
    context = browser.new_context()
    page = context.new_page()
    page.goto(run.monitor.url)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'hit'";
        document.body.append(script);
    }""")
    assert page.title() == "stdl-events live"
    context.close()


def test_the_page_says_that_the_run_has_ended(browser, tmp_path):
    out = io.StringIO()
    with MonitoredRun(tmp_path, "0.0.0.0:0") as run:
        run.push_clips(2)
        context = browser.new_context(viewport=SIZES[1])
        run.monitor.url = run.monitor.url.replace(run.monitor.url.split("/")[2].split(":")[0], "127.0.0.1")
        page = opened(context, run)
        assert "token" not in page.url
        page.reload()
        until(page, SHOWS_CLIP, 0)
        run.end()
        page.locator("#connection", has_text="the run has ended").wait_for()
        assert page.get_by_role("button", name="Pause").is_disabled()
        assert page.locator("#label").text_content() == run.predictions[-1]["decision"]
        context.close()
    json.dump(run.predictions, out)
    assert run.token not in out.getvalue()
