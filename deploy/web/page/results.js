// What is known of each recording, as a table, a timeline and a document.
/* global byId, css, element, fitted, lanesOf, laneOf, secondsOf, shortened, textOf, whole */

const MOST_ROWS = 200;

export const newRecording = (id, file) =>
  ({ id, file, name: file.name, opened: null, clips: [], document: null, problem: null });

const secondsText = (seconds) => `${seconds.toFixed(2)} s`;

function decisionCell({ document, problem, clips }) {
  const cell = element("td", problem ? "problem" : "");
  const text = problem ? "unreadable" : !document ? (clips.length ? "…" : "") : clips.length ? laneOf(document) : "no complete clip";
  cell.append(element("bdi", "", text));
  return cell;
}

function rowOf(recording, isShown, show) {
  const row = element("tr"), name = element("td"), button = element("button", "quiet");
  button.type = "button";
  button.append(element("bdi", "", recording.name));
  button.setAttribute("aria-pressed", isShown);
  button.addEventListener("click", () => show(recording));
  name.append(button);
  const probability = recording.document?.probability ?? null;
  row.append(
    name, decisionCell(recording), element("td", "number", probability === null ? "–" : probability.toFixed(2)),
    element("td", "number", whole.format(recording.clips.length)),
  );
  return row;
}

// Draw the rows that changed: a list of thousands is not made anew with each clip.
export class List {
  #drawn = new Map();

  clear() {
    this.#drawn.clear();
    byId("list").tBodies[0].replaceChildren();
  }

  draw(recordings, shown, show) {
    const body = byId("list").tBodies[0];
    for (const recording of recordings) {
      const { document, problem, clips, id } = recording, isShown = recording === shown;
      const key = `${document !== null} ${problem} ${clips.length} ${isShown}`, before = this.#drawn.get(id);
      if (before?.key === key) continue;
      const row = rowOf(recording, isShown, show), hadFocus = before?.row.contains(window.document.activeElement);
      if (before) before.row.replaceWith(row);
      else body.append(row);
      if (hadFocus) row.querySelector("button").focus();
      this.#drawn.set(id, { key, row });
    }
  }
}

export function drawClips(recording) {
  const clips = recording?.clips ?? [], body = byId("clips").tBodies[0];
  if (body.dataset.of !== `${recording?.id}`) body.replaceChildren();
  body.dataset.of = `${recording?.id}`;
  for (const clip of clips.slice(body.children.length, MOST_ROWS)) {
    const row = element("tr"), decided = element("td"), why = element("td");
    decided.append(element("bdi", "", laneOf(clip)));
    why.append(element("bdi", "", clip.why));
    row.append(element("td", "", secondsText(clip.start_s)), element("td", "", secondsText(clip.end_s)), decided, why);
    body.append(row);
  }
  textOf("more-clips", clips.length > MOST_ROWS ? `and ${whole.format(clips.length - MOST_ROWS)} more, in the saved file` : "");
}

export function drawTimeline(recording, labels, playheadUs) {
  const canvas = byId("timeline"), clips = recording?.clips ?? [], lanes = lanesOf(clips, labels);
  const pitch = 20, bottom = 22;
  canvas.style.setProperty("--lanes-height", `${Math.max(lanes.length, 2) * pitch + bottom}px`);
  const { context, width, height } = fitted(canvas);
  const left = Math.min(150, width * 0.3), right = 8;
  const lasts = Math.max(secondsOf(recording?.opened?.lasts_us ?? 0), clips.at(-1)?.end_s ?? 0, 1e-3);
  const x = (seconds) => left + Math.min(Math.max(seconds / lasts, 0), 1) * (width - left - right);
  lanes.forEach((lane, index) => {
    context.fillStyle = css("--shade");
    context.fillRect(left, index * pitch + 3, width - left - right, pitch - 6);
    context.fillStyle = css("--soft");
    context.textAlign = "left";
    context.fillText(shortened(context, lane, left - 10), 0, (index + 0.5) * pitch);
  });
  for (const clip of clips) {
    const index = lanes.indexOf(laneOf(clip));
    if (index < 0) continue;
    const from = x(clip.start_s), thickness = clip.state === "held" ? 4 : pitch - 6;
    context.fillStyle = css(clip.decision === null ? "--b" : "--a");
    context.fillRect(from + 0.5, index * pitch + (pitch - thickness) / 2, Math.max(x(clip.end_s) - from - 1, 2), thickness);
  }
  if (!recording?.opened) return;
  context.fillStyle = css("--ink");
  context.fillRect(x(secondsOf(playheadUs)) - 1, 0, 2, lanes.length * pitch);
  context.fillStyle = css("--soft");
  for (const share of [0, 0.5, 1]) {
    context.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
    context.fillText(`${Number((share * lasts).toPrecision(3))} s`, x(share * lasts), height - 9);
  }
}

// The document of all recordings, as `stdl-events predict --json` writes them.
export function allDocuments(recordings) {
  return recordings.filter((its) => its.document || its.problem).map(({ name, document, problem }) =>
    document ?? { recording: name, take: null, error: problem });
}

export function save(document, name) {
  const link = window.document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(document, null, 2)], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
