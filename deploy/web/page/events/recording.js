// A recording file: its format, and all its events in order. What is skipped is said; what stdl-events would read as
// several recordings, or only by guessing, is refused.

import { Problem, quoted } from "../problem.js";
import { Evt2Decoder, Evt3Decoder } from "./evt.js";
import { evtOf, readHeader, sizeOf, t0Of } from "./header.js";
import { isNmnist, NMNIST_SIZE, NmnistDecoder } from "./nmnist.js";
import { EventStore } from "./store.js";

const BLOCK_BYTES = 5 << 18; // whole records of all formats
// As in the package: a step back of more than this is a reset of the clock, and a few events that are this far from all
// others are stray.
const BACK_US = 1e6, APART_US = 2e6, FAR_US = 10e6;
const MAX_STRAYS = 1000, STRAY_FRACTION = 0.05;

const EVT_DECODERS = { "2.0": Evt2Decoder, "3.0": Evt3Decoder };

export const FORMATS = "Prophesee .raw (EVT 2 or EVT 3), or N-MNIST .bin";

// Returns { format, size, decoder, dataOffset }; size is null if the file does not store it.
async function recognise(file) {
  const header = await readHeader(file);
  const evt = evtOf(header);
  if (header.dataOffset && EVT_DECODERS[evt]) {
    const order = header.values.endianness ?? /endianness=(\w+)/.exec(header.values.format ?? "")?.[1] ?? "little";
    if (order !== "little") throw new Problem(file.name, `the byte order ${quoted(order)}`, "little", "copy it again");
    const decoder = new EVT_DECODERS[evt](t0Of(header, file.name));
    return { format: `EVT ${evt}`, size: sizeOf(header, file.name), decoder, dataOffset: header.dataOffset };
  }
  if (/\.bin$/i.test(file.name) && !header.dataOffset && await isNmnist(file)) {
    return { format: "N-MNIST", size: NMNIST_SIZE, decoder: new NmnistDecoder(), dataOffset: 0 };
  }
  throw new Problem(
    file.name, evt ? `the encoding EVT ${evt}` : "another kind of file", FORMATS,
    "convert it: stdl-events convert FILE recording.raw",
  );
}

// Read a file block by block. `defaultSize` is the sensor's, if the file does not store it.
// Returns { format, size, events, notes }.
export async function readRecording(file, defaultSize, progress) {
  const { format, size: own, decoder, dataOffset } = await recognise(file);
  const size = own ?? defaultSize, events = new EventStore(), record = decoder.constructor.bytes;
  for (let offset = dataOffset; offset < file.size; offset += BLOCK_BYTES) {
    const block = await file.slice(offset, offset + BLOCK_BYTES).arrayBuffer();
    const rest = block.byteLength % record;
    if (rest) {
      throw new Problem(
        file.name, `${rest} of ${record} bytes of a record at byte ${offset + block.byteLength - rest}, where it ends`,
        "a complete one", "copy the file again, or use stdl-events predict --repair",
      );
    }
    decoder.decode(new DataView(block), events);
    progress(Math.min(offset + BLOCK_BYTES, file.size) / file.size);
  }
  return { format, size, events, notes: putInOrder(file.name, events, size) };
}

// Drop what is outside the sensor, sort by time, and return what was done in words.
function putInOrder(name, events, [width, height]) {
  const notes = [];
  const outside = events.filter((at) => events.x[at] < width && events.y[at] < height);
  if (outside > events.count) {
    throw new Problem(
      name, `${outside} of ${outside + events.count} events outside the sensor`, `pixels of ${width}x${height}`,
      "use a recording of this sensor",
    );
  }
  if (outside) notes.push(`${outside} events outside the ${width}x${height} sensor: skipped`);
  const { steps, lateness } = disorder(name, events);
  if (steps) {
    events.sort();
    notes.push(`${steps} backward time steps, by at most ${lateness} us: sorted`);
  }
  refuseStrays(name, events);
  return notes;
}

function disorder(name, { t, count }) {
  let steps = 0, lateness = 0, newest = -Infinity;
  for (let at = 0; at < count; at++) {
    if (at && t[at] < t[at - 1]) {
      steps++;
      if (t[at] < t[at - 1] - BACK_US) {
        throw new Problem(
          name, `a clock that leaps back from ${t[at - 1]} to ${t[at]} us`, "one recording without a reset of its clock",
          "use stdl-events predict, or write one take: stdl-events convert FILE part.raw --take 1",
        );
      }
    }
    newest = Math.max(newest, t[at]);
    lateness = Math.max(lateness, newest - t[at]);
  }
  return { steps, lateness };
}

function refuseStrays(name, { t, count }) {
  const clusters = [];
  for (let at = 0; at < count; at++) {
    if (!at || t[at] - t[at - 1] >= APART_US) clusters.push({ events: 0, first: t[at], last: 0 });
    const open = clusters.at(-1);
    open.events++;
    open.last = t[at];
  }
  if (clusters.length < 2) return;
  const main = clusters.reduce((most, its) => (its.events > most.events ? its : most));
  if (count - main.events > Math.min(STRAY_FRACTION * count, MAX_STRAYS)) return;
  const least = Math.min(FAR_US, Math.max(APART_US, main.last - main.first));
  const stray = clusters.find((its) => its !== main && Math.max(its.first - main.last, main.first - its.last) >= least);
  if (stray) {
    throw new Problem(
      name, `stray events at ${stray.first} us, far from all others at ${main.first} to ${main.last} us`,
      "events near each other in time", "write it without them: stdl-events convert FILE clean.raw",
    );
  }
}
