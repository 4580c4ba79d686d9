// Prophesee's RAW encodings EVT 2.0 and 3.0. Words before the first time, and in EVT 3 before the first row or base
// column, are dropped. Source: Prophesee's documentation of its encoding formats.

import { UnwrappedClock } from "./clock.js";

const OFF_EVERY_SENSOR = 0xff00;

export class Evt2Decoder {
  static bytes = 4;
  #clock = new UnwrappedClock(28);
  #high = -1;

  constructor(t0) {
    this.t0 = t0;
  }

  // 4 bits of type, then low time (6 bits), x (11) and y (11), or high time (28).
  decode(view, store) {
    for (let at = 0; at < view.byteLength; at += 4) {
      const word = view.getUint32(at, true), kind = word >>> 28;
      if (kind === 8) this.#high = this.#clock.unwrap(word & 0xfffffff);
      else if (kind <= 1 && this.#high >= 0) {
        const t = this.#high * 64 + ((word >>> 22) & 0x3f);
        store.push(this.t0 + t, (word >>> 11) & 0x7ff, word & 0x7ff, kind);
      }
    }
  }
}

export class Evt3Decoder {
  static bytes = 2;
  #clock = new UnwrappedClock(12);
  #high = -1;
  #low = 0;
  #row = -1;
  #column = -1;
  #polarity = 0;

  constructor(t0) {
    this.t0 = t0;
  }

  // 4 bits of type and 12 of value, which set a part of the state or add events.
  decode(view, store) {
    for (let at = 0; at < view.byteLength; at += 2) {
      const word = view.getUint16(at, true), value = word & 0xfff;
      switch (word >>> 12) {
        case 0:
          this.#row = value & 0x7ff;
          break;
        case 2:
          if (this.#isSet) store.push(this.#t, value & 0x7ff, this.#row, value >> 11);
          break;
        case 3:
          this.#column = value & 0x7ff;
          this.#polarity = value >> 11;
          break;
        case 4:
          this.#vector(value, 12, store);
          break;
        case 5:
          this.#vector(value & 0xff, 8, store);
          break;
        case 6:
          this.#low = value;
          break;
        case 8:
          this.#setHigh(value);
          break;
      }
    }
  }

  get #isSet() {
    return this.#high >= 0 && this.#row >= 0;
  }

  get #t() {
    return this.t0 + this.#high * 4096 + this.#low;
  }

  // A new high part restarts the low part at 0; a repeated one changes nothing.
  #setHigh(value) {
    const high = this.#clock.unwrap(value);
    if (high !== this.#high) this.#low = 0;
    this.#high = high;
  }

  // A vector starts at the base column and advances it; beyond every sensor it stays there.
  #vector(bits, width, store) {
    if (this.#column < 0) return;
    if (this.#isSet) {
      const start = Math.min(this.#column, OFF_EVERY_SENSOR), t = this.#t;
      for (let bit = 0; bits >> bit; bit++) {
        if ((bits >> bit) & 1) store.push(t, start + bit, this.#row, this.#polarity);
      }
    }
    this.#column += width;
  }
}
