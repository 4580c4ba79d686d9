// An .onnx file before onnxruntime sees it: its metadata, its weights, and that it computes what networks compute, without
// loops, functions or other files' data. The numbers of the fields are those of onnx.proto.

import { Problem, quoted } from "../problem.js";
import { OPERATORS } from "./operators.js";

const MAX_BYTES = 1 << 30, MAX_NODES = 1 << 14, MAX_JOINED = 1 << 12, CHANNEL_AXIS = 1;
const METADATA_KEY = "stdl_events.model_card";
const MODEL = { graph: 7, metadata: 14, training: 20, functions: 25 };
const GRAPH = { node: 1, initializer: 5, input: 11, sparse: 15 };
const NODE = { input: 1, output: 2, operator: 4, attribute: 5, domain: 7 };
const ATTRIBUTE = { name: 1, float: 2, integer: 3, tensor: 5, graph: 6, floats: 7, tensors: 10, graphs: 11, sparse: 22, sparses: 23 };
const VALUE_NAME = 1;
const TENSOR = { dims: 1, type: 2, floats: 4, name: 8, raw: 9, external: 13, location: 14 };
// Measured: eight-bit layers give other numbers here than in native onnxruntime.
const OTHER_PRECISION = ["QuantizeLinear", "DequantizeLinear"], FLOAT16 = 10;
const EXPECTED = "an exported .onnx model", AGAIN = "export the model again";

class Damaged extends Error {}

// Reads a message piece by piece; numbers are exact below 2^53.
class Message {
  #at = 0;

  constructor(bytes) {
    this.bytes = bytes;
  }

  get hasMore() {
    return this.#at < this.bytes.length;
  }

  varint() {
    let value = 0, scale = 1;
    for (let length = 0; length < 10; length++, scale *= 128) {
      if (!this.hasMore) throw new Damaged();
      const byte = this.bytes[this.#at++];
      value += (byte & 0x7f) * scale;
      if (byte < 128) return value;
    }
    throw new Damaged();
  }

  take(length) {
    if (this.#at + length > this.bytes.length) throw new Damaged();
    return this.bytes.subarray(this.#at, this.#at += length);
  }
}

// Yields [number, value] of each field; a value is a number, or bytes.
function* fields(bytes) {
  const message = new Message(bytes);
  while (message.hasMore) {
    const tag = message.varint(), number = Math.floor(tag / 8);
    if (number < 1) throw new Damaged();
    if (tag % 8 === 0) yield [number, message.varint()];
    else if (tag % 8 === 1) yield [number, message.take(8)];
    else if (tag % 8 === 2) yield [number, message.take(message.varint())];
    else if (tag % 8 === 5) yield [number, message.take(4)];
    else throw new Damaged();
  }
}

function* packed(bytes) {
  const message = new Message(bytes);
  while (message.hasMore) yield message.varint();
}

const NOTHING = new Uint8Array();

function bytesOf(value) {
  if (!(value instanceof Uint8Array)) throw new Damaged();
  return value;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const textOf = (bytes) => {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Damaged();
  }
};

// Returns { content, card, weights }: the file's bytes, the text of its model card, and its constant tensors as
// { name, dims, type, bytes }; `bytes` are null if its values are listed one by one.
export async function readOnnxFile(file) {
  if (file.size > MAX_BYTES) throw new Problem(file.name, `${file.size} bytes`, `at most ${MAX_BYTES}`, "check the file");
  const content = new Uint8Array(await file.arrayBuffer());
  try {
    return { content, ...checked(file.name, content) };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    throw new Problem(file.name, "a file that is no ONNX model", EXPECTED, AGAIN);
  }
}

function checked(name, content) {
  let card = null, weights = null;
  for (const [number, value] of fields(content)) {
    if (number === MODEL.functions) throw new Problem(name, "functions of its own", EXPECTED, AGAIN);
    if (number === MODEL.training) throw new Problem(name, "graphs of a training", EXPECTED, AGAIN);
    if (number === MODEL.graph) weights = checkGraph(name, bytesOf(value));
    if (number === MODEL.metadata) {
      const entry = Object.fromEntries(fields(bytesOf(value)));
      if (textOf(entry[1] ?? NOTHING) === METADATA_KEY) card = textOf(entry[2] ?? NOTHING);
    }
  }
  if (weights === null) throw new Damaged();
  if (card === null) {
    throw new Problem(name, "no model card in its metadata", `the entry ${METADATA_KEY}`, "export it with stdl-events");
  }
  return { card, weights };
}

function checkGraph(name, graph) {
  const weights = [], joined = [], given = [""];
  let nodes = 0;
  for (const [number, value] of fields(graph)) {
    if (number === GRAPH.sparse) throw new Problem(name, "sparse tensors", EXPECTED, AGAIN);
    if (number === GRAPH.initializer) weights.push(tensorOf(name, bytesOf(value)));
    if (number === GRAPH.node) {
      joined.push(checkNode(name, bytesOf(value)));
      nodes++;
    }
    if (number === GRAPH.input) given.push(textOf(Object.fromEntries(fields(bytesOf(value)))[VALUE_NAME] ?? NOTHING));
  }
  if (!nodes || nodes > MAX_NODES) throw new Problem(name, `a graph of ${nodes} nodes`, `1 to ${MAX_NODES}`, AGAIN);
  refuseGrowth(name, joined, given, weights.map((tensor) => tensor.name));
  return weights;
}

// Refuses joins that repeat a tensor more than `MAX_JOINED` times. A convolution by weights of the file has their channels.
function refuseGrowth(name, nodes, given, constants) {
  const times = new Map([...given, ...constants].map((tensor) => [tensor, 1])), fixed = new Set(constants);
  for (const { operator, inputs, outputs, axis } of nodes) {
    // What no node before has made, onnxruntime may order first: it counts as if it had no end.
    const ofInputs = inputs.map((tensor) => times.get(tensor) ?? Infinity);
    let grown = Math.max(1, ...ofInputs);
    if (operator === "Conv" && fixed.has(inputs[1])) grown = 1;
    if (operator === "Concat") {
      grown = ofInputs.reduce((sum, each) => sum + each, 0);
      if (axis !== CHANNEL_AXIS || grown > MAX_JOINED) {
        throw new Problem(name, "a Concat that grows without bound", `channels, joined at most ${MAX_JOINED} times`, AGAIN);
      }
    }
    outputs.forEach((tensor) => times.set(tensor, grown));
  }
}

// Returns { operator, inputs, outputs, axis }.
function checkNode(name, node) {
  const inputs = [], outputs = [];
  let operator = "", domain = "", axis = null;
  for (const [number, value] of fields(node)) {
    if (number === NODE.input) inputs.push(textOf(bytesOf(value)));
    if (number === NODE.output) outputs.push(textOf(bytesOf(value)));
    if (number === NODE.operator) operator = textOf(bytesOf(value));
    if (number === NODE.domain) domain = textOf(bytesOf(value));
    if (number === NODE.attribute) {
      checkAttribute(name, bytesOf(value));
      const entries = Object.fromEntries(fields(value));
      if (textOf(entries[ATTRIBUTE.name] ?? NOTHING) === "axis") axis = entries[ATTRIBUTE.integer] ?? 0;
    }
  }
  if (OTHER_PRECISION.includes(operator)) throw imprecise(name, "layers in eight bits");
  if (!["", "ai.onnx"].includes(domain) || !OPERATORS.has(operator)) {
    const full = domain ? `${domain}:${operator}` : operator;
    throw new Problem(name, `the operator ${quoted(full)}`, "operators of an exported network", AGAIN);
  }
  return { operator, inputs, outputs, axis };
}

function checkAttribute(name, attribute) {
  for (const [kind, value] of fields(attribute)) {
    if ([ATTRIBUTE.graph, ATTRIBUTE.graphs, ATTRIBUTE.sparse, ATTRIBUTE.sparses].includes(kind)) {
      throw new Problem(name, "a node with a graph or sparse tensor of its own", EXPECTED, AGAIN);
    }
    if ((kind === ATTRIBUTE.float || kind === ATTRIBUTE.floats) && !floatsOf(bytesOf(value)).every(Number.isFinite)) {
      throw new Problem(name, "numbers that are not finite", "finite numbers", AGAIN);
    }
    if (kind === ATTRIBUTE.tensor || kind === ATTRIBUTE.tensors) tensorOf(name, bytesOf(value));
  }
}

function floatsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, at) => view.getFloat32(4 * at, true));
}

function tensorOf(name, content) {
  const tensor = { name: "", dims: [], type: 0, bytes: null };
  for (const [number, value] of fields(content)) {
    if (number === TENSOR.external || (number === TENSOR.location && value)) {
      throw new Problem(name, "a tensor in another file", "all weights in the file", AGAIN);
    }
    if (number === TENSOR.dims) tensor.dims.push(...(typeof value === "number" ? [value] : packed(value)));
    if (number === TENSOR.type) tensor.type = value;
    if (number === TENSOR.type && value === FLOAT16) throw imprecise(name, "weights in float16");
    if (number === TENSOR.name) tensor.name = textOf(bytesOf(value));
    if (number === TENSOR.raw || number === TENSOR.floats) tensor.bytes = bytesOf(value);
  }
  return tensor;
}

const imprecise = (name, got) =>
  new Problem(name, got, "float32, with which this page predicts what stdl-events does", "export it in float32");
