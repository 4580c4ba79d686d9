// The picture of events at the playhead, and the playhead itself.
/* global byId, css, secondsOf, textOf */

const LEVELS = 127;

// The colour of each light from -127 (darker) over 0 (clear) to 127 (brighter), as the bytes of a picture.
function palette() {
  const bytes = new Uint8ClampedArray(4 * (2 * LEVELS + 1));
  const [on, off] = ["--on", "--off"].map((name) => css(name).match(/\d+/g).map(Number));
  for (let light = -LEVELS; light <= LEVELS; light++) {
    bytes.set([...(light > 0 ? on : off), Math.abs(light) * 2], 4 * (light + LEVELS));
  }
  return new Uint32Array(bytes.buffer);
}

export class Player {
  #playing = null; // { from, began, speed }
  #startsOver = false;
  #isAsked = false;
  #next = null; // the time to ask for once the picture that was asked for is there

  // `ask` asks for the picture at a time; `moved` is called with each new time.
  constructor(ask, moved) {
    this.t_us = 0;
    this.ask = ask;
    this.moved = moved;
    byId("time").addEventListener("input", () => {
      this.pause();
      this.go(Number(byId("time").value));
    });
    byId("play").addEventListener("click", () => (this.#playing ? this.pause() : this.#play()));
    byId("speed").addEventListener("change", () => {
      if (this.#playing) this.#play();
    });
  }

  // A recording of `lasts_us` is there; its pictures can be asked for if `isFree`.
  open(lastsUs, isFree) {
    const slider = byId("time");
    if (Number(slider.max) !== lastsUs) {
      slider.max = lastsUs;
      slider.step = Math.max(1, Math.round(lastsUs / 1000));
    }
    slider.disabled = byId("play").disabled = !isFree || !lastsUs;
    if (!isFree) this.pause();
  }

  go(tUs) {
    this.show(tUs);
    if (this.#isAsked) this.#next = tUs;
    else this.#ask(tUs);
  }

  #ask(tUs) {
    [this.#isAsked, this.#next] = [true, null];
    this.ask(tUs);
  }

  // Move the playhead; the picture comes by itself. `startsOver`: the next press of Play plays from the beginning.
  show(tUs, startsOver = tUs >= byId("time").max - byId("time").step) {
    this.t_us = tUs;
    this.#startsOver = startsOver;
    byId("time").value = tUs;
    const text = `${secondsOf(tUs).toFixed(2)} s`;
    textOf("time-now", text);
    byId("time").setAttribute("aria-valuetext", text);
    this.moved(tUs);
  }

  draw({ width, height, light }) {
    const canvas = byId("picture");
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
      canvas.style.setProperty("--aspect", width / height);
      canvas.setAttribute("aria-label", "Events of the recording: brighter ones blue, darker ones orange");
    }
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer), colours = palette();
    for (let at = 0; at < light.length; at++) pixels[at] = colours[light[at] + LEVELS];
    context.putImageData(image, 0, 0);
    this.#isAsked = false;
    if (this.#next !== null) this.#ask(this.#next);
  }

  pause() {
    this.#playing = null;
    textOf("play", "Play");
  }

  #play() {
    const end = Number(byId("time").max), from = this.#startsOver ? 0 : this.t_us;
    const playing = this.#playing = { from, began: performance.now(), speed: Number(byId("speed").value) };
    textOf("play", "Pause");
    const tick = () => {
      if (this.#playing !== playing) return;
      const t = playing.from + (performance.now() - playing.began) * 1e3 * playing.speed;
      this.go(Math.min(t, end));
      if (t >= end) this.pause();
      else requestAnimationFrame(tick);
    };
    tick();
  }
}
