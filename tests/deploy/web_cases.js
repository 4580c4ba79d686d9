// Runs the page's modules in Node, without a browser: node web_cases.js SITE < {"task": ..., "cases": [...]}.

import { File } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const site = resolve(process.argv[2]);
const load = (name) => import(pathToFileURL(join(site, name)));
const { EventStore } = await load("events/store.js");
const { readRecording } = await load("events/recording.js");
const { parseCard } = await load("model/card.js");
const { checksumOf } = await load("model/checksum.js");
const { Decider } = await load("model/decision.js");
const { frames, selectEvents } = await load("model/frames.js");
const { readOnnxFile } = await load("model/onnx_file.js");

const fileOf = ({ name, base64 }) => new File([Buffer.from(base64, "base64")], name);
const columns = (events) => ["t", "x", "y", "p"].map((name) => Array.from(events[name].subarray(0, events.count)));

function storeOf([t, x, y, p]) {
  const events = new EventStore();
  t.forEach((time, at) => events.push(time, x[at], y[at], p[at]));
  return events;
}

const TASKS = {
  recording: async (file) => {
    const { events, size, notes } = await readRecording(fileOf(file), file.size, () => {});
    return { events: columns(events), size, notes };
  },
  digest: async (file) => {
    const { events } = await readRecording(fileOf(file), file.size, () => {});
    const digests = ["t", "x", "y", "p"].map((name) =>
      createHash("sha256").update(events[name].subarray(0, events.count)).digest("hex"));
    return { count: events.count, digests };
  },
  frames: ({ card, events }) => {
    const { frame, frameShape } = parseCard("model", JSON.stringify(card));
    const cut = [];
    for (const { index, tStart, tEnd, counts } of frames("recording", selectEvents(storeOf(events), frame), frame, frameShape)) {
      cut.push([index, tStart, tEnd, Array.from(counts)]);
    }
    return cut;
  },
  decisions: ({ thresholds, labels, steps, clips }) => {
    const decider = new Decider(thresholds, labels);
    return clips.map((clip) => {
      decider.beginClip();
      clip.forEach(({ probabilities, rate }, at) => decider.push(probabilities, at + 1, steps, rate));
      return decider.decided;
    });
  },
  model: async (file) => {
    const { card, weights } = await readOnnxFile(fileOf(file));
    return { checksum: await checksumOf(weights), stated: parseCard(file.name, card).checksum };
  },
};

const { task, cases } = JSON.parse(readFileSync(0, "utf8"));
const results = [];
for (const given of cases) {
  try {
    results.push(await TASKS[task](given));
  } catch (error) {
    if (error.name !== "Problem") throw error;
    results.push({ problem: error.message });
  }
}
console.log(JSON.stringify(results));
