// What is wrong with a user's file, in one line: what it is, what was found, what is expected, what to do.

export class Problem extends Error {
  constructor(subject, got, expected, todo) {
    super(`${subject}: got ${got}; expected ${expected}; ${todo}`);
    this.name = "Problem";
  }
}

// Texts of files, short and in one line.
export const quoted = (value) => JSON.stringify(value === undefined ? null : value).slice(0, 60);

export const sizeText = ([width, height]) => `${width}x${height}`;
