// The tables below the charts. Rows and cells are kept, so that a reader does not lose its place.

import { factor, milliseconds, number, percent, plural, replicaName } from "./format.js";

const HEALTH = {
  serving: ["good", "serving", "It answers."],
  ejected: ["warn", "set aside", "It failed or lagged again and again, and is picked last for a while."],
  silent: ["warn", "silent", "It owes an answer, and is picked last meanwhile."],
  unreachable: ["bad", "unreachable", "It is not connected, or says that it is not healthy; the router tries on."],
};

function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Brings a table's body to as many rows and cells as there are, the first a header. */
function fill(body, rows, empty, columns) {
  const wanted = Math.max(1, rows.length);
  while (body.rows.length > wanted) {
    body.deleteRow(-1);
  }
  while (body.rows.length < wanted) {
    body.insertRow().setAttribute("role", "row");
  }
  if (rows.length === 0) {
    const row = body.rows[0];
    if (row.dataset.empty !== empty) {
      const cell = document.createElement("td");
      cell.colSpan = columns;
      cell.className = "empty";
      cell.setAttribute("role", "cell");
      cell.textContent = empty;
      row.replaceChildren(cell);
      row.dataset.empty = empty;
    }
    return;
  }
  rows.forEach((cells, i) => {
    const row = body.rows[i];
    if (row.dataset.empty || row.cells.length !== cells.length) {
      delete row.dataset.empty;
      row.replaceChildren(...cells.map((_, j) => headerOrCell(j)));
    }
    cells.forEach((cell, j) => put(row.cells[j], cell));
  });
}

function headerOrCell(column) {
  const cell = document.createElement(column === 0 ? "th" : "td");
  if (column === 0) {
    cell.scope = "row";
    cell.setAttribute("role", "rowheader");
  } else {
    cell.setAttribute("role", "cell");
  }
  return cell;
}

/** A cell is a text, or {name, lines} or {state, text, title}. */
function put(element, cell) {
  if (typeof cell === "string") {
    setText(element, cell);
  } else if (cell.lines) {
    const lines = [cell.name, ...cell.lines];
    while (element.children.length > lines.length) {
      element.lastElementChild.remove();
    }
    while (element.children.length < lines.length) {
      const line = document.createElement("span");
      line.className = element.children.length === 0 ? "name" : "quiet";
      element.append(line);
    }
    lines.forEach((line, i) => setText(element.children[i], line));
  } else {
    if (!element.firstElementChild) {
      element.append(document.createElement("span"));
    }
    const state = element.firstElementChild;
    state.className = `state ${cell.state}`;
    state.title = cell.title;
    setText(state, cell.text);
  }
}

function layerState(layer) {
  if (!layer.ready) {
    return { state: "bad", text: "not served", title: `No replica hosts: ${layer.without_host}` };
  }
  return layer.without_host
    ? { state: "warn", text: "in part", title: `No replica hosts: ${layer.without_host}; their routes are lost` }
    : { state: "good", text: "served", title: "Every expert has a host." };
}

export function showLayers(body, layers, hostsOf) {
  const rows = layers.map((layer) => [
    {
      name: layer.name,
      lines: [
        `${plural(layer.experts, "expert")}, top ${layer.k}${layer.dense ? ", and a dense one" : ""}`,
        layer.without_host ? `no host: ${layer.without_host}` : `on ${plural(hostsOf(layer), "replica")}`,
      ],
    },
    layerState(layer),
    number(layer.tokens_per_second),
    percent(layer.dropped_share),
    factor(layer.imbalance),
  ]);
  fill(body, rows, "The router serves no layer yet.", 5);
}

export function showReplicas(body, replicas, layer) {
  const rows = replicas.map((replica) => {
    const hosting = layer ? replica.hosting[layer.name] : undefined;
    const connected = replica.health !== "unreachable";
    const [state, text, title] = HEALTH[replica.health] ?? ["warn", replica.health, ""];
    return [
      { name: replicaName(replica.target), lines: [connected ? `${replica.device}, ${hosting ? `experts ${hosting.experts}` : "none of its experts"}` : "not connected"] },
      { state, text, title },
      connected ? plural(replica.outstanding_rows, "row") : "–",
      milliseconds(hosting?.batch_ms),
    ];
  });
  fill(body, rows, "No expert service is named, or its name has no address.", 4);
}

export function showExperts(body, routes, seconds, current) {
  const sum = routes.reduce((a, b) => a + b, 0);
  const rows = routes.map((count, i) => [
    `Expert ${i}`,
    number(count),
    sum > 0 ? percent(count / sum) : "–",
    current ? number(current.routes[i] / current.seconds) : "–",
  ]);
  fill(body, rows, "There was nothing yet.", 4);
}
