const MOST_KEPT = 2000;
let labels = [], predictions = [], summaries = [], zeroUs = 0;
let ended = false, connected = false, missed = 0, viewers = 0, socket = null, pauseMs = 500;
let waitingPicture = null, isDrawingPicture = false, frameWanted = false;

const isDecision = (prediction) => prediction.decided_after === prediction.step + 1;

function say(problem) {
  byId("problem").hidden = !problem;
  textOf("problem", problem ?? "");
}

function showConnection() {
  const state = ended ? "ended" : !connected ? "lost" : controls?.paused ? "paused" : "live";
  const words = { ended: "the run has ended", lost: "connection lost", paused: "paused", live: "live" };
  const chip = byId("connection");
  chip.className = `chip ${state}`;
  textOf("connection", words[state] + (state === "live" && viewers > 1 ? `, ${viewers} viewers` : ""));
}

function addPredictions(added) {
  for (const prediction of added) {
    const last = predictions.at(-1);
    if (last && prediction.t_us < last.t_us) predictions = []; // the source's clock went back
    if (!predictions.length) zeroUs = prediction.t_start_us ?? prediction.t_us;
    predictions.push(prediction);
  }
  predictions = predictions.slice(-MOST_KEPT);
}

function received(message) {
  if (message.facts) {
    labels = message.facts.labels;
    [predictions, summaries] = [[], []];
    drawFacts(message.facts);
  }
  if (message.predictions) addPredictions(message.predictions);
  if (message.missed !== undefined) missed = message.missed;
  if (message.summaries) summaries = [...summaries, ...message.summaries].slice(-300);
  if (message.ended !== undefined) ended = message.ended;
  if (message.viewers !== undefined) viewers = message.viewers;
  if (message.controls) showControls(message.controls, ended);
  if (message.problem) say(message.problem);
  showConnection();
  wantFrame();
}

function wantFrame() {
  if (frameWanted) return;
  frameWanted = true;
  requestAnimationFrame(() => {
    frameWanted = false;
    draw();
  });
}

function draw() {
  const last = predictions.at(-1);
  const decisions = predictions.filter(isDecision);
  const nowUs = last ? last.t_us : 0;
  const since = predictions.filter((prediction) => prediction.t_us >= nowUs - SHOWN_S * 1e6);
  if (last) {
    drawBars(last, labels);
    drawDecision(decisions.at(-1) && !isDecision(last) && last.state !== "open" ? decisions.at(-1) : last);
    drawLast(decisions, zeroUs);
    document.body.dataset.clip = last.clip;
  }
  drawTimeline(byId("timeline"), decisions.filter((its) => its.t_us >= nowUs - SHOWN_S * 1e6), labels, nowUs);
  const latencies = since.map((its) => [secondsOf(its.t_us - nowUs), its.latency_us]);
  drawChart(byId("latency"), latencies, axisMilliseconds, { dots: true });
  drawSummaries();
}

function drawSummaries() {
  const last = summaries.at(-1);
  const rates = summaries.slice(1).map((its, index) => {
    const before = summaries[index];
    return [its.seconds - last.seconds, (its.events - before.events) / Math.max(its.seconds - before.seconds, 1e-3)];
  });
  drawChart(byId("rate"), rates.filter(([seconds]) => seconds >= -SHOWN_S), (value) => compact.format(value));
  if (!last) return;
  const { p50, p95, p99, max } = last.latency_us;
  textOf("latency-now", `p50 ${milliseconds(p50)}, p95 ${milliseconds(p95)}, p99 ${milliseconds(p99)}, ` +
    `max ${milliseconds(max)}; the model ${milliseconds(last.step_us.p50)}`);
  textOf("rate-now", `${compact.format(rates.at(-1)?.[1] ?? 0)} events/s; in ${last.seconds.toFixed(0)} s ` +
    `${compact.format(last.events)} events, ${whole.format(last.frames)} frames, ${whole.format(last.clips)} clips`);
  drawLosses(missed ? { ...last, page: { ...last.page, "predictions not shown here": missed } } : last);
}

async function drawPicture() {
  if (isDrawingPicture) return;
  isDrawingPicture = true;
  const canvas = byId("picture");
  while (waitingPicture) {
    const data = waitingPicture;
    waitingPicture = null;
    const bitmap = await createImageBitmap(new Blob([data], { type: "image/png" })).catch(() => null);
    if (bitmap === null) continue; // the page is being closed
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      canvas.style.setProperty("--aspect", bitmap.width / bitmap.height);
      canvas.setAttribute("aria-label", "Events of the source: brighter ones blue, darker ones orange");
    }
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
  }
  isDrawingPicture = false;
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    [connected, pauseMs] = [true, 500];
    say(null);
  };
  socket.onmessage = (event) => {
    if (typeof event.data === "string") {
      received(JSON.parse(event.data));
    } else {
      waitingPicture = event.data;
      drawPicture();
    }
  };
  socket.onclose = () => {
    connected = false;
    showConnection();
    if (!ended) setTimeout(connect, pauseMs = Math.min(2 * pauseMs, 8000));
  };
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", theme === "dark" ? "Light colours" : "Dark colours");
  wantFrame();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(prefersDark.matches ? "dark" : "light");
prefersDark.addEventListener("change", () => setTheme(prefersDark.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
new ResizeObserver(wantFrame).observe(byId("rate"));
listenToControls((command) => {
  say(null);
  if (connected) socket.send(JSON.stringify(command));
});
drawMarks({ unknown_below: 0, decide_at: null });
history.replaceState(null, "", "/"); // the token is in a cookie now, and not left in the history
connect();
