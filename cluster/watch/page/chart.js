// A line chart over minutes of training, drawn as SVG; pointer and arrow keys read single points.

import { html, minutes, number, svg, write } from "./dom.js";

const HEIGHT = 148;
const MOST_DOTS = 40;
const MARGIN = { top: 8, right: 10, bottom: 20, left: 40 };

/**
 * Draws one or several series.
 *
 * A series is {name, role, points: [[x, y | null], ...]} with optional `band: [[x, low, high], ...]`, `dots`, `line`
 * (true if left out), `step` (a value holds until the next point) and `detail(index)` for the readout. The role names
 * its colour: student, teacher, candidate, random or plain.
 */
export class Chart {
  constructor(heading, empty) {
    this.readout = html("p", { class: "readout" });
    this.plot = html("div", { class: "plot", tabindex: "0", role: "img", "aria-label": heading });
    this.element = html("figure", { class: "chart" }, html("figcaption", {}, heading), this.readout, this.plot);
    this.heading = heading;
    this.empty = empty;
    this.series = [];
    this.selected = null;
    new ResizeObserver(() => this.draw()).observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.select(null));
    this.plot.addEventListener("blur", () => this.leave());
    this.plot.addEventListener("keydown", (event) => this.key(event));
  }

  update(series) {
    const key = JSON.stringify(series.map(({ name, points, band }) => [name, points, band]));
    if (key === this.drawn) return;
    this.drawn = key;
    this.series = series.filter(({ points }) => points.some(([, y]) => y !== null));
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (width === 0) return;
    if (this.series.length === 0) {
      this.plot.replaceChildren(html("p", { class: "empty" }, this.empty));
      write(this.readout, "");
      return;
    }
    this.scale(width);
    const root = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    this.axes(root, width);
    for (const series of this.series) this.line(root, series, width);
    this.cross = svg("line", { class: "cross", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    root.append(this.cross);
    this.plot.replaceChildren(root);
    this.select(this.selected);
  }

  scale(width) {
    const points = this.series.flatMap((series) => series.points).filter(([, y]) => y !== null);
    const bands = this.series.flatMap(({ band }) => band ?? []);
    const xs = points.map(([x]) => x);
    const ys = [...points.map(([, y]) => y), ...bands.flatMap(([, low, high]) => [low, high])];
    this.xMin = Math.min(0, ...xs);
    this.xMax = Math.max(...xs, this.xMin + 1e-6);
    let low = Math.min(...ys);
    let high = Math.max(...ys);
    if (low >= 0 && low < 0.5 * high) low = 0;
    if (high - low < 1e-9) high = low + (Math.abs(low) || 1) * 0.1;
    this.ticks = niceTicks(low, high, 4);
    const room = 0.06 * (high - low);
    this.yMin = low === 0 ? 0 : low - room;
    this.yMax = high + room;
    const innerWidth = width - MARGIN.left - MARGIN.right;
    const innerHeight = HEIGHT - MARGIN.top - MARGIN.bottom;
    this.x = (value) => MARGIN.left + ((value - this.xMin) / (this.xMax - this.xMin)) * innerWidth;
    this.y = (value) => MARGIN.top + (1 - (value - this.yMin) / (this.yMax - this.yMin)) * innerHeight;
  }

  axes(root, width) {
    for (const tick of this.ticks) {
      const y = this.y(tick);
      root.append(
        svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
        svg("text", { class: "tick", x: MARGIN.left - 6, y: y + 4, "text-anchor": "end" }, axisNumber(tick)),
      );
    }
    const [first, last] = [this.xMin, this.xMax];
    for (const [value, anchor] of [
      [first, "start"],
      [last, "end"],
    ]) {
      const text = value === 0 ? "0" : minutes(value);
      root.append(svg("text", { class: "tick", x: this.x(value), y: HEIGHT - 4, "text-anchor": anchor }, text));
    }
  }

  line(root, { role, points, band, dots, line = true, step }, width) {
    if (band?.length) {
      const forth = band.map(([x, , high]) => `${this.x(x)},${this.y(high)}`);
      const back = band.map(([x, low]) => `${this.x(x)},${this.y(low)}`).reverse();
      root.append(svg("polygon", { class: `band ${role}`, points: [...forth, ...back].join(" ") }));
    }
    const known = points.filter(([, y]) => y !== null);
    if (line && known.length) {
      let path = "";
      known.forEach(([x, y], i) => {
        if (i === 0) path = `M${this.x(x)},${this.y(y)}`;
        else if (step) path += `H${this.x(x)}V${this.y(y)}`;
        else path += `L${this.x(x)},${this.y(y)}`;
      });
      if (step) path += `H${width - MARGIN.right}`;
      root.append(svg("path", { class: `line ${role}`, d: path }));
    }
    // One point makes no line.
    if ((dots && known.length <= MOST_DOTS) || (known.length === 1 && !step)) {
      for (const [x, y] of known)
        root.append(svg("circle", { class: `dot ${role}`, cx: this.x(x), cy: this.y(y), r: 2.5 }));
    }
  }

  point(event) {
    if (!this.main()) return;
    const at = event.clientX - this.plot.getBoundingClientRect().left;
    const { points } = this.main();
    let nearest = 0;
    points.forEach(([x], i) => {
      if (Math.abs(this.x(x) - at) < Math.abs(this.x(points[nearest][0]) - at)) nearest = i;
    });
    this.select(nearest);
  }

  key(event) {
    const main = this.main();
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (!main || !(event.key in moves)) return;
    event.preventDefault();
    // Read aloud what was asked for, but not every new point.
    this.readout.setAttribute("aria-live", "polite");
    const last = main.points.length - 1;
    this.select(Math.max(0, Math.min(last, (this.selected ?? last) + moves[event.key])));
  }

  leave() {
    this.readout.removeAttribute("aria-live");
    this.select(null);
  }

  main() {
    return this.series[0];
  }

  /** Show the values at a point of the first series, or the newest ones for null. */
  select(index) {
    const main = this.main();
    if (!main) return;
    this.selected = index !== null && index < main.points.length ? index : null;
    const x = main.points[this.selected ?? main.points.length - 1][0];
    const parts = this.series.map((series) => {
      const at = nearestBefore(series.points, x);
      return at < 0
        ? null
        : `${series.name} ${series.detail && this.selected !== null ? series.detail(at) : number(series.points[at][1])}`;
    });
    const text = parts.filter(Boolean).join(" · ");
    write(this.readout, this.selected === null ? text : `${minutes(x)}: ${text}`);
    this.plot.setAttribute("aria-label", `${this.heading}: ${text}. Arrow keys read single points.`);
    this.cross.setAttribute("visibility", this.selected === null ? "hidden" : "visible");
    this.cross.setAttribute("x1", this.x(x));
    this.cross.setAttribute("x2", this.x(x));
  }
}

function nearestBefore(points, x) {
  let found = -1;
  points.forEach(([at, y], i) => {
    if (at <= x + 1e-6 && y !== null) found = i;
  });
  return found;
}

/** Return round numbers within a range. */
function niceTicks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) ticks.push(i * step);
  return ticks;
}

function axisNumber(value) {
  const text = Math.abs(value) >= 1e3 ? `${+(value / 1e3).toPrecision(3)}k` : `${+value.toPrecision(3)}`;
  return text.replace("-", "−");
}
