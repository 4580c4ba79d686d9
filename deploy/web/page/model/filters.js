// Filters of events, in this order; each sees the events that those before it kept. The rules are those of the
// package's FilterSpec.

const NEIGHBOURS = [[-1, -1], [0, -1], [1, -1], [-1, 0], [1, 0], [-1, 1], [0, 1], [1, 1]];

export function filterEvents(events, frame) {
  const { hot_pixels: hot, background_us: background, refractory_us: refractory } = frame.filters;
  const stride = frame.sensor_size[0] + 2; // a border of one pixel
  const pixelOf = (x, y) => (y + 1) * stride + x + 1;
  const noActivity = () => new Float64Array(stride * (frame.sensor_size[1] + 2)).fill(-Infinity);
  if (hot.length) {
    const dropped = new Set(hot.map(([x, y]) => pixelOf(x, y)));
    events.filter((at) => !dropped.has(pixelOf(events.x[at], events.y[at])));
  }
  if (background !== null) {
    const last = noActivity(), offsets = NEIGHBOURS.map(([x, y]) => y * stride + x);
    events.filter((at) => {
      const pixel = pixelOf(events.x[at], events.y[at]), t = events.t[at];
      last[pixel] = t;
      return offsets.some((offset) => t - last[pixel + offset] <= background);
    });
  }
  if (refractory !== null) {
    const last = noActivity();
    events.filter((at) => {
      const pixel = pixelOf(events.x[at], events.y[at]), t = events.t[at], before = last[pixel];
      last[pixel] = t;
      return t - before > refractory;
    });
  }
}
