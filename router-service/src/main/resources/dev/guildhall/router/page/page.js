// The live page: takes what the router says and gives it to those who draw.

import { RateChart } from "./chart.js";
import { TokenNeeded, follow } from "./feed.js";
import { UNKNOWN, factor, milliseconds, number, percent, plural } from "./format.js";
import { HeatMap } from "./heatmap.js";
import { showExperts, showLayers, showReplicas } from "./tables.js";

const byId = (id) => document.getElementById(id);
const text = (id, value) => {
  const element = byId(id);
  if (element.textContent !== value) {
    element.textContent = value;
  }
};
const sum = (values) => values.reduce((a, b) => a + b, 0);

const CELL_HELP = "Each column is 5 seconds; blank ones are before the first figures. Point at a cell, or use the arrow keys.";
const heat = new HeatMap(byId("heat"), (cell) => text("heat-cell", cell || CELL_HELP));
const chart = new RateChart(byId("rate"));

let columns = [];
let kept = 60;
let columnSeconds = 5;
let snapshot = null;

function takePast(past) {
  columns = past.columns;
  kept = past.columns_kept;
  columnSeconds = past.column_seconds;
}

function takeSnapshot(news) {
  snapshot = news;
  columns = [...columns.filter((column) => column.number < news.column.number), news.column].slice(-kept);
  connection("live", "Live");
  show();
}

const WHERE = `Mixture-of-experts layers at ${location.host}, live`;

/** @param why what is wrong, if something is */
function connection(state, words, why = WHERE) {
  byId("connection").dataset.state = state;
  document.body.classList.toggle("stale", state === "lost" && snapshot !== null);
  text("connection", words);
  text("where", why);
}

/** The layer that is looked at. */
function chosen() {
  return snapshot.layers.find((layer) => layer.name === byId("layer").value) ?? snapshot.layers[0];
}

function showPicker() {
  const select = byId("layer");
  const names = snapshot.layers.map((layer) => layer.name);
  if (names.join("\n") !== [...select.options].map((option) => option.value).join("\n")) {
    const before = select.value;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(before)) {
      select.value = before;
    }
  }
  select.disabled = names.length < 2;
}

function showFigures() {
  const layers = snapshot.layers;
  const requests = sum(layers.map((layer) => layer.requests_per_second));
  const weighted = (name) =>
    requests > 0
      ? sum(layers.map((layer) => (layer[name] ?? 0) * layer.requests_per_second)) / requests
      : undefined;
  text("tokens", number(sum(layers.map((layer) => layer.tokens_per_second))));
  text("requests", number(requests));
  text("latency", milliseconds(weighted("latency_ms")));
  text("queue", requests > 0 ? `${milliseconds(weighted("queue_ms"))} of it in queues` : "no request now");
  text("failed", number(sum(layers.map((layer) => layer.failed_per_second)) + snapshot.refused_per_second));
  text("flight", number(snapshot.tokens_in_flight));
  text("allowed", `of ${number(snapshot.tokens_allowed)} tokens`);
  const serving = snapshot.replicas.filter((replica) => replica.health === "serving").length;
  text("serving", number(serving));
  text("named", `serving, of ${number(snapshot.replicas.length)}`);
}

/** What happened to a layer in each column. */
function ofLayer(name) {
  return columns.map((column) => ({
    end: column.end_ms,
    seconds: column.seconds || 1,
    routes: column.layers[name]?.routes ?? null,
    dropped: column.layers[name]?.dropped ?? 0,
  }));
}

function showHeat(layer) {
  const mine = ofLayer(layer.name).map((column) =>
    column.routes?.length === layer.experts ? column : { ...column, routes: null },
  );
  heat.show(layer.experts, mine, kept, columnSeconds);
  heat.drawScale(byId("scale"));
  text("scale-most", heat.most > 0 ? number(heat.most) : UNKNOWN);
  const known = mine.filter((column) => column.routes);
  const routes = Array.from({ length: layer.experts }, (_, expert) => sum(known.map((column) => column.routes[expert])));
  text("heat-summary", heatSummary(layer, routes));
  showExperts(byId("experts"), routes, columnSeconds, mine.at(-1)?.routes ? mine.at(-1) : null);
}

function heatSummary(layer, routes) {
  const all = sum(routes);
  if (all === 0) {
    return "No tokens in the last 5 minutes. The map fills as requests come.";
  }
  const busiest = routes.indexOf(Math.max(...routes));
  const quietest = routes.indexOf(Math.min(...routes));
  const lost = layer.lost_share > 0 ? ` ${percent(layer.lost_share)} were lost for want of a host.` : "";
  return (
    `Busiest is expert ${busiest} with ${percent(routes[busiest] / all)}, quietest expert ${quietest} with ${percent(routes[quietest] / all)}. ` +
    `Imbalance ${factor(layer.imbalance)} the mean (1 is even, ${factor(layer.imbalance_possible)} the most). ` +
    `${percent(layer.dropped_share)} of the routes were dropped by capacity.${lost}`
  );
}

function showRate() {
  const all = columns.map((column) => ({
    end: column.end_ms,
    seconds: column.seconds || 1,
    tokens: sum(Object.values(column.layers).map((layer) => layer.tokens)),
    requests: sum(Object.values(column.layers).map((layer) => layer.requests)),
  }));
  chart.show(all, kept, columnSeconds);
  const rates = all.map((column) => column.tokens / column.seconds);
  const total = sum(all.map((column) => column.tokens));
  text(
    "rate-summary",
    total === 0
      ? "No tokens in the last 5 minutes."
      : `${number(total)} tokens in ${plural(sum(all.map((column) => column.requests)), "request")}; at most ${number(Math.max(...rates))} tokens per second, now ${number(rates.at(-1))}. All layers together.`,
  );
}

function show() {
  showPicker();
  showFigures();
  showRate();
  const layer = chosen();
  showLayers(byId("layers"), snapshot.layers, (of) => snapshot.replicas.filter((replica) => replica.hosting[of.name]).length);
  showReplicas(byId("replicas"), snapshot.replicas, layer);
  text("replicas-layer", layer ? layer.name : "the layer");
  if (layer) {
    showHeat(layer);
  }
}

/** Asks for a token until one is given. */
function askForToken(again) {
  const form = byId("login");
  form.hidden = false;
  document.body.classList.add("locked");
  byId("totals").hidden = true; // A link brings no token.
  connection("connecting", again ? "Wrong token" : "Token needed");
  if (again) {
    text("login-reason", "The router does not know this token. Try another one.");
  }
  byId("token").value = "";
  byId("token").focus();
  return new Promise((done) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      form.hidden = true;
      document.body.classList.remove("locked");
      connection("connecting", "Connecting …");
      done(byId("token").value.trim());
    };
  });
}

async function run() {
  for (let token = ""; ; ) {
    try {
      await follow(token, { past: takePast, snapshot: takeSnapshot }, (reason, seconds) =>
        connection("lost", "Connection lost", `${reason[0].toUpperCase()}${reason.slice(1)}; next try in ${seconds} s. These figures are old.`),
      );
    } catch (failure) {
      if (!(failure instanceof TokenNeeded)) {
        throw failure;
      }
      token = await askForToken(token !== "");
    }
  }
}

text("where", WHERE);
byId("layer").addEventListener("change", () => snapshot && show());
run();
