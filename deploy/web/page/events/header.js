// The text header of Prophesee's files: `%` lines of a keyword and a value.

import { Problem } from "../problem.js";

const MAX_HEADER_BYTES = 1 << 20;
const LINE = /% ([^\x00-\x08\x0a-\x0c\x0e-\x1f]*)\n/y;
const SIZE_OF_PLUGIN = [
  ["gen31", [640, 480]], ["gen3", [640, 480]], ["gen41", [1280, 720]], ["gen4", [1280, 720]],
  ["imx636", [1280, 720]], ["genx320", [320, 320]],
];

export async function readHeader(file) {
  const text = new TextDecoder("latin1").decode(await file.slice(0, MAX_HEADER_BYTES).arrayBuffer());
  const values = {};
  let dataOffset = 0;
  LINE.lastIndex = 0;
  for (let line = LINE.exec(text); line; line = LINE.exec(text)) {
    dataOffset = LINE.lastIndex;
    const [, keyword, value] = /^(\S*) ?(.*)$/s.exec(line[1].trim());
    values[keyword.toLowerCase()] = value.trim();
    if (keyword === "end") break;
  }
  return { values, dataOffset };
}

// Version of the encoding, such as "3.0"; null if the header names none.
export function evtOf({ values }) {
  if (values.evt !== undefined) return values.evt;
  const format = /^EVT(\d)(\d)?\b/.exec(values.format ?? "");
  return format && `${format[1]}.${format[2] ?? 0}`;
}

// Offset of the clock: writers that begin every file at 0 store it.
export function t0Of({ values }, name) {
  if (!/^\d{1,18}$/.test(values.t0 ?? "")) return 0;
  const t0 = Number(values.t0);
  if (!Number.isSafeInteger(2 * t0)) {
    throw new Problem(name, `the time ${values.t0} us in its header`, "times below 2^52 us", "use stdl-events predict");
  }
  return t0;
}

// [width, height]: from the geometry, the format's options, width and height, or the camera's plugin; null if unknown.
export function sizeOf({ values }, name) {
  const options = Object.fromEntries([...(values.format ?? "").matchAll(/(\w+)=(\d{1,6})/g)].map((its) => its.slice(1)));
  const geometry = /^(\d{1,6})x(\d{1,6})$/.exec(values.geometry ?? "");
  const isNumber = (text) => /^\d{1,6}$/.test(text ?? "");
  let size;
  if (geometry) size = geometry.slice(1);
  else if (options.width && options.height) size = [options.width, options.height];
  else if (isNumber(values.width) && isNumber(values.height)) size = [values.width, values.height];
  else return SIZE_OF_PLUGIN.find(([plugin]) => (values.plugin_name ?? "").includes(plugin))?.[1] ?? null;
  size = size.map(Number);
  if (size.some((side) => side < 1 || side > 65536)) {
    throw new Problem(name, `the sensor size ${size.join("x")} in its header`, "1 to 65536 pixels", "copy the file again");
  }
  return size;
}
