// The worker: reads recordings, runs the model, draws pictures of events; the page stays free meanwhile.
//
// It receives { model: File }, { recordings: [[id, File]] }, { show: [id, File] } and { picture: t_us }, and answers
// with objects whose names say what they hold. Work is done in the order in which it is asked for, pictures at once.

import { pictureAt } from "./events/picture.js";
import { FORMATS, readRecording } from "./events/recording.js";
import { documentOf, clipRow, Recogniser } from "./model/recogniser.js";
import { StepSession } from "./model/session.js";
import { Problem, sizeText } from "./problem.js";

const PICTURE_EVERY_MS = 80;
let session = null, shown = null, work = Promise.resolve();

// Lets messages in that came meanwhile.
const { port1, port2 } = new MessageChannel();
const others = () => new Promise((done) => {
  port1.onmessage = done;
  port2.postMessage(null);
});

const messageOf = (error, name) => {
  if (error instanceof Problem) return error.message;
  if (error?.name === "NotReadableError" || error?.name === "NotFoundError") {
    return `${name}: got a file that does not read; expected one that stays where it is; choose it again`;
  }
  return `${name}: got ${error?.name ?? "an error"} (${String(error?.message ?? error).slice(0, 200)}); ` +
    "expected a file that fits into a browser's memory; use stdl-events predict";
};

async function openModel(file) {
  const before = session;
  session = null;
  await before?.release();
  session = await StepSession.open(file);
  const { frame, frameShape, labels, decision, provenance } = session.card;
  const cut = frame.kind === "recording" ? `of equal ${frame.by === "count" ? "numbers of events" : "duration"}`
    : frame.dt_us === null ? `of ${frame.events_per_frame} events` : `of ${frame.dt_us / 1e3} ms`;
  const facts = {
    model: file.name, classes: String(labels.length), sensor: sizeText(frame.sensor_size),
    clip: `${frame.steps} frames ${cut}`, frames: `2 x ${frameShape[1]} x ${frameShape[2]}`,
    weights: { true: "as the card's SHA-256 says", false: "not compared: the page is not from https" }[session.isWhole] ?? "",
    "trained by": typeof provenance.recipe === "string" ? provenance.recipe : "",
    "held-out accuracy": typeof provenance.held_out_accuracy === "number" ? provenance.held_out_accuracy.toFixed(3) : "",
  };
  return { facts, labels, thresholds: decision };
}

function fitting([width, height], wanted) {
  const [wide, high] = wanted;
  if (width === high && height === wide) return "turn it: stdl-events convert FILE fits.raw --rotate 90";
  return width >= wide && height >= high
    ? "cut or shrink it: stdl-events convert FILE fits.raw --center-crop WxH --scale WxH"
    : `use a recording of at least ${sizeText(wanted)} pixels, or train a model for this size`;
}

async function read(id, file) {
  const wanted = session.card.frame.sensor_size;
  shown = null;
  const recording = await readRecording(file, wanted, (share) => postMessage({ reading: { id, share } }));
  const { size, events, format, notes } = recording;
  if (sizeText(size) !== sizeText(wanted)) {
    throw new Problem(
      file.name, `a sensor of ${sizeText(size)} pixels`, `${sizeText(wanted)}, on which the model was trained`,
      fitting(size, wanted),
    );
  }
  shown = { id, size, events };
  const lasts = events.count ? events.t[events.count - 1] - events.t[0] : 0;
  postMessage({ opened: { id, events: events.count, lasts_us: lasts, format, size, notes } });
  return recording;
}

async function recognise(id, file) {
  const { events } = await read(id, file);
  const tFirst = events.count ? events.t[0] : null;
  let drawnAt = -Infinity;
  const found = await new Recogniser(session).recognise(file.name, events, async (clip) => {
    postMessage({ clip: { id, row: clipRow(clip, session.card.labels, tFirst) } });
    if (performance.now() - drawnAt >= PICTURE_EVERY_MS) {
      drawnAt = performance.now();
      sendPicture(clip.tEnd - tFirst);
    }
    await others();
  });
  const { clips } = found;
  if (clips.length) sendPicture(clips.at(-1).tEnd - tFirst);
  postMessage({ done: { id, document: documentOf(file.name, session.card, tFirst, found) } });
}

function sendPicture(sinceStart) {
  if (!shown?.events.count) return;
  const picture = pictureAt(shown.events, shown.size, shown.events.t[0] + sinceStart);
  postMessage({ picture: { id: shown.id, t_us: sinceStart, ...picture } }, [picture.light.buffer]);
}

async function each(recordings, task) {
  for (const [id, file] of recordings) {
    if (!session) return;
    try {
      await task(id, file);
    } catch (error) {
      postMessage({ failed: { id, problem: messageOf(error, file.name) } });
    }
  }
  postMessage({ idle: true });
}

const TASKS = {
  model: async (file) => {
    try {
      postMessage({ model: await openModel(file) });
    } catch (error) {
      postMessage({ refused: messageOf(error, file.name) });
    }
  },
  recordings: (recordings) => each(recordings, recognise),
  show: (recording) => each([recording], async (id, file) => {
    await read(id, file);
    sendPicture(0);
  }),
};

onmessage = ({ data }) => {
  if (data.picture !== undefined) {
    sendPicture(data.picture);
    return;
  }
  const [name] = Object.keys(data);
  work = work.then(() => TASKS[name](data[name]));
};

postMessage({ formats: FORMATS });
