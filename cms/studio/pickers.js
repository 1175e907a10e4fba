// Pickers: suggestions below a field while the user types (the ARIA combobox pattern). Other values can be typed too; they
// are marked as unknown.

import { tokenBox } from "./controls.js";
import { debounce, h, show } from "./dom.js";

/** @typedef {import("./controls.js").Kind} Kind */
/** @typedef {import("./sources.js").Source} Source */

let pickers = 0;

/**
 * Make a picker of an input. `pick` takes what was picked.
 * @param {HTMLInputElement} input @param {Source} source @param {(value: string) => void} pick @param {HTMLElement} around the box below which the list appears
 */
export function combobox(input, source, pick, around) {
  const id = `picker-${++pickers}`;
  const options = h("ul", { id, role: "listbox", class: "options", hidden: true, "aria-label": "Suggestions" });
  let choices = [], active = -1, turn = 0;
  around.classList.add("picker");
  around.append(options);
  for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id })) input.setAttribute(name, value);

  const close = () => {
    turn += 1;
    options.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const take = (choice) => { close(); pick(choice.value); input.focus(); };
  const mark = (to) => {
    active = (to + choices.length) % choices.length;
    [...options.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === active)));
    input.setAttribute("aria-activedescendant", `${id}-${active}`);
    options.children[active].scrollIntoView({ block: "nearest" });
  };
  const open = async () => {
    const mine = ++turn;
    const found = await source.find(input.value.trim()).catch(() => []); // a picker that fails is an input
    if (mine !== turn || document.activeElement !== input) return;
    const marked = choices[active]?.value;
    choices = found;
    active = -1;
    input.removeAttribute("aria-activedescendant");
    show(options, choices.map((choice, at) => h("li", { id: `${id}-${at}`, role: "option", "aria-selected": "false", "data-value": choice.value,
      onpointerdown: (event) => event.preventDefault(), onclick: () => take(choice) },
    h("span", {}, choice.label), choice.note && choice.note !== choice.label && h("small", {}, choice.note))));
    options.hidden = !choices.length;
    input.setAttribute("aria-expanded", String(choices.length > 0));
    const still = choices.findIndex(({ value }) => value === marked);
    if (still >= 0) mark(still); // what was marked stays so when a later answer comes
  };
  const soon = debounce(120, open);

  input.addEventListener("input", soon);
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const isOpen = !options.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (isOpen) mark(active + (event.key === "ArrowDown" ? 1 : active < 0 ? 0 : -1));
      else open().then(() => choices.length && !options.hidden && mark(event.key === "ArrowDown" ? 0 : -1));
    } else if (isOpen && event.key === "Enter" && active >= 0) {
      event.preventDefault();
      event.stopImmediatePropagation();
      take(choices[active]);
    } else if (isOpen && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  }, { capture: true });
}

// Says below a control which of its values are not known. @param {() => string[]} values
function watchUnknown(source, values) {
  const note = h("small", { class: "unknown", role: "status" });
  let turn = 0;
  const unknown = async () => {
    const all = values();
    const known = await Promise.all(all.map((value) => source.known(value).catch(() => true))); // what cannot be told is not said
    return all.filter((_, at) => !known[at]);
  };
  const look = debounce(250, async () => {
    const mine = ++turn;
    const found = await unknown();
    if (mine === turn) show(note, found.length ? `${found.map((value) => `“${value}”`).join(", ")}: ${source.unknown}` : null);
  });
  return { note, look, unknown };
}

/** One value, picked or written. @param {Source} source @param {any} [empty] what nothing means @returns {Kind} */
export const pickOne = (source, props = {}, empty = "") => ({
  make: (id, changed) => {
    const input = h("input", { id, type: "text", autocomplete: "off", ...props, oninput: () => { watch.look(); changed(); } });
    const watch = watchUnknown(source, () => (input.value.trim() ? [input.value.trim()] : []));
    const around = h("div", {}, input);
    combobox(input, source, (value) => { input.value = value; watch.look(); changed(); }, around);
    return { element: h("div", { class: "picked" }, around, watch.note), input, get: () => input.value, unknown: watch.unknown, put: (text) => { input.value = text; } };
  },
  show: (value) => value ?? "", read: (text) => text.trim() || empty });

/** Several values, picked or written. @param {Source} source @returns {Kind} */
export const pickMany = (source, props = {}) => ({
  make: (id, changed) => {
    const noticed = () => { watch.look(); changed(); };
    const box = tokenBox(id, noticed, { say: source.name, ...props });
    const watch = watchUnknown(source, () => JSON.parse(box.get()));
    combobox(/** @type {HTMLInputElement} */ (box.input), source, box.add, box.element);
    return { ...box, element: h("div", { class: "picked" }, box.element, watch.note), unknown: watch.unknown };
  },
  show: (value) => JSON.stringify(value ?? []), read: (text) => JSON.parse(text), say: (text) => JSON.parse(text).join(", ") || "nothing" });
