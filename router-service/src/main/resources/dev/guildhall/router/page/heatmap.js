// Tokens per expert over time: a row an expert, a column some seconds, the last row what was dropped.

import { clock, number } from "./format.js";

const LEFT = 62;
const BOTTOM = 22;
const GAP = 6;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function channels(hex) {
  const value = Number.parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function palette() {
  const stops = [0, 1, 2, 3, 4].map((i) => channels(colour(`--heat-${i}`)));
  return (share) => {
    const place = Math.min(0.9999, Math.max(0, share)) * (stops.length - 1);
    const at = Math.floor(place);
    const mix = stops[at].map((from, i) => Math.round(from + (stops[at + 1][i] - from) * (place - at)));
    return `rgb(${mix.join(" ")})`;
  };
}

export class HeatMap {
  #canvas;
  #onCell;
  #rows = [];
  #columns = [];
  #kept = 60;
  #columnSeconds = 5;
  #cell = null;
  #most = 0;

  /** @param onCell told what the cell under the pointer or the keyboard's cursor says */
  constructor(canvas, onCell) {
    this.#canvas = canvas;
    this.#onCell = onCell;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerdown", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => this.#select(null));
    canvas.addEventListener("blur", () => this.#select(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /**
   * @param experts number of rows
   * @param columns {end, seconds, routes, dropped}, oldest first, routes null where unknown
   */
  show(experts, columns, kept, columnSeconds) {
    this.#kept = kept;
    this.#columnSeconds = columnSeconds;
    this.#columns = columns.slice(-kept);
    this.#rows = Array.from({ length: experts }, (_, i) => `expert ${i}`);
    this.#most = 0;
    for (const column of this.#columns) {
      for (const routes of column.routes ?? []) {
        this.#most = Math.max(this.#most, routes / column.seconds);
      }
    }
    const height = `${this.#contentHeight()}px`;
    if (this.#canvas.style.height !== height) {
      this.#canvas.style.height = height;
    }
    this.#draw();
  }

  /** The greatest rate on the map. */
  get most() {
    return this.#most;
  }

  drawScale(canvas) {
    const context = canvas.getContext("2d");
    const paint = palette();
    for (let x = 0; x < canvas.width; x++) {
      context.fillStyle = paint(x / canvas.width);
      context.fillRect(x, 0, 1, canvas.height);
    }
  }

  #rowHeight() {
    return Math.min(26, Math.max(4, Math.floor(420 / Math.max(1, this.#rows.length))));
  }

  #contentHeight() {
    return this.#rows.length * this.#rowHeight() + GAP + 16 + BOTTOM;
  }

  #columnWidth() {
    return (this.#canvas.clientWidth - LEFT) / this.#kept;
  }

  /** The newest column stands at the right, whatever there is before. */
  #x(index) {
    return LEFT + (this.#kept - this.#columns.length + index) * this.#columnWidth();
  }

  #draw() {
    const scale = window.devicePixelRatio || 1;
    const width = this.#canvas.clientWidth;
    const height = this.#canvas.clientHeight;
    this.#canvas.width = Math.round(width * scale);
    this.#canvas.height = Math.round(height * scale);
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    const paint = palette();
    const rowHeight = this.#rowHeight();
    const columnWidth = this.#columnWidth();
    const rowGap = rowHeight > 8 ? 1 : 0;
    const dropTop = this.#rows.length * rowHeight + GAP;
    context.fillStyle = colour("--heat-none");
    context.fillRect(LEFT, 0, width - LEFT, this.#rows.length * rowHeight - rowGap);
    context.fillRect(LEFT, dropTop, width - LEFT, 15);
    this.#columns.forEach((column, i) => {
      const x = Math.round(this.#x(i) * scale) / scale;
      const w = Math.round(this.#x(i + 1) * scale) / scale - x - (columnWidth > 5 ? 1 : 0);
      if (!column.routes) {
        return;
      }
      column.routes.forEach((routes, expert) => {
        context.fillStyle = paint(this.#most > 0 ? routes / column.seconds / this.#most : 0);
        context.fillRect(x, expert * rowHeight, w, rowHeight - rowGap);
      });
      const sum = column.routes.reduce((a, b) => a + b, 0);
      context.fillStyle = paint(0);
      context.fillRect(x, dropTop, w, 15);
      if (sum > 0 && column.dropped > 0) {
        const share = column.dropped / sum;
        context.fillStyle = colour("--drop");
        const bar = Math.max(2, 15 * Math.min(1, share));
        context.fillRect(x, dropTop + 15 - bar, w, bar);
      }
    });
    this.#labels(context, rowHeight, dropTop, width);
    this.#cursor(context, rowHeight);
  }

  #labels(context, rowHeight, dropTop, width) {
    context.fillStyle = colour("--quiet");
    context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const every = Math.max(1, Math.ceil(14 / rowHeight));
    this.#rows.forEach((name, i) => {
      if (i % every === 0) {
        context.fillText(name, 0, i * rowHeight + Math.max(6, rowHeight / 2));
      }
    });
    context.fillText("dropped", 0, dropTop + 8);
    const minutes = (this.#kept * this.#columnSeconds) / 60;
    context.textBaseline = "bottom";
    const step = (width - LEFT) / minutes < 60 ? 2 : 1; // Lest they touch.
    const marks = Array.from({ length: minutes }, (_, i) => minutes - i).filter((back, i) => i % step === 0 && back >= step);
    for (const back of [...marks, 0]) {
      const x = width - (back / minutes) * (width - LEFT);
      context.textAlign = back === 0 ? "right" : back === minutes ? "left" : "center";
      context.fillText(back === 0 ? "now" : `−${back} min`, x, dropTop + 16 + BOTTOM - 2);
    }
  }

  #cursor(context, rowHeight) {
    if (this.#cell && this.#columns[this.#cell.column]) {
      context.strokeStyle = colour("--text");
      context.lineWidth = 2;
      context.strokeRect(this.#x(this.#cell.column), this.#cell.row * rowHeight, this.#columnWidth(), rowHeight);
    }
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - this.#x(0)) / this.#columnWidth());
    const row = Math.floor((event.clientY - box.top) / this.#rowHeight());
    const inside = row >= 0 && row < this.#rows.length && column >= 0 && column < this.#columns.length;
    this.#select(inside ? { row, column } : null);
  }

  #key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") {
      this.#select(null);
    }
    const step = steps[event.key];
    if (!step || this.#columns.length === 0) {
      return;
    }
    event.preventDefault();
    const from = this.#cell ?? { row: step[0] < 0 ? this.#rows.length : -step[0], column: this.#columns.length - 1 - step[1] };
    this.#select({
      row: Math.min(this.#rows.length - 1, Math.max(0, from.row + step[0])),
      column: Math.min(this.#columns.length - 1, Math.max(0, from.column + step[1])),
    });
  }

  #select(cell) {
    this.#cell = cell;
    this.#draw();
    const column = cell && this.#columns[cell.column];
    if (!column) {
      this.#onCell("");
    } else if (!column.routes) {
      this.#onCell(`${clock(column.end)}: the layer was not there`);
    } else {
      const sum = column.routes.reduce((a, b) => a + b, 0);
      const routes = column.routes[cell.row];
      const share = sum > 0 ? `, ${((routes / sum) * 100).toFixed(0)} % of all` : "";
      this.#onCell(`Expert ${cell.row}, ${clock(column.end)}: ${number(routes / column.seconds)} tokens per second${share}`);
    }
  }
}
