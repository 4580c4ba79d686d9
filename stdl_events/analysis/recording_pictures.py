"""Pictures of a recording: a GIF, a sheet, and a one-file report. matplotlib is imported on use.

Shape letters: C=2 polarities (0: darker, 1: brighter), R bins of time, H rows, W columns, N frames.
"""

import base64
import io
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from stdl_events.analysis.camera_pictures import CameraPictures, gray_of_size
from stdl_events.analysis.figures import missing_extra, new_figure, write_whole
from stdl_events.analysis.plots import OFF_COLOUR, ON_COLOUR, full_colour, polarity_picture
from stdl_events.analysis.recording_survey import Rate, Survey
from stdl_events.errors import RecordingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIF_FRAMES, SHEET_FRAMES = 200, 24
SHEET_COLUMNS = 6
RATE_BINS = 240
# Kinds of pictures, and the number of frames in each.
FRAMES_SHOWN = {".gif": GIF_FRAMES, ".png": SHEET_FRAMES, ".html": SHEET_FRAMES}
# A GIF's palette has 256 colours: 16 strengths of each polarity.
LEVELS = 16
LEVELS_BESIDE_PICTURES = 13  # leaves 87 grays
GIF_SIDE = 256
FASTEST_MS, SLOWEST_MS = 40, 500
ASKED_BY = "show --out"


def frames_to_show(path: Path) -> int:
    """Return the largest number of frames in a picture with the suffix of `path`.

    Raises:
        RecordingError: the suffix is none of a picture.
    """
    if path.suffix.lower() not in FRAMES_SHOWN:
        raise RecordingError(
            f"--out {path}", got=f"the suffix {path.suffix!r}", expected=", ".join(FRAMES_SHOWN),
            todo="choose the kind of picture by its suffix",
        )  # fmt: skip
    return FRAMES_SHOWN[path.suffix.lower()]


def draw_recording(
    path: Path, survey: Survey, facts: Mapping[str, str], pictures: CameraPictures | None = None
) -> None:
    """Write the kind of picture that the suffix of `path` selects.

    Args:
        facts: text about the recording, by name; "file" is the title.
        pictures: drawn beside the frames.

    Raises:
        MissingExtraError: matplotlib, or Pillow that comes with it, is not installed.
        UserError: the file is not writable.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(path, survey, pictures)
    elif path.suffix.lower() == ".png":
        write_whole(path, lambda file: file.write(_png(_sheet(survey, facts["file"], pictures))))
    else:
        page = _report(survey, facts, pictures)
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


def _write_gif(path: Path, survey: Survey, pictures: CameraPictures | None) -> None:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing_extra(ASKED_BY, "Pillow") from None
    levels = LEVELS if pictures is None else LEVELS_BESIDE_PICTURES
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
        image = Image.fromarray(indices_HW)
        image.putpalette(palette)
        images.append(image)
    write_whole(
        path,
        lambda file: images[0].save(
            file, format="GIF", save_all=True, append_images=images[1:], duration=frame_ms(survey), loop=0
        ),
    )


def _sheet(survey: Survey, title: str, pictures: CameraPictures | None) -> "Figure":
    rows = _rows(survey, pictures)
    figure = new_figure(ASKED_BY, 11, 5.4 + 1.9 * rows)
    figure.suptitle(title)
    top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=[1.7, 3.2, 0.3 + 1.9 * rows])[:, 0]
    _draw_rate(top.subplots(), survey.rate)
    for polarity, axis in enumerate(middle.subplots(1, 2)):
        _draw_heat(axis, survey, polarity)
    _draw_frames(bottom, survey, rows, pictures)
    return figure


def _report(survey: Survey, facts: Mapping[str, str], camera: CameraPictures | None) -> str:
    rate = new_figure(ASKED_BY, 11, 2.6)
    _draw_rate(rate.subplots(), survey.rate)
    heat = new_figure(ASKED_BY, 11, 4.2)
    for polarity, axis in enumerate(heat.subplots(1, 2)):
        _draw_heat(axis, survey, polarity)
    rows = _rows(survey, camera)
    frames = new_figure(ASKED_BY, 11, 0.4 + 1.9 * rows)
    _draw_frames(frames, survey, rows, camera)
    pictures = {
        "Event rate": (rate, "events per second over time, brighter and darker"),
        "Events per pixel": (heat, "where events happened, darker and brighter"),
        "Frames, as a network sees them": (frames, "frames spread evenly over the recording"),
    }
    sections = "\n".join(
        f'<h2>{escape(name)}</h2>\n<img alt="{escape(text)}" src="data:image/png;base64,{_base64(figure)}">'
        for name, (figure, text) in pictures.items()
    )
    rows_html = "\n".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(facts["file"])}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
th {{ text-align: left; padding-right: 2rem; font-weight: normal; color: #666 }}
img {{ max-width: 100% }}
</style>
</head>
<body>
<h1>{escape(facts["file"])}</h1>
<table>
{rows_html}
</table>
{sections}
</body>
</html>
"""


def _rows(survey: Survey, pictures: CameraPictures | None) -> int:
    """Return the number of rows of the sheet's frames; each is followed by a row of pictures, if there are any."""
    return max(1, math.ceil(len(survey.frames_NCHW) / SHEET_COLUMNS)) * (1 if pictures is None else 2)


def _draw_rate(axis: "Axes", rate: Rate) -> None:
    off_R, on_R = rate.rate_hz_CR / 1e3
    edges_s = np.minimum(np.arange(len(on_R) + 1) * rate.bin_us, _duration_us(rate)) / 1e6
    axis.stairs(on_R, edges_s, color=ON_COLOUR, label="brighter")
    axis.stairs(off_R, edges_s, color=OFF_COLOUR, label="darker")
    axis.set(xlabel="seconds from the first event", ylabel="thousand events/s", xlim=(0, edges_s[-1]))
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8, loc="upper right")


def _draw_heat(axis: "Axes", survey: Survey, polarity: int) -> None:
    from matplotlib.colors import LogNorm

    counts_HW = survey.heat_CHW[polarity]
    width, height = survey.sensor_size
    picture: npt.NDArray[np.float64] = np.where(counts_HW > 0, counts_HW, np.nan)
    image = axis.imshow(
        picture,
        norm=LogNorm(1, max(2, int(survey.heat_CHW.max()))),
        cmap="viridis",
        interpolation="nearest",
        extent=(0, width, height, 0),
    )
    axis.set_title(f"{('darker', 'brighter')[polarity]}: {int(counts_HW.sum()):,} events", fontsize=9)
    axis.figure.colorbar(image, ax=axis, label="events per pixel", shrink=0.8)


def _draw_frames(figure: "Figure", survey: Survey, rows: int, pictures: CameraPictures | None) -> None:
    scale = full_colour(survey.frames_NCHW)
    axes_RC = figure.subplots(rows, SHEET_COLUMNS, squeeze=False)
    for axis in axes_RC.flat:
        axis.set(xticks=[], yticks=[], visible=False)
        axis.spines[:].set_color("0.8")
    axes = axes_RC.ravel() if pictures is None else axes_RC[::2].ravel()
    for axis, index, counts_CHW in zip(axes, survey.frame_indices_N, survey.frames_NCHW, strict=False):
        axis.set_visible(True)
        axis.imshow(polarity_picture(counts_CHW, scale), interpolation="nearest")
        axis.set_title(f"{index + 1}", fontsize=8)
    shown, total = len(survey.frames_NCHW), survey.frame_count
    text = f"{shown} of {total:,} frames: pixels that became brighter (red), darker (blue)"
    if pictures is not None:
        _draw_pictures(axes_RC[1::2].ravel(), pictures)
        text += "; below each, the picture nearest in time, and how much later it was taken"
    figure.suptitle(text, fontsize=9)


def _draw_pictures(axes: Iterable["Axes"], pictures: CameraPictures) -> None:
    for axis, picture, late_us in zip(axes, pictures.gray_or_rgb_N, pictures.late_us_N.tolist(), strict=False):
        axis.set_visible(True)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{late_us / 1000:+.1f} ms", fontsize=8)


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    figure.savefig(target, dpi=100, format="png")
    return target.getvalue()


def _base64(figure: "Figure") -> str:
    return base64.b64encode(_png(figure)).decode("ascii")
