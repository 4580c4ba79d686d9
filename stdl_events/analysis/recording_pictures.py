"""Pictures of a recording: a GIF, for which Pillow is imported on use, a sheet, and a one-file report.

Shape letters: C=2 polarities (0: darker, 1: brighter), R bins of time, H rows, W columns, N frames.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.bitmap_font import HEIGHT, text_mask
from stdl_events.analysis.camera_pictures import CameraPictures, gray_of_size
from stdl_events.analysis.canvas import Pixels, png, text_panel
from stdl_events.analysis.figures import missing_extra, number_to_show, write_whole
from stdl_events.analysis.html_page import html_page, image_tag
from stdl_events.analysis.plots import full_colour, polarity_picture
from stdl_events.analysis.recording_panels import frames_panel, heat_panel, rate_panel
from stdl_events.analysis.recording_survey import Rate, Survey

GIF_FRAMES, SHEET_FRAMES = 200, 24
RATE_BINS = 240
# Kinds of pictures, and the number of frames in each.
FRAMES_SHOWN = {".gif": GIF_FRAMES, ".png": SHEET_FRAMES, ".html": SHEET_FRAMES}
# A GIF's palette has 256 colours: 16 strengths of each polarity.
LEVELS = 16
LEVELS_BESIDE_PICTURES = 13  # leaves 87 grays, of which text is the darkest
GIF_SIDE = 256
FASTEST_MS, SLOWEST_MS = 40, 500
ASKED_BY = "show --out"


def frames_to_show(path: Path) -> int:
    """Return the largest number of frames in a picture with the suffix of `path`.

    Raises:
        RecordingError: the suffix is none of a picture.
    """
    return number_to_show(path, FRAMES_SHOWN)


def draw_recording(
    path: Path,
    survey: Survey,
    facts: Mapping[str, str],
    pictures: CameraPictures | None = None,
    said: Sequence[str] = (),
) -> None:
    """Write the kind of picture that the suffix of `path` selects.

    Args:
        facts: text about the recording, by name; "file" is the title.
        pictures: drawn beside the frames.
        said: of each kept frame, drawn below it; empty for none of all.

    Raises:
        MissingExtraError: the picture is a GIF, and Pillow is not installed.
        UserError: the file is not writable.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, survey, pictures, said)
    elif path.suffix.lower() == ".png":
        write_whole(path, lambda file: file.write(png(_sheet(survey, facts, pictures, said))))
    else:
        page = _report(survey, facts, pictures, said)
        write_whole(path, lambda file: file.write(page.encode()))


def frame_ms(survey: Survey) -> int:
    """Return the display time of a GIF's frame: the frame's duration, within the limits of viewers and of the eye."""
    real_ms = _duration_us(survey.rate) / 1000 / max(1, len(survey.frames_NCHW))
    return round(min(max(real_ms, FASTEST_MS), SLOWEST_MS) / 10) * 10


def gif_speed(survey: Survey) -> float:
    """Return the speed of the GIF relative to the recording."""
    return _duration_us(survey.rate) / 1000 / (frame_ms(survey) * len(survey.frames_NCHW))


def _duration_us(rate: Rate) -> int:
    return rate.t_last_us - rate.t_first_us + 1


def _write_gif(path: Path, survey: Survey, pictures: CameraPictures | None, said: Sequence[str]) -> None:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing_extra(ASKED_BY, "Pillow") from None
    levels = LEVELS_BESIDE_PICTURES if said or pictures is not None else LEVELS
    shades_CHW = np.indices((levels, levels))
    colours = (polarity_picture(shades_CHW, levels - 1) * 255).round().astype(np.uint8).reshape(-1, 3)
    grays = np.linspace(0, 255, 256 - levels**2).round().astype(np.uint8)
    palette = np.concatenate([colours, grays[:, None].repeat(3, axis=1)]).tobytes()
    scale = full_colour(survey.frames_NCHW)
    enlarge = max(1, GIF_SIDE // max(survey.frames_NCHW.shape[2:]))
    images = []
    for number, counts_CHW in enumerate(survey.frames_NCHW):
        off_HW, on_HW = np.ceil(np.minimum(counts_CHW / scale, 1) * (levels - 1)).astype(np.uint8)
        indices_HW = (off_HW * levels + on_HW).repeat(enlarge, axis=0).repeat(enlarge, axis=1)
        if pictures is not None:
            gray_HW = gray_of_size(pictures.gray_or_rgb_N[number], indices_HW.shape)
            darkest, brightest = levels**2, 255
            shade_HW = darkest + gray_HW.astype(np.uint16) * (brightest - darkest) // 255
            indices_HW = np.concatenate([indices_HW, shade_HW.astype(np.uint8)], axis=1)
        if said:
            indices_HW = np.concatenate([indices_HW, _strip(said[number], indices_HW.shape[1], levels**2)])
        image = Image.fromarray(indices_HW)
        image.putpalette(palette)
        images.append(image)
    write_whole(
        path,
        lambda file: images[0].save(
            file, format="GIF", save_all=True, append_images=images[1:], duration=frame_ms(survey), loop=0
        ),
    )


def _strip(text: str, width: int, black: int) -> npt.NDArray[np.uint8]:
    """Return a line of text as indices of a palette whose first colour is white, as far as it fits."""
    strip_HW = np.zeros((HEIGHT + 4, width), np.uint8)
    mask_HW = text_mask(text)[:, : width - 2]
    strip_HW[2:-2, 2 : 2 + mask_HW.shape[1]][mask_HW] = black
    return strip_HW


def _sheet(survey: Survey, facts: Mapping[str, str], pictures: CameraPictures | None, said: Sequence[str]) -> Pixels:
    caption = [f"{name}: {value}" for name, value in facts.items() if name != "file"]
    parts = [text_panel([facts["file"]]), text_panel(caption, 1), rate_panel(survey.rate), heat_panel(survey)]
    return np.concatenate([*parts, frames_panel(survey, pictures, said)])


def _report(survey: Survey, facts: Mapping[str, str], camera: CameraPictures | None, said: Sequence[str]) -> str:
    panels = {
        "Event rate": (rate_panel(survey.rate), "events per second over time, brighter and darker"),
        "Events per pixel": (heat_panel(survey), "where events happened, darker and brighter"),
        "Frames, as a network sees them": (
            frames_panel(survey, camera, said),
            "frames spread evenly over the recording",
        ),
    }
    sections = "\n".join(
        f"<h2>{escape(name)}</h2>\n{image_tag(pixels_HWC, text)}" for name, (pixels_HWC, text) in panels.items()
    )
    rows = "\n".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return html_page(facts["file"], f"<table>\n{rows}\n</table>\n{sections}")
