// Geometry of frames: quarter turns, mirroring, a window and a scale, as one table per axis. The rules are those of the
// package's Geometry and FrameSpec.

import { Problem, sizeText } from "../problem.js";

const turned = (frame, [width, height]) => (frame.rotate % 180 ? [height, width] : [width, height]);

// [x, y, width, height] of the window in the turned picture.
function windowOf(subject, frame) {
  const [width, height] = turned(frame, frame.sensor_size);
  let found = frame.crop ?? [0, 0, width, height];
  if (frame.center_crop !== null) {
    const [across, down] = frame.center_crop;
    found = [Math.floor((width - across) / 2), Math.floor((height - down) / 2), across, down];
  }
  const isInside = Math.min(...found) >= 0 && found[2] >= 1 && found[3] >= 1 && found[0] + found[2] <= width &&
    found[1] + found[3] <= height;
  if (!isInside || (frame.crop !== null && frame.center_crop !== null)) {
    throw new Problem(`${subject}: frame`, `the window ${found.join(",")}`, `one inside ${width}x${height}`, "export again");
  }
  return found;
}

// [width, height] of the picture that is counted.
export function pictureSize(subject, frame) {
  const [, , width, height] = windowOf(subject, frame);
  if (frame.scale === null) return [width, height];
  if (frame.scale[0] > width || frame.scale[1] > height) {
    const got = `the scale ${sizeText(frame.scale)}`;
    throw new Problem(`${subject}: frame`, got, `at most ${width}x${height}`, "export the model again");
  }
  return frame.scale;
}

// [2, H, W] of a frame.
export function frameShape(subject, frame) {
  const [width, height] = pictureSize(subject, frame);
  return [2, Math.ceil(height / frame.downscale), Math.ceil(width / frame.downscale)];
}

// The new coordinate by the old one along an axis, -1 where it is dropped.
function table(side, isReversed, first, length, target, picks) {
  const cell = Int32Array.from({ length }, (_, at) => Math.floor((at * target) / length));
  if (picks) {
    const picked = new Int32Array(length).fill(-1);
    for (let at = 0; at < target; at++) {
      picked[Math.floor((cell.indexOf(at) + cell.lastIndexOf(at)) / 2)] = at;
    }
    cell.set(picked);
  }
  return Int32Array.from({ length: side }, (_, at) => {
    const position = (isReversed ? side - 1 - at : at) - first;
    return position >= 0 && position < length ? cell[position] : -1;
  });
}

// Move the events of a sensor in place, and drop those outside the window or not picked.
export function moveEvents(events, frame) {
  if (!frame.rotate && frame.flip === "none" && !frame.crop && !frame.center_crop && !frame.scale) return;
  const [left, top, width, height] = windowOf("model card", frame), [across, down] = pictureSize("model card", frame);
  const [columns, rows] = turned(frame, frame.sensor_size), picks = frame.scale !== null && frame.scale_by === "pick";
  const isReversedX = [90, 180].includes(frame.rotate) !== (frame.flip === "horizontal");
  const isReversedY = [180, 270].includes(frame.rotate) !== (frame.flip === "vertical");
  const tableX = table(columns, isReversedX, left, width, across, picks);
  const tableY = table(rows, isReversedY, top, height, down, picks);
  const exchanges = frame.rotate % 180 !== 0;
  events.filter((at) => {
    const x = tableX[exchanges ? events.y[at] : events.x[at]], y = tableY[exchanges ? events.x[at] : events.y[at]];
    if (x < 0 || y < 0) return false;
    events.x[at] = x;
    events.y[at] = y;
    return true;
  });
}
