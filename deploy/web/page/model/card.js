// The model card: what running a model needs besides its weights. What is not known here is refused.

import { Problem, quoted } from "../problem.js";
import { frameShape } from "./frame_spec.js";

const SCHEMA_VERSION = 1;
const MAX_CHARACTERS = 4 << 20, MAX_LABELS = 1 << 16, MAX_STATES = 1 << 12, MAX_VALUES = 1 << 28;
const DEFAULT_DECISION = { unknown_below: 0, still_below: 0, hold: 1, decide_at: null };
const FRAME_DEFAULTS = {
  kind: null, steps: null, sensor_size: null, dt_us: null, events_per_frame: null, grid: "recording", by: null,
  remainder: "last", downscale: 1, filters: {}, rotate: 0, flip: "none", crop: null, center_crop: null, scale: null,
  scale_by: "area", cap: null, picture: {},
};
// Those that say nothing about a prediction are not read further.
const ENTRIES = [
  "schema_version", "network", "frame", "labels", "readout", "state_shapes", "versions", "provenance", "decision",
  "temperature", "steps_per_call", "weights_sha256", "verification", "accuracy", "state_format",
];
const FILTER_DEFAULTS = { hot_pixels: [], background_us: null, refractory_us: null };

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value, least = 1, most = Number.MAX_SAFE_INTEGER) =>
  Number.isSafeInteger(value) && value >= least && value <= most;
const isShape = (value) => Array.isArray(value) && value.every((size) => isCount(size));
const isPair = (value) => Array.isArray(value) && value.length === 2 && value.every((side) => isCount(side, 1, 65536));
const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
const isChecksum = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const isOptional = (test) => (value) => value === null || test(value);
const isOneOf = (...names) => (value) => names.includes(value);
const isWindow = (value) => Array.isArray(value) && value.length === 4 && value.every((side) => isCount(side, 0, 65536));

const FRAME_TESTS = {
  kind: isOneOf("stream", "recording"), steps: (value) => isCount(value, 1, 1 << 20), sensor_size: isPair,
  dt_us: isOptional((value) => isCount(value, 1, 1e12)), events_per_frame: isOptional(isCount), downscale: isCount,
  grid: isOneOf("clock", "recording"), by: isOneOf(null, "count", "time"), remainder: isOneOf("last", "drop"),
  rotate: isOneOf(0, 90, 180, 270), flip: isOneOf("none", "horizontal", "vertical"), crop: isOptional(isWindow),
  center_crop: isOptional(isPair), scale: isOptional(isPair), scale_by: isOneOf("area", "pick"),
  cap: isOptional((value) => isCount(value, 1, 65535)), filters: isObject, picture: isObject,
};
const FILTER_TESTS = {
  hot_pixels: (value) => Array.isArray(value) && value.every((pixel) => isCount(pixel?.[0], 0) && isCount(pixel?.[1], 0)),
  background_us: isOptional((value) => isCount(value)), refractory_us: isOptional((value) => isCount(value)),
};
const DECISION_TESTS = {
  unknown_below: isShare, still_below: (value) => typeof value === "number" && value >= 0, hold: (value) => isCount(value),
  decide_at: isOptional((value) => isShare(value) && value > 0),
};

function refuseUnknown(subject, given, known) {
  const name = Object.keys(given).find((its) => !known.includes(its));
  if (name !== undefined) throw wrong(subject, `the entry ${quoted(name)}`, known.join(", "), "use a newer page");
}

function settings(subject, given, defaults, tests) {
  if (!isObject(given)) throw wrong(subject, quoted(given), "an object");
  refuseUnknown(subject, given, Object.keys(defaults));
  const all = { ...defaults, ...given };
  for (const [name, test] of Object.entries(tests)) require(subject, all, name, test);
  return all;
}

function require(subject, card, name, test, expected = "another value") {
  if (!test(card[name])) throw wrong(`${subject}: ${name}`, quoted(card[name]), expected);
}

const wrong = (subject, got, expected, todo = "export the model again") => new Problem(subject, got, expected, todo);

// Older specs without a grid are on that of the clock; a grid of windows without a length says nothing.
function asStored(frame) {
  if ((frame.grid ?? "clock") !== "clock") return frame;
  const { grid, ...others } = frame;
  return (frame.dt_us ?? null) === null ? others : { ...others, grid: "clock" };
}

function frameOf(name, given) {
  if (!isObject(given)) throw wrong(`${name}: frame`, quoted(given), "a frame spec");
  if (given.kind === "picture") {
    throw wrong(name, "a model of static pictures", "a model of events", "use one that was trained on events");
  }
  const frame = settings(`${name}: frame`, asStored(given), FRAME_DEFAULTS, FRAME_TESTS);
  frame.filters = settings(`${name}: frame.filters`, frame.filters, FILTER_DEFAULTS, FILTER_TESTS);
  const cuts = frame.kind === "stream" ? [frame.dt_us, frame.events_per_frame] : [frame.by];
  if (cuts.filter((its) => its !== null).length !== 1) {
    throw wrong(`${name}: frame`, "no cut into windows, or two", "one of dt_us and events_per_frame, or by");
  }
  return frame;
}

// Returns the card in JSON `text` of the file `name`.
export function parseCard(name, text) {
  const subject = `${name}: model card`;
  let card = null;
  if (text.length <= MAX_CHARACTERS) {
    try {
      card = JSON.parse(text);
    } catch { /* said below */ }
  }
  if (!isObject(card)) throw wrong(subject, quoted(text), `a JSON object of at most ${MAX_CHARACTERS} characters`);
  if ((card.schema_version ?? SCHEMA_VERSION) !== SCHEMA_VERSION) {
    throw wrong(`${subject}: schema_version`, quoted(card.schema_version), `${SCHEMA_VERSION}`, "use the page that came with it");
  }
  refuseUnknown(subject, card, ENTRIES);
  const isLabels = (labels) => Array.isArray(labels) && labels.length > 0 && labels.length <= MAX_LABELS &&
    new Set(labels).size === labels.length && labels.every((label) => typeof label === "string" && label.length <= 200);
  require(subject, card, "labels", isLabels, "distinct class names");
  require(subject, card, "readout", isOneOf("reset", "sliding"), "reset or sliding");
  const isStates = (shapes) => Array.isArray(shapes) && shapes.length <= MAX_STATES && shapes.every(isShape);
  require(subject, card, "state_shapes", isStates, "lists of sizes");
  const stateFormat = card.state_format ?? null;
  if (stateFormat !== null) {
    if (!isObject(stateFormat)) throw wrong(`${subject}: state_format`, quoted(stateFormat), "an object");
    refuseUnknown(`${subject}: state_format`, stateFormat, ["dtype", "scale"]);
    require(`${subject}: state_format`, stateFormat, "dtype", isOneOf("int8"), "int8");
  }
  const temperature = card.temperature ?? 1;
  require(subject, { temperature }, "temperature", (value) => value >= 1e-3 && value <= 1e3, "0.001 to 1000");
  if ((card.steps_per_call ?? 1) !== 1) {
    throw wrong(subject, "a file of whole clips", "one frame in a call", "export it without --whole-clip");
  }
  const frame = frameOf(subject, card.frame);
  const decision = settings(`${subject}: decision`, card.decision ?? {}, DEFAULT_DECISION, DECISION_TESTS);
  const shapes = [frameShape(subject, frame), ...card.state_shapes];
  const values = shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0);
  if (values > MAX_VALUES) throw wrong(subject, `${values} values of a step`, `at most ${MAX_VALUES}`, "use a smaller network");
  const { labels, readout, state_shapes: stateShapes, weights_sha256: checksum = null } = card;
  require(subject, { weights_sha256: checksum }, "weights_sha256", isOptional(isChecksum), "64 hexadecimal digits");
  const provenance = isObject(card.provenance) ? card.provenance : {};
  const stateType = stateFormat === null ? "float32" : "int8";
  return { labels, readout, stateShapes, stateType, temperature, frame, frameShape: shapes[0], decision, provenance, checksum };
}
