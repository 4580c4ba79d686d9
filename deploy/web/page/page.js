// The page: files in, the worker's answers out.
/* global byId, compact, drawBars, drawDecision, drawFacts, drawMarks, secondsOf, textOf, whole */

import { listenToFiles } from "./files.js";
import { Player } from "./player.js";
import { allDocuments, drawClips, drawTimeline, List, newRecording, save } from "./results.js";
import { listenToTheme } from "./theme.js";

const NO_THRESHOLDS = { unknown_below: 0, decide_at: null };
let worker = null, waiting = 0, wasStopped = false, frameWanted = false;
let modelFile = null, model = null, recordings = [], shown = null, readShare = 0;

const isDone = (recording) => recording.document !== null || recording.problem !== null;
const list = new List();
const player = new Player((tUs) => worker.postMessage({ picture: tUs }), wantFrame);

function say(problem) {
  byId("problem").hidden = !problem;
  textOf("problem", problem ?? "");
}

function wantFrame() {
  if (frameWanted) return;
  frameWanted = true;
  requestAnimationFrame(() => {
    frameWanted = false;
    draw();
  });
}

function draw() {
  drawClip(clipAt(player.t_us));
  drawClips(shown);
  drawTimeline(shown, model?.labels ?? [], player.t_us);
  list.draw(recordings, shown, show);
  player.open(shown?.opened?.lasts_us ?? 0, waiting === 0);
  drawState();
}

// The clip at a time of the shown recording, or the last one before it.
const clipAt = (tUs) => shown?.clips.findLast((clip) => clip.start_s * 1e6 <= tUs) ?? shown?.clips[0] ?? null;

function drawClip(clip) {
  if (clip) {
    drawBars(clip, model.labels);
    drawDecision(clip);
    return;
  }
  byId("label").className = "label unsure";
  byId("label").firstChild.textContent = shown?.document ? "no complete clip" : "waiting for the first clip";
  byId("why").firstChild.textContent = "";
  byId("bars").replaceChildren();
}

function drawState() {
  const done = recordings.filter(isDone).length, isBusy = waiting > 0;
  byId("stop").disabled = !isBusy;
  byId("save").disabled = isBusy || !done;
  byId("progress").value = recordings.length ? Math.min(1, (done + isBusy * readShare) / recordings.length) : 0;
  byId("state").className = isBusy ? "chip busy" : "chip";
  textOf("state", isBusy ? "working" : wasStopped ? "stopped" : done ? "done" : "waiting");
  textOf("doing", doing(done));
  document.body.dataset.state = byId("state").textContent;
}

function doing(done) {
  if (!model) return modelFile && waiting ? "opening the model" : "no model yet";
  if (!recordings.length) return "no recordings yet";
  const clips = recordings.reduce((sum, its) => sum + its.clips.length, 0);
  const { clip_ms: clipMs, step_ms: stepMs } = shown?.document ?? {};
  const speed = clipMs ? `; ${clipMs.toFixed(1)} ms a clip, ${stepMs.toFixed(2)} ms a step` : "";
  return `${done} of ${recordings.length} recordings, ${whole.format(clips)} clips${speed}`;
}

function drawAllFacts() {
  const { opened, name, document } = shown ?? {};
  const source = opened ? {
    source: name, format: opened.format, events: compact.format(opened.events),
    lasts: `${secondsOf(opened.lasts_us).toFixed(2)} s`, repaired: opened.notes.join("; "),
    "incomplete clips": document?.incomplete_clips ? whole.format(document.incomplete_clips) : "",
  } : { source: "" };
  drawFacts({ source, model: model?.facts ?? {} });
}

const ANSWERS = {
  formats: (formats) => textOf("formats", `${formats}. Choose them, or drop them on this page: they stay on this device.`),
  model: (opened) => {
    model = opened;
    drawMarks(model.thresholds);
    drawAllFacts();
    answered();
    recognise(recordings.filter((its) => !isDone(its)));
  },
  refused: (problem) => {
    startWorker(); // memory that ran out stays so
    say(problem);
  },
  reading: ({ share }) => readShare = share,
  opened: ({ id, ...opened }) => {
    shown = recordings[id];
    shown.opened = opened;
    player.show(0);
    drawAllFacts();
  },
  clip: ({ id, row }) => recordings[id].clips.push(row),
  picture: (picture) => {
    if (waiting) player.show(picture.t_us, true);
    player.draw(picture);
  },
  done: ({ id, document }) => {
    recordings[id].document = document;
    readShare = 0;
    drawAllFacts();
  },
  failed: ({ id, problem }) => {
    recordings[id].problem = problem;
    say(problem);
  },
  idle: () => {
    answered();
  },
};

function answered() {
  waiting = Math.max(0, waiting - 1);
}

function startWorker() {
  worker?.terminate();
  waiting = 0;
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => {
    const [name] = Object.keys(data);
    ANSWERS[name](data[name]);
    wantFrame();
  };
  worker.onerror = (event) => {
    waiting = 0;
    say(`worker: got ${event.message || "no answer"}; expected a browser with module workers; use a newer browser`);
    wantFrame();
  };
}

function ask(message) {
  waiting++;
  wasStopped = false;
  worker.postMessage(message);
  drawState();
  wantFrame();
}

function forget(kept) {
  if (waiting) startWorker(); // a running model ends with its worker alone
  list.clear();
  recordings = kept;
  shown = null;
}

function openModel(file) {
  forget(recordings.map((its, id) => newRecording(id, its.file)));
  say(null);
  [modelFile, model] = [file, null];
  drawMarks(NO_THRESHOLDS);
  drawAllFacts();
  ask({ model: file });
}

function recognise(some) {
  if (some.length && model) ask({ recordings: some.map(({ id, file }) => [id, file]) });
}

function addRecordings(files) {
  if (!files.length) return;
  if (!waiting && model) say(null); // what was wrong with the model stays
  const added = files.map((file, at) => newRecording(recordings.length + at, file));
  recordings = [...recordings, ...added];
  recognise(added);
  wantFrame();
}

function show(recording) {
  say(recording.problem);
  if (recording.document && model) ask({ show: [recording.id, recording.file] });
}

function stop() {
  const isUsable = model !== null;
  forget(recordings.filter(isDone).map((its, id) => ({ ...its, id })));
  if (isUsable) ask({ model: modelFile });
  else modelFile = null;
  wasStopped = true;
  wantFrame();
}

listenToTheme(wantFrame);
listenToFiles(openModel, addRecordings);
byId("stop").addEventListener("click", stop);
byId("save").addEventListener("click", () => save({ recordings: allDocuments(recordings) }, "predictions.json"));
new ResizeObserver(wantFrame).observe(byId("timeline"));
startWorker();
say(null);
wantFrame();
