// Building the page: elements from names and values, never from markup, so that no text can become code.

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

export function show(place, ...children) {
  place.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

let fields = 0;

// A labelled control: `control(id)` makes the input.
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

export function notice(message, kind = "good") {
  const place = document.getElementById("notices");
  const box = h("div", { class: `notice ${kind}` }, message);
  place.append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 9000 : 4500);
}

// Run something a button asked for; what goes wrong is told, not swallowed.
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

export function dialog(title, ...children) {
  const box = h("dialog", { "aria-label": title, onclose: () => box.remove() },
    h("form", { class: "dialog", method: "dialog", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "dialog-head" }, h("h2", {}, title),
        h("button", { type: "button", class: "quiet icon", "aria-label": "Close", onclick: () => box.close() }, "✕")),
      children));
  document.body.append(box);
  box.showModal();
  return box;
}

// A question with yes and no; resolves to the answer.
export function ask(title, message, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const box = dialog(title, h("p", { class: "question" }, message),
      h("div", { class: "actions" },
        h("button", { type: "button", onclick: () => box.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: () => { answer = true; box.close(); } }, yes)));
    box.addEventListener("close", () => resolve(answer));
  });
}

export const hue = (name) => [...(name ?? "")].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
export const list = (value) => value.split(",").map((part) => part.trim()).filter(Boolean);
export const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;
export const moment = (iso) => (iso ? new Date(iso).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "–");
export const localTime = (iso) => (iso ? new Date(new Date(iso) - new Date(iso).getTimezoneOffset() * 60000).toISOString().slice(0, 16) : "");
export const utc = (value) => (value ? new Date(value).toISOString() : null);

export function debounce(milliseconds, action) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), milliseconds);
  };
}
