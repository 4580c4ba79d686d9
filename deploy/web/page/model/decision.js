// Decisions clip by clip: whether the most probable class is believed, when, and what replaces the one before. The rules
// are those of the package's Decider.

const WORDS = { unknown: "unknown", still: "nothing there" };
const general = (value) => `${Number(value.toPrecision(6))}`;

export const mostProbable = (values) => values.reduce((most, value, at) => (value > values[most] ? at : most), 0);

// The decision of probabilities on their own: { label, state, why }.
export function decisionOf(probabilities, labels, unknownBelow) {
  const at = mostProbable(probabilities), label = labels[at], most = `${label} ${probabilities[at].toFixed(2)}`;
  if (probabilities[at] < unknownBelow) {
    return { label: null, state: "unknown", why: `${most}, less than ${general(unknownBelow)}` };
  }
  const why = unknownBelow ? `${most}, at least ${general(unknownBelow)}` : `${most}, the most`;
  return { label, state: "recognised", why };
}

export class Decider {
  #current = null;
  #other = null;
  #count = 0;

  constructor(thresholds, labels) {
    this.thresholds = thresholds;
    this.labels = labels;
    this.decided = null;
  }

  beginClip() {
    this.decided = null;
  }

  // Return the decision if it is made after `frames` of `steps` frames of the clip; otherwise null.
  push(probabilities, frames, steps, eventsPerS) {
    const { decide_at: decideAt, unknown_below: unknownBelow } = this.thresholds;
    if (this.decided) return null;
    if (frames === steps) {
      this.decided = { ...this.#held(this.#ofClip(probabilities, eventsPerS, unknownBelow)), frames };
    } else if (decideAt !== null) {
      const found = this.#ofClip(probabilities, eventsPerS, Math.max(decideAt, unknownBelow));
      if (found.state === "recognised") { // what is unknown or still may change until the end
        const decision = this.#held(found);
        this.decided = { ...decision, why: `early after ${frames} of ${steps} frames: ${decision.why}`, frames };
      }
    }
    return this.decided;
  }

  #ofClip(probabilities, eventsPerS, unknownBelow) {
    const stillBelow = this.thresholds.still_below;
    if (eventsPerS < stillBelow) {
      const why = `${eventsPerS.toFixed(0)} events/s, fewer than ${general(stillBelow)}`;
      return { label: null, state: "still", why };
    }
    return decisionOf(probabilities, this.labels, unknownBelow);
  }

  // Return `found`, or the decision before if `found` has not been seen often enough.
  #held(found) {
    const isSame = (one) => one !== null && one.state === found.state && one.label === found.label;
    if (this.#current === null || isSame(this.#current)) {
      [this.#current, this.#other] = [found, null];
      return found;
    }
    this.#count = isSame(this.#other) ? this.#count + 1 : 1;
    this.#other = found;
    if (this.#count >= this.thresholds.hold) {
      [this.#current, this.#other] = [found, null];
      return found;
    }
    const seen = `${found.label ?? WORDS[found.state]} in ${this.#count} of ${this.thresholds.hold} clips in a row`;
    const before = this.#current.label ?? WORDS[this.#current.state];
    return { label: this.#current.label, state: "held", why: `${before}: ${seen}` };
  }
}
