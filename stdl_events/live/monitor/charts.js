const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const byId = (id) => document.getElementById(id);
const textOf = (id, text) => { if (byId(id).textContent !== text) byId(id).textContent = text; };
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const axisMilliseconds = (us) => `${Number((us / 1e3).toPrecision(2))} ms`;
const milliseconds = (us) => us === null || us === undefined ? "–" : `${(us / 1e3).toFixed(us < 1e5 ? 2 : 0)} ms`;
const secondsOf = (us) => us / 1e6;
const SHOWN_S = 60;
const WORDS = { unknown: "unknown", still: "nothing there" };

function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = `12px system-ui, sans-serif`;
  context.fillStyle = css("--soft");
  context.textBaseline = "middle";
  return { context, width, height };
}

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((limit) => limit >= value);
}

// Points are [seconds before now (negative or 0), value]; both charts have their zero at the bottom.
function drawChart(canvas, points, format, { dots = false } = {}) {
  const { context, width, height } = fitted(canvas);
  const left = 58, right = 8, top = 10, bottom = 22;
  const seen = Math.max(0, ...points.map((point) => point[1]));
  const highest = niceCeiling(seen || 1);
  const x = (seconds) => left + (1 + seconds / SHOWN_S) * (width - left - right);
  const y = (value) => height - bottom - value / highest * (height - top - bottom);
  context.strokeStyle = css("--line");
  context.lineWidth = 1;
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    context.beginPath();
    context.moveTo(left, Math.round(y(share * highest)) + 0.5);
    context.lineTo(width - right, Math.round(y(share * highest)) + 0.5);
    context.stroke();
    if (seen || !share) context.fillText(format(share * highest), left - 8, y(share * highest));
  }
  drawSeconds(context, x, height - 9);
  context.strokeStyle = context.fillStyle = css("--a");
  context.lineWidth = 2;
  context.beginPath();
  points.forEach(([seconds, value], index) => {
    if (dots) {
      context.moveTo(x(seconds), y(value));
      context.arc(x(seconds), y(value), 2.5, 0, 2 * Math.PI);
    } else {
      context[index ? "lineTo" : "moveTo"](x(seconds), y(value));
    }
  });
  context[dots ? "fill" : "stroke"]();
}

function drawSeconds(context, x, y) {
  const pitch = x(0) - x(-SHOWN_S) < 260 ? 30 : 20;
  for (let seconds = -SHOWN_S; seconds <= 0; seconds += pitch) {
    context.textAlign = seconds === 0 ? "right" : seconds === -SHOWN_S ? "left" : "center";
    context.fillText(seconds ? `${-seconds} s ago` : "now", x(seconds), y);
  }
}

// Lanes of the timeline: the classes that were decided, then what is no class.
const MOST_LANES = 10;
const laneOf = (prediction) => prediction.decision ?? WORDS[prediction.state] ?? "unknown";

function lanesOf(decisions, labels) {
  const seen = new Set(decisions.map(laneOf));
  const classes = labels.length <= MOST_LANES ? labels : labels.filter((label) => seen.has(label)).slice(0, MOST_LANES);
  return [...classes, ...Object.values(WORDS).filter((word) => seen.has(word) && !labels.includes(word))];
}

function drawTimeline(canvas, decisions, labels, nowUs) {
  const lanes = lanesOf(decisions, labels);
  const pitch = 20, bottom = 22;
  canvas.style.setProperty("--lanes-height", `${Math.max(lanes.length, 2) * pitch + bottom}px`);
  const { context, width, height } = fitted(canvas);
  const left = Math.min(150, width * 0.3), right = 8;
  const x = (seconds) => left + (1 + Math.max(seconds, -SHOWN_S) / SHOWN_S) * (width - left - right);
  lanes.forEach((lane, index) => {
    const y = index * pitch;
    context.fillStyle = css("--shade");
    context.fillRect(left, y + 3, width - left - right, pitch - 6);
    context.fillStyle = css("--soft");
    context.textAlign = "left";
    context.fillText(shortened(context, lane, left - 10), 0, y + pitch / 2);
  });
  for (const prediction of decisions) {
    const index = lanes.indexOf(laneOf(prediction));
    if (index < 0) continue;
    const from = x(secondsOf((prediction.t_start_us ?? prediction.t_us) - nowUs));
    const to = x(secondsOf(prediction.t_us - nowUs));
    const isClass = prediction.decision !== null;
    context.fillStyle = isClass ? css("--a") : css("--b");
    const thickness = prediction.state === "held" ? 4 : pitch - 6;
    context.fillRect(from + 0.5, index * pitch + (pitch - thickness) / 2, Math.max(to - from - 1, 2), thickness);
  }
  context.fillStyle = css("--soft");
  drawSeconds(context, x, height - 9);
}

function shortened(context, text, width) {
  const flat = text.replace(/[\s\u202a-\u202e\u2066-\u2069]+/g, " ");
  if (context.measureText(flat).width <= width) return flat;
  let length = Math.min(flat.length, 64);
  while (length > 1 && context.measureText(`${flat.slice(0, length)}…`).width > width) length -= 1;
  return `${flat.slice(0, length)}…`;
}
