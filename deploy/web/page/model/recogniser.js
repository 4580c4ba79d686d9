// Frames in, predictions out: resets of the state, the readout, the clip grid. The rules are those of `stdl-events
// predict`, whose document of a recording `documentOf` writes.

import { Problem } from "../problem.js";
import { Decider, decisionOf, mostProbable } from "./decision.js";
import { frames, selectEvents } from "./frames.js";

export function softmax(logits, temperature) {
  const most = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp((logit - most) / temperature));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

// Softmax of the mean logits of the steps of a clip, or of the last T steps.
class Readout {
  #logits = [];

  constructor(session) {
    this.session = session;
  }

  restart() {
    this.#logits = [];
  }

  push(logits, tEnd) {
    const { name, card } = this.session;
    this.#logits.push(logits);
    if (this.#logits.length > card.frame.steps) this.#logits.shift();
    const mean = Array.from(logits, (_, at) => this.#logits.reduce((sum, its) => sum + its[at], 0) / this.#logits.length);
    if (!mean.every(Number.isFinite)) {
      throw new Problem(name, `logits that are not finite at t=${tEnd} us`, "finite logits", "export a float32 model");
    }
    return { mean, probabilities: softmax(mean, card.temperature) };
  }
}

const now = () => performance.now();

// Recognises a recording; `onClip` is called, and waited for, with each complete clip.
export class Recogniser {
  constructor(session) {
    this.session = session;
    this.decider = new Decider(session.card.decision, session.card.labels);
    this.resets = session.card.readout === "reset";
    this.readout = new Readout(session);
    if (!this.resets && session.card.decision.decide_at !== null) {
      throw new Problem(
        session.name, "decide_at, and a state that goes on over clips", "a state that is zeroed at each clip",
        "export the model again",
      );
    }
  }

  // Returns { clips, incomplete, stepMs, clipMs }; the times are medians, without what `onClip` takes.
  async recognise(name, events, onClip) {
    const { card } = this.session, steps = card.frame.steps, clips = [], stepTimes = [], clipTimes = [];
    let state = this.session.initialState(), incomplete = 0, isOpen = false, clip = null, lost = -1;
    let began = now();
    for (const frame of frames(name, selectEvents(events, card.frame), card.frame, card.frameShape)) {
      const number = Math.floor(frame.index / steps), step = frame.index - number * steps;
      if (this.resets && step === 0) {
        state = this.session.initialState();
        this.readout.restart();
        isOpen = true;
      } else if (this.resets && !isOpen) {
        incomplete += lost !== number;
        lost = number;
        continue;
      }
      if (clip === null || clip.clip !== number) {
        clip = { clip: number, tStart: frame.tStart, sum: 0 };
        this.decider.beginClip();
      }
      const stepBegan = now();
      let logits;
      [logits, state] = await this.session.step(frame.counts, state);
      stepTimes.push(now() - stepBegan);
      const { mean, probabilities } = this.readout.push(logits, frame.tEnd);
      clip.sum += frame.sum;
      this.decider.push(probabilities, step + 1, steps, clip.sum * 1e6 / (frame.tEnd - clip.tStart));
      if (step < steps - 1) continue;
      isOpen = false;
      clips.push(finished(clip, frame, mean, probabilities, this.decider.decided));
      clipTimes.push(now() - began);
      await onClip(clips.at(-1));
      began = now();
    }
    return { clips, incomplete: incomplete + isOpen, stepMs: median(stepTimes), clipMs: median(clipTimes) };
  }
}

const finished = ({ clip, tStart }, { tEnd }, logits, probabilities, { label, state, why, frames: decidedAfter }) =>
  ({ clip, tStart, tEnd, logits, probabilities, decision: label, state, why, decidedAfter });

function median(values) {
  if (!values.length) return null;
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

const named = (labels, probabilities) => Object.fromEntries(labels.map((label, at) => [label, probabilities[at]]));

// Returns a recording's document, as `stdl-events predict --json` writes it, with the mean logits of each clip and the
// median times of a clip and of a step.
export function documentOf(name, card, tFirst, { clips, incomplete, clipMs, stepMs }) {
  const { labels, decision: thresholds } = card;
  const moving = clips.filter((clip) => clip.state !== "still"), counted = moving.length ? moving : clips;
  const mean = labels.map((_, at) => counted.reduce((sum, clip) => sum + clip.probabilities[at], 0) / counted.length);
  const most = clips.length ? mostProbable(mean) : null;
  const decision = decided(clips, moving, mean, labels, thresholds);
  return {
    recording: name,
    take: null,
    t_first_us: tFirst,
    label: most === null ? null : labels[most],
    probability: most === null ? null : mean[most],
    probabilities: most === null ? {} : named(labels, mean),
    decision: decision?.label ?? null,
    state: decision?.state ?? null,
    why: decision?.why ?? "",
    incomplete_clips: incomplete,
    clips: clips.map((clip) => clipRow(clip, labels, tFirst)),
    clip_ms: clipMs,
    step_ms: stepMs,
  };
}

function decided(clips, moving, mean, labels, thresholds) {
  if (!clips.length) return null;
  if (!moving.length) {
    const why = `every clip has fewer than ${Number(thresholds.still_below.toPrecision(6))} events/s`;
    return { label: null, state: "still", why };
  }
  return decisionOf(mean, labels, thresholds.unknown_below);
}

export function clipRow(clip, labels, tFirst) {
  const most = mostProbable(clip.logits);
  return {
    clip: clip.clip,
    t_start_us: clip.tStart,
    t_end_us: clip.tEnd,
    start_s: (clip.tStart - tFirst) / 1e6,
    end_s: (clip.tEnd - tFirst) / 1e6,
    label: labels[most],
    probability: clip.probabilities[most],
    probabilities: named(labels, clip.probabilities),
    decision: clip.decision,
    state: clip.state,
    why: clip.why,
    decided_after: clip.decidedAfter,
    logits: clip.logits,
  };
}
