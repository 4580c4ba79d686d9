// An exported model as a step: frame and state in, logits and state out.

import { InferenceSession, Tensor, env } from "../vendor/onnxruntime.js";
import { Problem } from "../problem.js";
import { parseCard } from "./card.js";
import { checksumOf } from "./checksum.js";
import { readOnnxFile } from "./onnx_file.js";

const AGAIN = "export the model again";

env.logLevel = "fatal"; // what fails is thrown
env.wasm.numThreads = 1; // more need headers that a plain web server does not send

const reasonOf = (error) => String(error?.message ?? error).trim().split("\n").at(-1).slice(0, 200);

export class StepSession {
  // Open the model in a file; throws a `Problem` for what is none.
  static async open(file) {
    const { content, card: text, weights } = await readOnnxFile(file);
    const card = parseCard(file.name, text), found = await checksumOf(weights);
    if (card.checksum !== null && found !== null && found !== card.checksum) {
      const wanted = `${card.checksum.slice(0, 16)}…, as its model card says`;
      throw new Problem(file.name, `weights of the SHA-256 ${found.slice(0, 16)}…`, wanted, "copy it again: it was changed");
    }
    env.wasm.wasmBinary ??= await (await fetch(new URL("../vendor/onnxruntime.wasm", import.meta.url))).arrayBuffer();
    let session;
    try {
      session = await InferenceSession.create(content, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      throw new Problem(file.name, `a file that onnxruntime refuses (${reasonOf(error)})`, "an exported .onnx model", AGAIN);
    }
    return new StepSession(file.name, card, session, card.checksum === null ? null : found !== null);
  }

  // `isWhole`: the weights have the checksum of the card; null if it states none, false if it could not be compared.
  constructor(name, card, session, isWhole) {
    this.name = name;
    this.isWhole = isWhole;
    this.card = card;
    this.session = session;
    const states = (prefix) => card.stateShapes.map((shape, at) => [`${prefix}state_${at}`, card.stateType, shape]);
    this.#compare("inputs", session.inputMetadata, [["frame", "float32", card.frameShape], ...states("")]);
    this.#compare("outputs", session.outputMetadata, [["logits", "float32", [card.labels.length]], ...states("next_")]);
  }

  async release() {
    await this.session.release();
  }

  initialState() {
    const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);
    const { stateShapes, stateType } = this.card, Values = stateType === "int8" ? Int8Array : Float32Array;
    return stateShapes.map((shape) => new Tensor(stateType, new Values(sizeOf(shape)), [1, ...shape]));
  }

  // Returns [logits, next state].
  async step(counts, state) {
    const feed = { frame: new Tensor("float32", counts, [1, ...this.card.frameShape]) };
    state.forEach((tensor, at) => feed[`state_${at}`] = tensor);
    let results;
    try {
      results = await this.session.run(feed);
    } catch (error) {
      throw new Problem(this.name, `a step that fails in onnxruntime (${reasonOf(error)})`, "one that works", AGAIN);
    }
    return [results.logits.data, state.map((_, at) => results[`next_state_${at}`])];
  }

  #compare(what, declared, wanted) {
    const shapeOf = (its) => its.shape.slice(1).join("x");
    const got = declared.map((its) => `${its.name} ${its.isTensor ? `${its.type} ${shapeOf(its)}` : "no tensor"}`);
    const expected = wanted.map(([name, type, shape]) => `${name} ${type} ${shape.join("x")}`);
    if (got.length !== expected.length || expected.some((its) => !got.includes(its))) {
      const listed = (texts) => texts.slice(0, 4).join(", ").slice(0, 200) + (texts.length > 4 ? ", …" : "");
      const float16 = declared.some((its) => its.isTensor && its.type === "float16");
      throw new Problem(
        this.name, `the ${what} ${listed(got)}`, `${listed(expected)}, as its model card says`,
        float16 ? "export it in float32 for a browser" : AGAIN,
      );
    }
  }
}
