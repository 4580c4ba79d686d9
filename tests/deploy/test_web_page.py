"""The page of deploy/web in a headless Chromium: its predictions are those of `predict`, whatever is dropped on it."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="needs the extra `dev`")
pytest.importorskip("faery", reason="needs the extra `formats`")

import onnx
from axe import check_page, require_axe
from cpp_program import pixel_card, write_pixel_model
from hostile_models import CORPUS
from onnx_models import make_card, stream_spec, write_model
from playwright import sync_api
from web_site import build, served

from stdl_events.events import open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.events.stream import empty_events
from stdl_events.frames import FrameSpec
from stdl_events.live import OnnxSession
from stdl_events.live.predict import Reading, predict_recordings
from stdl_events.model_card import StateFormat
from stdl_events.models import model_path
from stdl_events.recordings.cutting import cut_clips
from stdl_events.recordings.entry import Entry
from stdl_events.recordings.given_files import given_files
from stdl_events.recordings.simulated.synthetic import generate_walkers

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("no chromium", allow_module_level=True)

SIZES = ({"width": 390, "height": 844}, {"width": 1440, "height": 900})
SPEC = stream_spec(grid="recording")  # 8x6 pixels, clips of 4 frames of 10 ms
HOSTILE = ("<img src=x onerror=\"document.title='hit'\">", "\u202egnp.exe\nsecond line\x1b[31m", "</script>")

PATIENCE = 1_000  # times 20 ms

complaints, requests = [], []


@pytest.fixture(autouse=True)
def no_complaints():
    complaints.clear()
    requests.clear()
    yield
    assert complaints == []
    assert {urlsplit(url).hostname for url in requests if not url.startswith(("data:", "blob:"))} <= {"127.0.0.1"}


@pytest.fixture(scope="module")
def site(pytestconfig, tmp_path_factory):
    return build(pytestconfig.cache.mkdir("stdl-events-web"), tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def address(site):
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(viewport=SIZES[1])
    yield opened(context, address)
    context.close()


def opened(context, address):
    """Return the open page; what its scripts complain of is added to `complaints`, what it loads to `requests`."""
    its = context.new_page()
    its.set_default_timeout(120_000)
    its.on("pageerror", lambda error: complaints.append(str(error)))
    its.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    context.on("request", lambda request: requests.append(request.url))
    its.goto(address)
    return its


def until(page, state):
    """Wait for a state. The page's policy forbids playwright's own way, which evaluates text in it."""
    for _ in range(PATIENCE):
        if page.evaluate("document.body.dataset.state") == state:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"never {state}: {page.locator('#doing').text_content()} {page.locator('#problem').text_content()}")


def recognise(page, model, recordings):
    """Choose a model and recordings; return what the page saves."""
    page.set_input_files("#model", model)
    page.set_input_files("#recordings", recordings)
    until(page, "done")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as JSON").click()
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))["recordings"]


def mean_logits(session, path):
    """Return the mean logits of each clip of a recording, by the model's steps alone."""
    recording = open_recording(path, sensor_size=session.card.frame.sensor_size)
    found = []
    for clip in cut_clips(Entry(str(path), path, 0), recording, session.card.frame):
        state, logits_TK = session.initial_state(), []
        for counts_CHW in clip.frames_TCHW:
            logits_BK, state = session.step(counts_CHW[np.newaxis], state)
            logits_TK.append(logits_BK[0])
        found.append(np.mean(logits_TK, axis=0, dtype=np.float64))
    return found


def assert_equal(document, expected, logits):
    """Compare a recording of the page with that of `predict` and the logits of its clips: 1e-4, all else is equal."""

    def split(row):
        names = ("probability", "probabilities", "logits", "recording", "clips", "clip_ms", "step_ms")
        return {name: value for name, value in row.items() if name not in names}

    assert Path(expected["recording"]).name == document["recording"]
    assert len(document["clips"]) == len(expected["clips"]) == len(logits)
    for ours, theirs in [(document, expected), *zip(document["clips"], expected["clips"], strict=True)]:
        assert split(ours) == split(theirs)
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)
    for clip, logits_K in zip(document["clips"], logits, strict=True):
        np.testing.assert_allclose(clip["logits"], logits_K, rtol=0, atol=1e-4)


def assert_as_predict(documents, model, paths):
    session = OnnxSession(model)
    predicted = list(predict_recordings(session, given_files(paths), Reading()))
    for document, prediction in zip(documents, predicted, strict=True):
        assert_equal(document, prediction.to_dict(), mean_logits(session, prediction.path))


def clip_of_events(path, count=400, seed=0, lasts_us=100_000, size=(8, 6)):
    """Write a recording of 8x6 pixels as EVT 3."""
    rng = np.random.default_rng(seed)
    events = empty_events(count)
    events["t"] = 5_000 + np.sort(rng.integers(0, lasts_us, count))
    events["x"], events["y"] = rng.integers(0, size[0], count), rng.integers(0, size[1], count)
    events["p"] = rng.random(count) < 0.7
    write_recording(path.with_suffix(".h5"), events, size)
    convert(open_recording(path.with_suffix(".h5")), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    card = make_card(SPEC, decision={"unknown_below": 0.4, "hold": 2}, temperature=2.0)
    return write_model(tmp_path_factory.mktemp("model") / "m.onnx", card)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return clip_of_events(tmp_path_factory.mktemp("recording") / "r.raw")


def test_fifty_clips_of_nmnist_agree_with_python(page, recordings_dir):
    paths = sorted((recordings_dir / "nmnist" / "train").rglob("*.bin"), key=lambda path: path.name)[-200::4]
    documents = recognise(page, model_path("models:nmnist"), paths)
    assert len(documents) == 50
    assert_as_predict(documents, "models:nmnist", paths)


def test_clips_of_fixed_windows_agree_with_python(page, tmp_path):
    split = generate_walkers(tmp_path / "w", people=2, per_person=2, duration_us=1_700_000)
    paths = [tmp_path / f"{number}.raw" for number in range(2)]
    for entry, path in zip(split.test.entries, paths, strict=True):
        convert(entry.open(), path)
    documents = recognise(page, model_path("models:walkers"), paths)
    assert [len(document["clips"]) for document in documents] == [2, 2]
    assert all(document["incomplete_clips"] == 1 for document in documents)
    assert_as_predict(documents, "models:walkers", paths)


CARDS = {
    "sliding": {"readout": "sliding"},
    "early": {"decision": {"decide_at": 0.9, "hold": 2}},
    "still": {"decision": {"still_below": 3_900, "unknown_below": 0.5}, "temperature": 0.5},
    "count": {"frame": stream_spec(dt_us=None, events_per_frame=30, cap=1)},
    "recording": {"frame": FrameSpec(kind="recording", by="time", steps=3, sensor_size=(8, 6), crop=(1, 1, 5, 4))},
}
OLDER = Path(__file__).parents[1] / "live" / "version_0_1_0"


def test_all_readouts_decisions_and_older_files_are_as_in_predict(page, tmp_path):
    models = {path: open_size(path) for path in sorted(OLDER.glob("*.onnx"))}
    models |= {
        write_model(tmp_path / f"{name}.onnx", make_card(**({"frame": SPEC} | c))): (8, 6) for name, c in CARDS.items()
    }
    in_bytes = pixel_card(SPEC, labels=("a", "b", "c"), state_format=StateFormat(dtype="int8", scale=1.0))
    models[write_pixel_model(tmp_path / "bytes.onnx", in_bytes)] = (8, 6)
    for number, (model, size) in enumerate(models.items()):
        recording = clip_of_events(tmp_path / f"{number}.raw", 900, number, 400_000, size)
        document = recognise(page, model, [recording])[-1]
        (expected,) = predict_recordings(OnnxSession(model), given_files([recording]), Reading())
        assert_equal(document, expected.to_dict(), [clip["logits"] for clip in document["clips"]])
        assert document["clips"], model


def open_size(model):
    return OnnxSession(model).card.frame.sensor_size


def test_the_page_shows_what_it_saves(page, model, recording):
    (document,) = recognise(page, model, [recording])
    assert_as_predict([document], model, [recording])
    last = document["clips"][-1]
    items = page.locator("#bars li").all()
    shares = {item.locator(".name").text_content(): float(item.get_attribute("data-probability")) for item in items}
    assert shares == last["probabilities"]
    assert page.locator("#label").text_content() == (last["decision"] or "unknown")
    rows = [row.locator("td").all_text_contents() for row in page.locator("#clips tbody tr").all()]
    assert rows == [
        [f"{clip['start_s']:.2f} s", f"{clip['end_s']:.2f} s", clip["decision"] or "unknown", clip["why"]]
        for clip in document["clips"]
    ]
    assert page.locator("#list tbody td").nth(1).text_content() == document["decision"]
    assert page.locator("#unknown-key").text_content() == "unknown below 0.40"
    assert page.locator("dd", has_text="4 frames of 10 ms").count() == 1


def test_buttons_and_keys_move_the_playhead(page, model, tmp_path):
    recording = clip_of_events(tmp_path / "long.raw", lasts_us=3_000_000)
    (document,) = recognise(page, model, [recording])
    slider, now = page.get_by_label("Time in the recording"), page.locator("#time-now")
    until_text(page, "#time-now", f"{document['clips'][-1]['end_s']:.2f} s")
    slider.focus()
    slider.press("Home")
    until_text(page, "#time-now", "0.00 s")
    assert page.locator("#why").text_content() == document["clips"][0]["why"]
    slider.press("End")
    assert now.text_content() == f"{(open_recording(recording).summary.t_last_us - document['t_first_us']) / 1e6:.2f} s"
    page.get_by_label("Speed").select_option("a tenth")
    page.get_by_role("button", name="Play").press("Enter")
    until_text(page, "#play", "Pause")
    page.wait_for_timeout(100)
    page.get_by_role("button", name="Pause").press("Enter")
    until_text(page, "#play", "Play")
    assert 0 < float(slider.input_value()) < float(slider.get_attribute("max"))
    assert page.evaluate(
        "document.getElementById('picture').getContext('2d').getImageData(0, 0, 8, 6).data.some(v => v)"
    )


def until_text(page, selector, text):
    for _ in range(PATIENCE):
        if page.locator(selector).text_content() == text:
            return
        page.wait_for_timeout(20)
    pytest.fail(f"{selector}: {page.locator(selector).text_content()!r}, never {text!r}")


@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(address, browser, size, model, recording):
    axe = require_axe()
    context = browser.new_context(viewport=size, color_scheme="dark")
    page = opened(context, address)
    recognise(page, model, [recording])
    check_page(page, axe, size["width"])
    context.close()


def test_hostile_names_stay_text(page, tmp_path, recording):
    card = make_card(SPEC, labels=HOSTILE, provenance={"recipe": HOSTILE[0]})
    shutil.copy(recording, tmp_path / "<img src=x onerror=alert(1)>.raw")
    (document,) = recognise(
        page, write_model(tmp_path / "m.onnx", card), [tmp_path / "<img src=x onerror=alert(1)>.raw"]
    )
    names = [name.text_content() for name in page.locator("#bars .name").all()]
    assert names == list(HOSTILE) == list(document["probabilities"])
    assert page.locator("dd", has_text=HOSTILE[0]).count() == 1
    assert page.title() == "stdl-events recognise"
    assert page.locator("main img, main script, header script").count() == 0


def test_a_script_of_the_page_alone_does_not_run(page):
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'hit'";
        document.body.append(script);
    }""")
    assert page.title() == "stdl-events recognise"
    assert [text for text in complaints if "Content Security Policy" in text] == complaints
    complaints.clear()


def words(*values):
    return np.array(values, "<u2").tobytes()


HEADER = b"% evt 3.0\n% geometry 8x6\n% end\n"
EVENT = (0x8001, 0x6000, 0x0001, 0x2803)  # high and low time, row, column
UNREADABLE = {
    "r.aedat4": (b"#!AER-DAT4.0\r\n", "another kind of file; expected Prophesee .raw"),
    "other.raw": (b"% evt 2.1\n% end\n" + bytes(8), "the encoding EVT 2.1"),
    "cut.raw": (HEADER + words(*EVENT) + b"\0", "1 of 2 bytes of a record at byte 39, where it ends"),
    "size.raw": (HEADER.replace(b"8x6", b"64x48"), "a sensor of 64x48 pixels; expected 8x6, on which the model was"),
    "turned.raw": (HEADER.replace(b"8x6", b"6x8"), "; turn it: stdl-events convert"),
    "small.raw": (HEADER.replace(b"8x6", b"8x5"), "; use a recording of at least 8x6 pixels"),
    "outside.raw": (HEADER + words(*EVENT[:3], 0x2FFF), "1 of 1 events outside the sensor"),
    "reset.raw": (HEADER + words(0x8900, *EVENT[1:], 0x8200, *EVENT[2:]), "a clock that leaps back from 9437184 to"),
    "stray.raw": (
        HEADER + words(*EVENT * 40, 0x8FFF, *EVENT[1:]),
        "stray events at 16773120 us, far from all others at 4096 to",
    ),
    "wide.bin": (bytes([200, 3, 0, 0, 9]), "another kind of file"),
    "cut.bin": (bytes([3, 3, 0, 0, 9, 1]), "1 of 5 bytes of a record at byte 5"),
}


def test_a_recording_that_cannot_be_read_is_one_line_and_the_others_are_recognised(page, model, tmp_path, recording):
    page.set_input_files("#model", model)
    for name, (content, _) in UNREADABLE.items():
        (tmp_path / name).write_bytes(content)
    documents = recognise(page, model, [recording, *(tmp_path / name for name in UNREADABLE), recording])
    assert_as_predict([documents[0], documents[-1]], model, [recording, Path(shutil.copy(recording, tmp_path))])
    for (name, (_, word)), document in zip(UNREADABLE.items(), documents[1:-1], strict=True):
        assert document["recording"] == name
        assert document["error"].startswith(f"{name}: got ")
        assert word in document["error"]
        assert "\n" not in document["error"]
        page.get_by_role("button", name=name).click()
        assert page.locator("#problem").text_content() == document["error"]


def test_what_can_be_repaired_is_said(page, model, tmp_path):
    late = HEADER + words(*EVENT, 0x6100, 0x2803, 0x6050, 0x2804, 0x27FF, *EVENT[:2], 0x8020, *EVENT[1:])
    (tmp_path / "late.raw").write_bytes(late)
    documents = recognise(page, model, [tmp_path / "late.raw"])
    with pytest.warns(match="backward|outside"):
        assert_as_predict(documents, model, [tmp_path / "late.raw"])
    assert page.locator("dd", has_text="1 events outside the 8x6 sensor: skipped; ").count() == 1


# What is found only by running the model, and what runs.
FOUND_BY_RUNNING = (
    "good", "a cycle", "weights that are nan", "another name of the frame", "text as its frame",
    "a card with a deep network", "a card with another checksum",
)  # fmt: skip


def test_a_hostile_model_is_one_line_and_the_next_one_works(page, tmp_path, model, recording):
    good = onnx.load(write_model(tmp_path / "good.onnx", make_card(SPEC)))
    page.set_input_files("#recordings", recording)
    for number, name in enumerate(FOUND_BY_RUNNING):
        bytes_of, word = CORPUS[name]
        copy = onnx.ModelProto()
        copy.CopyFrom(good)
        (tmp_path / f"{number}.onnx").write_bytes(bytes_of(copy))
        page.set_input_files("#model", tmp_path / f"{number}.onnx")
        until(page, "done" if word in (None, "not finite") else "waiting")
        problem = page.locator("#problem").text_content()
        assert (problem == "") == (word is None), name
        assert "\n" not in problem
        assert (problem == "") or problem.startswith(f"{number}.onnx: got ")
    page.set_input_files("#recordings", recording)
    assert page.locator("#problem").text_content() == problem != "", "recordings do not hide it"
    page.set_input_files("#model", model)
    until(page, "done")
    assert page.locator("#problem").is_hidden()


def test_stop_ends_the_work_and_keeps_what_is_done(page, model, recording, tmp_path):
    content = HEADER + words(0x8001, 0x6000, 0x0001) + words(0x2803) * 5_000_000
    (tmp_path / "long.raw").write_bytes(content)
    recognise(page, model, [recording])
    page.set_input_files("#recordings", tmp_path / "long.raw")
    page.get_by_role("button", name="Stop").click()
    until(page, "stopped")
    assert page.locator("#list tbody tr").count() == 1
    assert [document["recording"] for document in recognise(page, model, [recording])] == [recording.name] * 2


def test_without_a_server_the_page_says_what_to_do(browser, site):
    context = browser.new_context()
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert "python -m http.server" in page.locator("#problem").text_content()
    assert page.locator("#model").is_disabled()
    context.close()
