const MOST_BARS = 12;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function makeBar() {
  const item = element("li");
  const name = element("bdi", "name"), track = element("span", "track"), percent = element("span", "percent");
  track.append(element("span", "fill"));
  item.append(name, track, percent);
  return item;
}

function drawBars(prediction, labels) {
  const list = byId("bars");
  const ranked = [...labels].sort((one, other) => prediction.probabilities[other] - prediction.probabilities[one]);
  const shown = labels.length <= MOST_BARS ? labels : ranked.slice(0, MOST_BARS);
  while (list.children.length < shown.length) list.append(makeBar());
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach((label, index) => {
    const item = list.children[index], probability = prediction.probabilities[label];
    const [name, track, percent] = item.children;
    item.className = label === prediction.label ? "most" : "";
    item.dataset.probability = probability;
    if (name.textContent !== label) {
      name.textContent = label;
      name.title = label;
    }
    track.firstChild.style.setProperty("--p", probability);
    percent.textContent = `${(100 * probability).toFixed(1)} %`;
  });
}

function drawMarks(thresholds) {
  const style = byId("bars").style, early = thresholds.decide_at;
  style.setProperty("--unknown", thresholds.unknown_below);
  style.setProperty("--unknown-shown", thresholds.unknown_below > 0 ? "block" : "none");
  style.setProperty("--early", early ?? 0);
  style.setProperty("--early-shown", early === null ? "none" : "block");
  byId("unknown-key").hidden = thresholds.unknown_below <= 0;
  byId("early-key").hidden = early === null;
  textOf("unknown-key", `unknown below ${thresholds.unknown_below.toFixed(2)}`);
  textOf("early-key", `decided early from ${(early ?? 0).toFixed(2)}`);
}

let spokenAt = 0, spoken = "";

function drawDecision(prediction) {
  const word = laneOf(prediction);
  const label = byId("label"), text = prediction.state === "open" ? prediction.label : word;
  label.className = prediction.decision === null ? "label unsure" : "label";
  label.firstChild.textContent = text;
  byId("why").firstChild.textContent = prediction.why || `most probable after ${prediction.step + 1} frames`;
  if (prediction.state !== "open" && word !== spoken && performance.now() - spokenAt > 2000) {
    [spoken, spokenAt] = [word, performance.now()];
    byId("spoken").textContent = word;
  }
}

const LAST = 5;

function drawLast(decisions, zeroUs) {
  const body = byId("last-predictions").tBodies[0];
  body.replaceChildren(...decisions.slice(-LAST).reverse().map((prediction) => {
    const row = element("tr"), decided = element("td"), why = element("td");
    decided.append(element("bdi", "", laneOf(prediction)));
    why.append(element("bdi", "", prediction.why));
    row.append(
      element("td", "", `${secondsOf(prediction.t_us - zeroUs).toFixed(2)} s`), decided, why,
      element("td", "number", milliseconds(prediction.latency_us)),
    );
    return row;
  }));
}

function drawLosses(summary) {
  const rows = Object.entries({ ...summary.losses, ...summary.page });
  byId("losses").tBodies[0].replaceChildren(...rows.map(([reason, count]) => {
    const row = element("tr"), head = element("th", "", reason);
    head.scope = "row";
    row.append(head, element("td", "number", whole.format(count)));
    return row;
  }));
}

function drawFacts(facts) {
  const entries = [...Object.entries(facts.source), ...Object.entries(facts.model), ["stdl-events", facts.version]];
  byId("facts").replaceChildren(...entries.filter(([, value]) => value).map(([name, value]) => {
    const pair = element("div"), text = element("dd");
    text.append(element("bdi", "", value));
    pair.append(element("dt", "", name), text);
    return pair;
  }));
  byId("source-name").textContent = facts.source.source;
}
