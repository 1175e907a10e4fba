// Controls of forms. Each converts a document's value to a text that can be compared, and back.

import { h, localTime, utc } from "./dom.js";
import { T } from "./texts.js";

/**
 * One control on the page. `get` and `put`: what is written in it, as a text that can be compared.
 * @typedef {{ element: HTMLElement, input: HTMLElement, get: () => string, put: (text: string) => void, wrong?: () => string | null,
 *   unknown?: () => Promise<string[]> }} Control `unknown`: values in it that nothing has
 *
 * A kind of control. `read` raises an Error with what is wrong; `say` puts a value in words.
 * @typedef {{ make: (id: string, changed: () => void) => Control, show: (value: any) => string, read: (text: string) => any,
 *   say?: (text: string) => string, hint?: string, label?: boolean }} Kind
 */

/** @returns {Kind["make"]} */
const input = (tag, props) => (id, changed) => {
  const element = h(tag, { id, autocomplete: "off", oninput: changed, onchange: changed, ...props });
  return { element, input: element, get: () => element.value, put: (text) => { element.value = text; },
    wrong: () => (element.validity?.badInput ? T.incomplete : null) };
};

/** A line of text. `empty`: what it means when nothing is written. @returns {Kind} */
export const line = (props = {}, empty = /** @type {any} */ ("")) => ({
  make: input("input", { type: "text", ...props }), show: (value) => value ?? "", read: (text) => text.trim() || empty });

/** A number; nothing written is null. @returns {Kind} */
export const figure = (props = {}, empty = null) => ({
  make: input("input", { type: "number", step: "any", ...props }), show: (value) => String(value ?? ""),
  read: (text) => (text.trim() === "" ? empty : Number(text)) });

/** One of some. `options`: value and label each. A value that is none of them is kept, and shown as it is. @returns {Kind} */
export const oneOf = (options, props = {}) => ({
  make: (id, changed) => {
    const element = h("select", { id, onchange: changed, ...props }, options.map(([value, label]) => h("option", { value: String(value) }, label)));
    const put = (text) => {
      if (![...element.options].some((each) => each.value === text)) element.append(h("option", { value: text }, text || "–"));
      element.value = text;
    };
    return { element, input: element, get: () => element.value, put };
  },
  show: (value) => String(value ?? ""),
  read: (text) => { const found = options.find(([value]) => String(value) === text); return found ? found[0] : text; },
  say: (text) => String(options.find(([value]) => String(value) === text)?.[1] ?? text) });

/** The time zone that times are shown and read in, such as `Europe/Berlin (UTC+1)`. */
export function zone(at = new Date()) {
  const minutes = -at.getTimezoneOffset();
  const hours = `${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${minutes % 60 ? `:${String(Math.abs(minutes) % 60).padStart(2, "0")}` : ""}`;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return minutes || name !== "UTC" ? `${name} (UTC${minutes ? hours : ""})` : "UTC";
}

/** A moment, to the second. @returns {Kind} */
export const instant = (props = {}) => ({
  make: input("input", { type: "datetime-local", step: 1, ...props }), show: localTime, read: utc,
  say: (text) => text.replace("T", " "), hint: `Time in ${zone()}` });

/** JSON as it is. `empty`: what it means when nothing is written. @returns {Kind} */
export const jsonText = (example, label, empty = null) => ({
  make: input("textarea", { rows: 3, spellcheck: "false" }),
  show: (value) => (value && Object.keys(value).length ? JSON.stringify(value, null, 1) : ""),
  read: (text) => {
    if (!text.trim()) return empty;
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`${label} must be valid JSON. Compare it with the example.`);
    }
  },
  hint: example });

/** A switch. @returns {Kind} */
export const onOff = (label) => ({
  make: (id, changed) => {
    const element = h("input", { id, type: "checkbox", role: "switch", onchange: changed });
    return { input: element, get: () => String(element.checked), put: (text) => { element.checked = text === "true"; },
      element: h("label", { class: "toggle" }, element, h("span", { class: "track", "aria-hidden": "true" }), h("span", { class: "toggle-label" }, label)) };
  },
  show: (value) => String(Boolean(value)), read: (text) => text === "true", say: (text) => (text === "true" ? "on" : "off"), label: false });

/** A text for an object or a list of few members. `parse` raises an Error with what is wrong. @returns {Kind} */
export const written = (props, show, parse) => ({ make: input("input", { type: "text", ...props }), show, read: (text) => parse(text.trim()) });

/** Values, each one as it is: a comma in a value that is there stays in it. @returns {Kind} */
export const tokens = (props = {}) => ({
  make: (id, changed) => tokenBox(id, changed, props), show: (value) => JSON.stringify(value ?? []), read: (text) => JSON.parse(text),
  say: (text) => JSON.parse(text).join(", ") || "nothing" });

/** Ask for values one by one; Enter or a comma ends one, and what is still being written counts. @returns {Control & { add: (value: string) => void }} */
export function tokenBox(id, changed, { placeholder = "", split = /[,\n;]+/, say = (value) => value, ...props } = {}) {
  let values = [];
  const element = h("div", { class: "tokens" });
  const field = h("input", { id, type: "text", autocomplete: "off", placeholder, ...props,
    oninput: () => { if (split.test(field.value)) take(); changed(); },
    onblur: () => { take(); changed(); },
    onkeydown: (event) => {
      if (event.key === "Enter" && field.value.trim()) { event.preventDefault(); take(); changed(); }
      if (event.key === "Backspace" && !field.value && values.length) remove(values.at(-1));
    } });
  const pending = () => field.value.split(split).map((each) => each.trim()).filter(Boolean);
  const all = () => [...new Set([...values, ...pending()])];
  const remove = (value) => { values = values.filter((each) => each !== value); draw(); field.focus(); changed(); };
  const take = () => { values = all(); field.value = ""; draw(); };
  const draw = () => {
    for (const old of element.querySelectorAll(".token")) old.remove();
    field.before(...values.map((value) => h("span", { class: "token", "data-token": value }, h("span", {}, say(value)),
      h("button", { type: "button", "aria-label": `Remove ${value}`, onclick: () => remove(value) }, "✕"))));
    field.placeholder = values.length ? "" : placeholder;
  };
  element.append(field);
  return { element, input: field, get: () => JSON.stringify(all()), put: (text) => { values = JSON.parse(text); field.value = ""; draw(); },
    add: (value) => { field.value = ""; if (!values.includes(value)) values.push(value); draw(); changed(); } };
}
