// The events of one recording in memory, in columns: t in microseconds, x to the right, y downwards, p 1 for brighter.

import { Problem } from "../problem.js";

const MAX_EVENTS = 1 << 26;

export class EventStore {
  constructor(capacity = 1 << 16) {
    this.count = 0;
    this.#allocate(capacity);
  }

  push(t, x, y, p) {
    if (this.count === this.t.length) this.#grow();
    const at = this.count++;
    this.t[at] = t;
    this.x[at] = x;
    this.y[at] = y;
    this.p[at] = p;
  }

  // Keep the events whose index `keeps` accepts, in place.
  filter(keeps) {
    let kept = 0;
    for (let at = 0; at < this.count; at++) {
      if (!keeps(at)) continue;
      this.t[kept] = this.t[at];
      this.x[kept] = this.x[at];
      this.y[kept] = this.y[at];
      this.p[kept] = this.p[at];
      kept++;
    }
    const dropped = this.count - kept;
    this.count = kept;
    return dropped;
  }

  copy() {
    const copied = new EventStore(0);
    for (const column of ["t", "x", "y", "p"]) copied[column] = this[column].slice(0, this.count);
    copied.count = this.count;
    return copied;
  }

  // Sort by time, stably: equal times keep their order.
  sort() {
    const order = Uint32Array.from({ length: this.count }, (_, at) => at);
    const t = this.t;
    order.sort((one, other) => t[one] - t[other] || one - other);
    for (const column of ["t", "x", "y", "p"]) {
      const old = this[column], sorted = new old.constructor(this.count);
      for (let at = 0; at < this.count; at++) sorted[at] = old[order[at]];
      this[column] = sorted;
    }
  }

  // The index of the first event at or after a time; the events are in order.
  firstFrom(t) {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.t[middle] < t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #grow() {
    if (this.count >= MAX_EVENTS) {
      throw new Problem(
        "recording", `more than ${MAX_EVENTS} events`, "what fits into a browser's memory",
        "use stdl-events predict, which needs no more memory for longer recordings",
      );
    }
    const { t, x, y, p } = this;
    this.#allocate(Math.max(1 << 16, 2 * this.count));
    this.t.set(t);
    this.x.set(x);
    this.y.set(y);
    this.p.set(p);
  }

  #allocate(capacity) {
    this.t = new Float64Array(capacity);
    this.x = new Uint16Array(capacity);
    this.y = new Uint16Array(capacity);
    this.p = new Uint8Array(capacity);
  }
}
