// Events to frames, counts [2, H, W] each; windows without events are frames too. The rules are those of the package's
// Framer and recording_frames.

import { Problem } from "../problem.js";
import { filterEvents } from "./filters.js";
import { moveEvents } from "./frame_spec.js";

const MAX_COUNT = 65535, MAX_WINDOWS = 1e6;

// The events that are counted: filtered, turned, cut and scaled.
export function selectEvents(events, frame) {
  const selected = events.copy();
  filterEvents(selected, frame);
  moveEvents(selected, frame);
  return selected;
}

// Yields { index, tStart, tEnd, from, to }: the window, half open, and its events' indices.
function* windows(name, { t, count }, frame) {
  if (!count) return;
  if (frame.kind === "recording") yield* bins(t, count, frame);
  else if (frame.dt_us !== null) yield* timeWindows(name, t, count, frame);
  else {
    const size = frame.events_per_frame;
    for (let from = 0, index = 0; from < count; from += size, index++) {
      const to = Math.min(from + size, count);
      yield { index, tStart: t[from], tEnd: t[to - 1] + 1, from, to };
    }
  }
}

function* timeWindows(name, t, count, { dt_us: dt, grid }) {
  const origin = grid === "recording" ? t[0] : 0;
  let at = 0;
  for (let index = Math.floor((t[0] - origin) / dt); at < count; index++) {
    const tEnd = origin + (index + 1) * dt, from = at;
    if ((t[at] - tEnd) / dt > MAX_WINDOWS) {
      throw new Problem(
        name, `a gap of more than ${MAX_WINDOWS} windows of ${dt} us`, "fewer windows without events", "cut it at its gap",
      );
    }
    while (at < count && t[at] < tEnd) at++;
    yield { index, tStart: tEnd - dt, tEnd, from, to: at };
  }
}

// T bins of a whole recording, of equally many events or of equal duration.
function* bins(t, count, { steps, by, remainder }) {
  const first = t[0], last = t[count - 1];
  const length = by === "count" ? Math.floor(count / steps) : Math.floor((last - first) / steps);
  const edge = (step) => (by === "count" ? step * length : firstFrom(t, count, first + step * length));
  for (let index = 0; index < steps; index++) {
    const takesRest = index === steps - 1 && (remainder === "last" || (by === "time" && !length));
    yield { index, tStart: first, tEnd: last + 1, from: edge(index), to: takesRest ? count : edge(index + 1) };
  }
}

function firstFrom(t, count, time) {
  let at = 0;
  for (let step = 2 ** Math.floor(Math.log2(count)); step >= 1; step /= 2) {
    if (at + step <= count && t[at + step - 1] < time) at += step;
  }
  return at;
}

// Yields the windows with `counts`, which the next one overwrites, and their sum.
export function* frames(name, events, frame, [, height, width]) {
  const counts = new Float32Array(2 * height * width), most = frame.cap ?? MAX_COUNT, by = frame.downscale;
  for (const window of windows(name, events, frame)) {
    counts.fill(0);
    for (let at = window.from; at < window.to; at++) {
      const row = events.p[at] * height + Math.floor(events.y[at] / by);
      counts[row * width + Math.floor(events.x[at] / by)]++;
    }
    let sum = 0;
    for (let at = 0; at < counts.length; at++) {
      if (counts[at] > most) counts[at] = most;
      sum += counts[at];
    }
    yield { ...window, counts, sum };
  }
}
