// The headerless .bin of N-MNIST: x, y, then polarity (1 bit) and microseconds (23 bits, big-endian). The row 240, one
// below the ATIS sensor, marks an overflow: it is no event, and adds 2^13 us to all later times.
// Source: G. Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", 2015.

import { UnwrappedClock } from "./clock.js";

export const NMNIST_SIZE = [34, 34];
const OVERFLOW_ROW = 240, OVERFLOW_US = 1 << 13;
const BYTES = 5;

export class NmnistDecoder {
  static bytes = BYTES;
  #clock = new UnwrappedClock(23);
  #overflows = 0;

  decode(view, store) {
    for (let at = 0; at < view.byteLength; at += BYTES) {
      const high = view.getUint8(at + 2), y = view.getUint8(at + 1);
      const t = this.#clock.unwrap(((high & 0x7f) << 16) | view.getUint16(at + 3));
      if (y === OVERFLOW_ROW) this.#overflows++;
      else store.push(t + OVERFLOW_US * this.#overflows, view.getUint8(at), y, high >> 7);
    }
  }
}

// True if the first 65536 complete records, more than N-MNIST's largest file has, fit into 34x34 pixels.
export async function isNmnist(file) {
  const bytes = new Uint8Array(await file.slice(0, BYTES << 16).arrayBuffer());
  for (let at = 0; at + BYTES <= bytes.length; at += BYTES) {
    const isInside = bytes[at] < NMNIST_SIZE[0] && bytes[at + 1] < NMNIST_SIZE[1];
    if (!isInside && bytes[at + 1] !== OVERFLOW_ROW) return false;
  }
  return true;
}
