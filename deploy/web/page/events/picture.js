// A picture of events: each lights its pixel in the colour of its polarity, and fades. As on the page of a live run.

const LONGEST = 640, FADE_US = 80e3, LEVELS = 127;
const UNSEEN_US = FADE_US * Math.log(2 * LEVELS);

// The light of each pixel at a time, -127 (darker) to 127 (brighter), of a picture of at most 640 pixels a side.
export function pictureAt(events, [columns, rows], t) {
  const factor = Math.max(1, Math.ceil(Math.max(columns, rows) / LONGEST));
  const width = Math.ceil(columns / factor), height = Math.ceil(rows / factor), light = new Int8Array(width * height);
  const end = events.firstFrom(t);
  for (let at = events.firstFrom(t - UNSEEN_US); at < end; at++) {
    const level = Math.round(LEVELS * Math.exp((events.t[at] - t) / FADE_US));
    const pixel = Math.floor(events.y[at] / factor) * width + Math.floor(events.x[at] / factor);
    light[pixel] = events.p[at] ? level : -level;
  }
  return { width, height, light };
}
