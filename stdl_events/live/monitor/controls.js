const OFF = 1.01; // the last step of the slider for early decisions
let controls = null;

function thresholdsOfForm() {
  const early = Number(byId("decide-at").value);
  return {
    unknown_below: Number(byId("unknown-below").value),
    decide_at: early >= OFF ? null : early,
    still_below: Number(byId("still-below").value),
    hold: Number(byId("hold").value),
  };
}

function sayForm(thresholds) {
  const early = thresholds.decide_at;
  textOf("unknown-below-value", thresholds.unknown_below > 0 ? thresholds.unknown_below.toFixed(2) : "off");
  textOf("decide-at-value", early === null ? "off" : early.toFixed(2));
  byId("decide-at").setAttribute("aria-valuetext", early === null ? "off" : early.toFixed(2));
  drawMarks(thresholds);
}

function showControls(state, ended) {
  controls = state;
  const paused = byId("pause"), record = byId("record");
  paused.textContent = state.paused ? "Go on" : "Pause";
  paused.classList.toggle("active", state.paused);
  record.textContent = state.recording ? "Stop recording" : "Record";
  record.classList.toggle("active", state.recording !== null);
  paused.disabled = ended;
  record.disabled = ended || !state.records;
  textOf("recording", state.recording ? `${state.recording.file}: ${compact.format(state.recording.events)} events` : "");
  byId("decide-at").disabled = ended || !state.decides_early;
  for (const id of ["unknown-below", "still-below", "hold"]) byId(id).disabled = ended;
  if (!byId("thresholds").contains(document.activeElement)) {
    byId("unknown-below").value = state.thresholds.unknown_below;
    byId("decide-at").value = state.thresholds.decide_at ?? OFF;
    byId("still-below").value = state.thresholds.still_below;
    byId("hold").value = state.thresholds.hold;
    sayForm(state.thresholds);
  }
}

function listenToControls(send) {
  byId("pause").addEventListener("click", () => send({ do: "pause", on: !controls.paused }));
  byId("record").addEventListener("click", () => send({ do: "record", on: controls.recording === null }));
  byId("thresholds").addEventListener("input", () => sayForm(thresholdsOfForm()));
  byId("thresholds").addEventListener("change", () => send({ do: "thresholds", thresholds: thresholdsOfForm() }));
  byId("thresholds").addEventListener("submit", (event) => event.preventDefault());
  byId("snapshot").addEventListener("click", saveSnapshot);
}

function saveSnapshot() {
  const picture = byId("picture");
  const scale = Math.max(1, Math.floor(960 / picture.width)), strip = 44;
  const copy = document.createElement("canvas");
  copy.width = Math.max(picture.width * scale, 320);
  copy.height = picture.height * scale + strip;
  const context = copy.getContext("2d");
  context.fillStyle = css("--card");
  context.fillRect(0, 0, copy.width, copy.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, picture.width * scale, picture.height * scale);
  context.fillStyle = css("--ink");
  context.font = "20px system-ui, sans-serif";
  context.textBaseline = "middle";
  const caption = `${byId("label").textContent}  ${byId("why").textContent}`;
  context.fillText(shortened(context, caption, copy.width - 24), 12, copy.height - strip / 2);
  copy.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `snapshot-${new Date().toISOString().replace(/[:.]/g, "-").slice(0, 19)}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
