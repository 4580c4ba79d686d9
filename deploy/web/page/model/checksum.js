// The checksum of a model's weights, as its card states it: of their names, shapes, types and values, by name.

const TYPES = { 1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8" };
const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// Returns the SHA-256 of `weights`; null where it cannot be computed: in a page that is not from https or localhost, or of
// values that are listed one by one.
export async function checksumOf(weights) {
  if (!globalThis.crypto?.subtle || weights.some(({ type, bytes }) => bytes === null || !TYPES[type])) return null;
  const text = new TextEncoder(), sorted = [...weights].sort((one, other) => (one.name < other.name ? -1 : 1));
  const parts = sorted.flatMap(({ name, dims, type, bytes }) =>
    [text.encode(`${hexOf(text.encode(name))} [${dims.join(", ")}] ${TYPES[type]} `), bytes]);
  return hexOf(new Uint8Array(await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer())));
}
