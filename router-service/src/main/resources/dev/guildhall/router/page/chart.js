// Tokens and requests a second over the last minutes, drawn by uPlot.

import { clock, number } from "./format.js";

const HEIGHT = 190;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class RateChart {
  #element;
  #plot = null;
  #data = [[], [], []];

  constructor(element) {
    this.#element = element;
    new ResizeObserver(() => this.#plot?.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#make());
  }

  /** @param columns {end, seconds, tokens, requests}, oldest first */
  show(columns, kept, columnSeconds) {
    const last = columns.at(-1).end / 1000;
    const empty = Array.from({ length: kept - columns.length }, (_, i) => last - (kept - 1 - i) * columnSeconds);
    this.#data = [
      [...empty, ...columns.map((column) => column.end / 1000)],
      [...empty.map(() => null), ...columns.map((column) => column.tokens / column.seconds)],
      [...empty.map(() => null), ...columns.map((column) => column.requests / column.seconds)],
    ];
    if (this.#plot) {
      this.#plot.setData(this.#data);
    } else {
      this.#make();
    }
  }

  #make() {
    this.#plot?.destroy();
    const axis = (side, scale, label) => ({
      side,
      scale,
      label,
      labelSize: 18,
      labelFont: "12px system-ui, sans-serif",
      font: "12px system-ui, sans-serif",
      size: 44,
      stroke: () => colour("--quiet"),
      grid: { show: side === 3, stroke: () => colour("--line"), width: 1 },
      ticks: { show: false },
      values: (_, values) => values.map((value) => (value < 1 ? String(+value.toFixed(2)) : number(value))),
    });
    const fromZero = (room) => (_, least, most) => [0, most > 0 ? most * room : 1];
    const series = (label, scale, stroke, dash) => ({
      label,
      scale,
      stroke: () => colour(stroke),
      width: 2,
      dash,
      points: { show: false },
      value: (_, value) => number(value),
    });
    this.#plot = new window.uPlot(
      {
        width: this.#element.clientWidth,
        height: HEIGHT,
        // Requests of one size would lie upon their tokens.
        scales: { tokens: { range: fromZero(1.1) }, requests: { range: fromZero(1.6) } },
        series: [
          { label: "Time", value: (_, value) => (value ? clock(value * 1000) : "–") },
          series("Tokens/s", "tokens", "--accent"),
          series("Requests/s", "requests", "--second", [5, 4]),
        ],
        axes: [
          {
            stroke: () => colour("--quiet"),
            font: "12px system-ui, sans-serif",
            grid: { show: false },
            ticks: { show: false },
            size: 24,
            values: (_, values) => values.map((value) => clock(value * 1000).replace(/:\d\d(?=\s|$)/, "")),
            space: 70,
            incrs: [60],
          },
          axis(3, "tokens", "tokens/s"),
          axis(1, "requests", "requests/s"),
        ],
        cursor: { drag: { x: false, y: false } },
      },
      this.#data,
      this.#element,
    );
  }
}
