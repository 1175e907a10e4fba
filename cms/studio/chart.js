// Bar charts in SVG, with values by pointer or keyboard, and a table of the same values.

import { h, show } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220, TOP = 12, BOTTOM = 26, RIGHT = 8, LETTER = 7.4;

/** An element of SVG. @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any} */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Round steps from 0 to at least `most`: about four. @param {number} most @param {boolean} [whole] */
export function ticksTo(most, whole = true) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4, power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough * 0.999) ?? rough;
  if (whole) step = Math.max(1, Math.round(step));
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step);
}

/**
 * A chart of values in a row, such as of days.
 * @param {{ title: string, unit: string, points: { label: string, value: number }[], format?: (value: number) => string, empty?: string, whole?: boolean }} given
 * `format` writes a value with its unit; `empty` is said where there is nothing to show
 * @returns {HTMLElement}
 */
export function barChart({ title, unit, points, format = (value) => `${value.toLocaleString()} ${unit}`, empty = "No data yet.", whole = true }) {
  const caption = h("figcaption", {}, h("b", {}, title), h("span", { class: "muted" }, ` ${unit}`));
  if (!points.some((point) => point.value > 0)) return h("figure", { class: "chart" }, caption, h("p", { class: "empty" }, empty));
  const most = Math.max(...points.map((point) => point.value));
  const ticks = ticksTo(most, whole), top = ticks[ticks.length - 1];
  let at = points.length - 1, left = 0, step = 0;
  const told = h("p", { class: "chart-value", "aria-hidden": "true" });
  const plot = h("div", { class: "chart-plot", role: "slider", tabindex: 0, "aria-label": `${title}, ${unit}. Use the arrow keys to read each value.`, "aria-valuemin": 0, "aria-valuemax": points.length - 1,
    onkeydown: (event) => {
      const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 7, PageUp: at + 7, Home: 0, End: points.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      look(to);
    },
    onpointermove: (event) => look(Math.floor((event.clientX - plot.getBoundingClientRect().left - left) / step)) });

  const saying = (point) => `${point.label}: ${format(point.value)}`;
  function look(to) {
    at = Math.min(points.length - 1, Math.max(0, Number.isFinite(to) ? to : at));
    told.textContent = saying(points[at]);
    plot.setAttribute("aria-valuenow", String(at));
    plot.setAttribute("aria-valuetext", saying(points[at]));
    plot.querySelectorAll(".bar").forEach((bar, each) => bar.classList.toggle("at", each === at));
  }

  function draw(width) {
    const names = ticks.map((tick) => format(tick));
    left = Math.min(width / 3, Math.max(...names.map((name) => name.length)) * LETTER + 8);
    step = (width - left - RIGHT) / points.length;
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
    const every = Math.max(1, Math.ceil((Math.max(...points.map((point) => point.label.length)) * LETTER * 1.5 + 12) / step));
    show(plot, svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
      ticks.map((tick, each) => [svg("line", { class: "grid", x1: left, x2: width - RIGHT, y1: y(tick), y2: y(tick) }), svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, names[each])]),
      points.map((point, each) => svg("rect", { class: "bar", x: left + each * step + step * 0.12, width: step * 0.76, y: y(point.value), height: Math.max(0, y(0) - y(point.value)), rx: Math.min(3, step / 5) })),
      points.map((point, each) => ((points.length - 1 - each) % every === 0 && each * step > point.label.length * LETTER / 2 - left
        ? svg("text", { x: Math.min(left + (each + 0.5) * step, width - point.label.length * LETTER / 2), y: HEIGHT - 8, "text-anchor": "middle" }, point.label) : null))));
    look(at);
  }

  const seen = new ResizeObserver(([entry]) => { if (entry.contentRect.width > 0) draw(Math.round(entry.contentRect.width)); });
  seen.observe(plot);
  return h("figure", { class: "chart" }, caption, told, plot, h("details", {}, h("summary", {}, "As a table"),
    h("div", { class: "chart-table", tabindex: 0, role: "region", "aria-label": `${title} as a table` }, h("table", { class: "figures-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Day"), h("th", { scope: "col" }, title))),
      h("tbody", {}, points.map((point) => h("tr", {}, h("th", { scope: "row" }, point.label), h("td", { class: "figure" }, format(point.value)))))))));
}
