"""Pictures of single clips, a row of frames each: a sheet .png or a page .html."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from stdl_events.analysis.camera_pictures import CameraPictures
from stdl_events.analysis.canvas import GRAY, MARGIN, WIDTH, Canvas, Pixels, png, text_panel
from stdl_events.analysis.figures import number_to_show, write_whole
from stdl_events.analysis.html_page import html_page, image_tag
from stdl_events.analysis.plots import full_colour
from stdl_events.analysis.recording_panels import paste_frame, paste_picture, picture_height, shown_size
from stdl_events.frames import Counts

# Kinds of pictures, and the number of clips in each.
CLIPS_SHOWN = {".png": 12, ".html": 40}
FRAMES_SHOWN, FRAMES_PER_LINE = 16, 8
LARGEST_CELL = 200


@dataclass(frozen=True, eq=False)
class ShownClip:
    """A clip to draw.

    Attributes:
        title: its recording, its time, and what else is known about it.
        pictures: of the camera, one for each frame; None if it took none.
    """

    title: str
    frames_TCHW: Counts
    pictures: CameraPictures | None = None


def clips_to_show(path: Path) -> int:
    """Return the largest number of clips in a picture with the suffix of `path`.

    Raises:
        RecordingError: the suffix is none of a picture of clips.
    """
    return number_to_show(path, CLIPS_SHOWN)


def draw_clips(path: Path, title: str, caption: Sequence[str], clips: Sequence[ShownClip]) -> None:
    """Write a picture of `clips`, in their order.

    Raises:
        UserError: the file is not writable.
    """
    if path.suffix.lower() == ".png":
        parts = [text_panel([title]), text_panel(caption, 1, GRAY)]
        for clip in clips:
            parts += [text_panel([clip.title], 1), _row(clip)]
        write_whole(path, lambda file: file.write(png(np.concatenate(parts))))
        return
    lines = "\n".join(f"<p>{escape(line)}</p>" for line in caption)
    rows = "\n".join(
        f"<h3>{escape(clip.title)}</h3>\n{image_tag(_row(clip), f'frames of {clip.title}')}" for clip in clips
    )
    write_whole(path, lambda file: file.write(html_page(title, f"{lines}\n{rows}").encode()))


def _row(clip: ShownClip) -> Pixels:
    """Draw the frames of a clip in one or two lines; of a long one, frames spread evenly."""
    steps = len(clip.frames_TCHW)
    shown = np.unique(np.linspace(0, steps - 1, min(steps, FRAMES_SHOWN)).round().astype(int)).tolist()
    lines = -(-len(shown) // FRAMES_PER_LINE)
    columns = -(-len(shown) // lines)
    cell = min(LARGEST_CELL, (WIDTH - 2 * MARGIN) // columns - 4)
    side = shown_size(clip.frames_TCHW.shape, cell)[0] + 22
    pitch = side + picture_height(clip.pictures, cell)
    canvas = Canvas(lines * pitch)
    scale = full_colour(clip.frames_TCHW)
    for number, step in enumerate(shown):
        x, y = MARGIN + number % columns * (cell + 4), number // columns * pitch
        paste_frame(canvas, x, y, cell, clip.frames_TCHW[step], scale, f"{step + 1}")
        if clip.pictures is not None:
            paste_picture(canvas, x, y + side - 4, cell, clip.pictures, step)
    return canvas.pixels_HWC
