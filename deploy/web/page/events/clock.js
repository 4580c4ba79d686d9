// Unwraps a counter of `bits` bits, value by value; the rules are those of the package's UnwrappedClock.

export class UnwrappedClock {
  #last = null;
  #wraps = 0;

  constructor(bits) {
    this.range = 2 ** bits;
    this.half = this.range / 2;
    // A range of hours: a smaller step back is rather a reset of the clock than a long pause.
    this.wrap = bits >= 28 ? 0.75 * this.range : this.half;
  }

  unwrap(counter) {
    const step = counter - (this.#last ?? counter);
    this.#last = counter;
    if (step < -this.wrap) this.#wraps++;
    else if (step > this.half && this.#wraps > 0) this.#wraps--; // a late event from before the wrap
    return counter + this.#wraps * this.range;
  }
}
