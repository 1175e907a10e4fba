// Builds elements from names and values, never from markup, so no text can become code.

import { T } from "./texts.js";

/**
 * An element. Properties that begin with `on` are listeners; null, undefined and false are left out.
 * @param {string} tag @param {Record<string, any>} [props] @param {...any} children
 * @returns {any} the element (any: what it has depends on its tag)
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "vars") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else if (["value", "checked", "disabled", "selected", "indeterminate"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Replace what a place holds. @param {Element} place @param {...any} children */
export function show(place, ...children) {
  place.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

let fields = 0;

/** A labelled control: `control(id)` makes the input. @param {string} label @param {(id: string) => any} control @param {string | null} [hint] */
export function field(label, control, hint = null) {
  const id = `field-${++fields}`;
  return h("div", { class: "field" }, h("label", { for: id }, label), control(id),
    hint && h("small", { class: "hint" }, hint));
}

export const text = (props) => (id) => h("input", { id, type: "text", autocomplete: "off", ...props });
export const area = (props) => (id) => h("textarea", { id, ...props });
export const number = (props) => (id) => h("input", { id, type: "number", ...props });
export const when = (props) => (id) => h("input", { id, type: "datetime-local", ...props });
export const choice = (options, selected, props = {}) => (id) =>
  h("select", { id, ...props }, options.map(([value, label]) =>
    h("option", { value, selected: value === selected }, label)));

export function toggle(label, checked, onchange) {
  return h("label", { class: "toggle" },
    h("input", { type: "checkbox", role: "switch", checked, onchange: (event) => onchange(event.target.checked, event.target) }),
    h("span", { class: "track", "aria-hidden": "true" }), h("span", { class: "toggle-label" }, label));
}

/**
 * Tell what happened. One that can be undone stays longer, and as long as somebody is at it.
 * @param {string} message @param {"good" | "bad"} [kind] @param {{ label: string, run: () => any } | null} [action]
 */
export function notice(message, kind = "good", action = null) {
  const place = document.getElementById("notices");
  const box = h("div", { class: `notice ${kind}` }, h("span", {}, message),
    action && h("button", { type: "button", onclick: doing(async () => { await action.run(); box.remove(); }) }, action.label));
  place.append(box);
  const away = () => (box.matches(":hover, :focus-within") ? setTimeout(away, 1000) : box.remove());
  setTimeout(away, action ? 12_000 : kind === "bad" ? 9000 : 4500);
}

/** Run something a button asked for; what goes wrong is told, not swallowed. @param {(event?: any) => any} action */
export function doing(action) {
  return async (event) => {
    const button = event?.currentTarget instanceof HTMLButtonElement ? event.currentTarget : null;
    if (button) button.disabled = true;
    try {
      await action(event);
    } catch (error) {
      notice(error.message, "bad");
    } finally {
      if (button) button.disabled = false;
    }
  };
}

// A modal dialog makes everything beneath it dead: what is told while one is open is told in it.
const noticesOnTop = () => ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(document.getElementById("notices"));

/**
 * A modal dialog. `leave`: asked before Escape or ✕ closes it; it closes where that says true.
 * @param {string} title @param {...any} children @returns {HTMLDialogElement & { leave: (mayClose: () => boolean | Promise<boolean>) => void, wantsToClose: () => Promise<void> }}
 */
export function dialog(title, ...children) {
  /** @type {() => boolean | Promise<boolean>} */
  let mayClose = () => true;
  const wantsToClose = async () => { if (await mayClose()) box.close(); };
  const box = h("dialog", { "aria-label": title, onclose: () => { noticesOnTop(); box.remove(); },
    // Before the browser's own closing, which no page can stop twice in a row.
    onkeydown: (event) => { if (event.key === "Escape" && !event.defaultPrevented) { event.preventDefault(); event.stopPropagation(); wantsToClose(); } },
    oncancel: (event) => { if (event.target === box) { event.preventDefault(); wantsToClose(); } } },
  h("div", { class: "dialog" }, h("div", { class: "dialog-head" }, h("h2", {}, title),
    h("button", { type: "button", class: "quiet icon", "aria-label": T.close, onclick: wantsToClose }, "✕")), children));
  box.leave = (ask) => { mayClose = ask; };
  box.wantsToClose = wantsToClose;
  document.body.append(box);
  box.showModal();
  noticesOnTop();
  return box;
}

/** A question with yes and no; resolves to the answer. @returns {Promise<boolean>} */
export function ask(title, message, yes, no = T.cancel) {
  return new Promise((resolve) => {
    let answer = false;
    const box = dialog(title, h("p", { class: "question" }, message),
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => box.close() }, no),
        h("button", { type: "button", class: "danger", onclick: () => { answer = true; box.close(); } }, yes)));
    box.addEventListener("close", () => resolve(answer));
  });
}

/** What stands where something is being loaded. */
export const skeleton = (rows = 4) => h("div", { class: "skeleton", role: "status", "aria-label": T.loading },
  Array.from({ length: rows }, () => h("div", { class: "bone", "aria-hidden": "true" })));

export const hue = (name) => [...(name ?? "")].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
export const list = (value) => value.split(",").map((part) => part.trim()).filter(Boolean);
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;
export const moment = (iso) => (iso ? new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "–");
export const localTime = (iso) => (iso ? new Date(new Date(iso).getTime() - new Date(iso).getTimezoneOffset() * 60000).toISOString().slice(0, 19) : "");
export const utc = (value) => (value ? new Date(value).toISOString() : null);

export function debounce(milliseconds, action) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), milliseconds);
  };
}
