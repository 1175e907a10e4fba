// The form of every editor. It sends only changed fields, shows each fault at its field, and keeps edits through faults,
// conflicts, Escape and an expired key.

import { get, post } from "./api.js";
import { ask, dialog, doing, h, notice, show } from "./dom.js";
import { T } from "./texts.js";

/** @typedef {import("./controls.js").Kind} Kind */
/**
 * What a field is. The name it stands under is its path in the document, such as `match.tags`.
 * @typedef {{ label: string, kind: Kind, hint?: string | null, start?: any }} Spec `start`: shown and sent where a new document has no value
 */

const open = new Set(); // forms on the page: leaving asks where one was touched
const listed = () => [...open].filter((form) => form.element.isConnected || !open.delete(form));

/** Whether the page may be left; asks where edits would be lost. */
export async function mayLeave() {
  if (!listed().some((form) => form.touched()) || (await ask(T.leaveTitle, T.leave, T.throwAway, T.keepEditing))) {
    for (const form of listed()) if (!form.inDialog()) open.delete(form);
    return true;
  }
  return false;
}
window.addEventListener("beforeunload", (event) => { if (listed().some((form) => form.touched())) event.preventDefault(); });

const at = (document, path) => path.split(".").reduce((value, name) => value?.[name], document);
function put(document, path, value) {
  const names = path.split(".");
  const last = names.pop();
  names.reduce((inner, name) => (inner[name] ??= {}), document)[last] = value;
}

/** A document with some changes laid over it, objects member by member. */
export function merged(document, changes) {
  if (changes === null || typeof changes !== "object" || Array.isArray(changes)) return changes;
  const base = document && typeof document === "object" && !Array.isArray(document) ? document : {};
  return Object.fromEntries([...Object.entries(base), ...Object.entries(changes).map(([name, value]) => [name, merged(base[name], value)])]);
}

/** Faults of one field, and of the form as a whole. */
class Faults extends Error {
  constructor(errors) {
    super(T.lookAgain);
    this.errors = errors;
  }
}

let made = 0;

/**
 * A form over a document. `given`: as it was read, null for a new one.
 * @param {any} given @param {Record<string, Spec>} specs
 */
export function makeForm(given, specs) {
  const isNew = given === null;
  let etag = given?.etag;
  const number = ++made;
  /** @type {Record<string, { spec: Spec, control: import("./controls.js").Control, base: string, box: any, told: any }>} */
  const fields = {};
  const watchers = [];
  const alert = h("div", { class: "problem", role: "alert", hidden: true });
  const changed = () => watchers.forEach((watch) => watch());

  for (const [name, spec] of Object.entries(specs)) {
    const id = `form-${number}-${name.replaceAll(".", "-")}`;
    const control = spec.kind.make(id, changed);
    const hint = [spec.hint, spec.kind.hint].filter(Boolean).join(". ");
    const told = h("small", { class: "fault", id: `${id}-fault`, hidden: true });
    if (hint) control.input.setAttribute("aria-describedby", `${id}-hint`);
    const box = h("div", { class: "field", "data-field": name }, spec.kind.label === false ? null : h("label", { for: id }, spec.label),
      control.element, hint && h("small", { class: "hint", id: `${id}-hint` }, hint), told);
    const base = spec.kind.show(at(given ?? {}, name) ?? (isNew ? spec.start : undefined));
    control.put(base);
    fields[name] = { spec, control, base: control.get(), box, told };
  }

  const isTouched = (each) => each.control.get() !== each.base;
  const read = (names) => {
    const errors = [], document = {};
    for (const name of names) {
      const { spec, control } = fields[name];
      const wrong = control.wrong?.();
      try {
        if (wrong) errors.push({ field: name, message: `${spec.label} ${wrong}` });
        else put(document, name, spec.kind.read(control.get()));
      } catch (error) {
        errors.push({ field: name, message: error.message });
      }
    }
    if (errors.length) throw new Faults(errors);
    return document;
  };
  const isWrong = (each) => Boolean(each.control.wrong?.());

  function clear() {
    alert.hidden = true;
    show(alert);
    for (const { control, told } of Object.values(fields)) {
      control.input.removeAttribute("aria-invalid");
      control.input.removeAttribute("aria-errormessage");
      told.hidden = true;
    }
  }

  // The field that a fault is about: `match.tags[2]` is in `match.tags`.
  const fieldOf = (path) => Object.keys(fields).filter((name) => path === name || path.startsWith(`${name}.`) || path.startsWith(`${name}[`))
    .sort((one, other) => other.length - one.length)[0] ?? null;

  function tellFaults(errors) {
    const lines = errors.map((error) => {
      const name = fieldOf(error.field ?? "");
      if (!name) return h("li", {}, error.message);
      const { spec, control, told, box } = fields[name];
      const message = error.message.startsWith(error.field) ? `${spec.label}${error.message.slice(error.field.length)}` : error.message;
      for (let around = box.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
      told.textContent = told.hidden ? message : `${told.textContent} ${message}`;
      told.hidden = false;
      control.input.setAttribute("aria-invalid", "true");
      control.input.setAttribute("aria-errormessage", told.id);
      return h("li", {}, h("button", { type: "button", class: "link", onclick: () => control.input.focus() }, message.includes(spec.label) ? message : `${spec.label}: ${message}`));
    });
    show(alert, h("p", {}, T.lookAgain), h("ul", {}, lines));
    alert.hidden = false;
    alert.scrollIntoView?.({ block: "nearest" });
    const first = Object.values(fields).find(({ told }) => !told.hidden);
    first?.control.input.focus();
  }

  function tellTrouble(message, label, action) {
    show(alert, h("p", {}, message), action && h("div", { class: "actions" }, h("button", { type: "button", onclick: doing(action) }, label)));
    alert.hidden = false;
    alert.scrollIntoView?.({ block: "nearest" });
  }

  // What is written in these fields and nothing has, in words.
  async function unknown(some) {
    const found = await Promise.all(some.map(async ({ spec, control }) => ({ label: spec.label, values: (await control.unknown?.()) ?? [] })));
    return found.filter(({ values }) => values.length).map(({ label, values }) => `${label}: ${values.join(", ")}.`);
  }

  // Whether values that nothing has are meant so.
  async function meant() {
    const odd = await unknown(Object.values(fields).filter(isTouched));
    return !odd.length || ask(T.unknownTitle, `${T.unknown} ${odd.join(" ")}`, T.useThem, T.keepEditing);
  }

  // The newest version beneath the edits: untouched fields follow it, touched ones stay, and where both changed it is said.
  function rebase(fresh) {
    etag = fresh.etag;
    form.given = fresh;
    clear();
    for (const [name, each] of Object.entries(fields)) {
      const mine = each.control.get(), base = each.base, keep = isTouched(each) || isWrong(each);
      each.control.put(each.spec.kind.show(at(fresh, name)));
      each.base = each.control.get();
      if (!keep || mine === each.base) continue;
      const theirs = each.base;
      each.control.put(mine);
      if (theirs === base) continue;
      show(each.told, T.changedToo, h("b", {}, (each.spec.kind.say ?? String)(theirs) || "nothing"), " ", h("button", { type: "button", class: "link",
        onclick: () => { each.control.put(theirs); each.told.hidden = true; changed(); } }, T.takeTheirs));
      each.told.hidden = false;
    }
    changed();
  }

  const form = {
    given,
    element: alert,
    alert,
    fields,
    get etag() { return etag; },
    /** The fields of these names, or one of them. @param {...string} names */
    at: (...names) => names.map((name) => fields[name].box),
    touched: () => Object.values(fields).some((each) => isTouched(each) || isWrong(each)) || form.alsoTouched(),
    /** What a caller edits outside of the fields. */
    alsoTouched: () => false,
    inDialog: () => Boolean(alert.closest("dialog")),
    isTouched: (name) => isTouched(fields[name]),
    value: (name) => fields[name].spec.kind.read(fields[name].control.get()),
    put: (name, value) => { fields[name].control.put(fields[name].spec.kind.show(value)); changed(); },
    /** Only what was touched, of an object with what it has beside; of a new document everything that is written. */
    changes: () => {
      const touched = read(Object.keys(fields).filter((name) => isTouched(fields[name]) || isWrong(fields[name]) || (isNew && fields[name].base !== "")));
      return Object.fromEntries(Object.entries(touched).map(([name, value]) => [name, name in fields ? value : merged(form.given?.[name], value)]));
    },
    /** The whole document: as it was read, with what was touched. */
    whole: () => ({ ...form.given, ...form.changes() }),
    unknown: () => unknown(Object.values(fields)),
    watch: (action) => { watchers.push(action); },
    rebase,
    clear,
    /** What was saved is what is there now. */
    settle: (fresh) => { for (const each of Object.values(fields)) each.control.put(each.base); rebase(fresh); },
    /**
     * Run something that sends; what goes wrong is told at the form. Resolves to the answer, null where there is none.
     * @param {() => Promise<any>} send @param {(() => Promise<any>) | null} [reload] reads the newest version after a conflict
     * @param {{ known?: boolean }} [asks] `known`: asks first where a touched field has values that nothing has
     */
    async submit(send, reload = null, { known = false } = {}) {
      clear();
      try {
        if (known && !(await meant())) return null;
        return await send();
      } catch (error) {
        const again = async () => { form.rebase(await reload()); tellTrouble(T.reloaded, "", null); };
        if (error.status === 412 && reload) tellTrouble(T.conflict, T.reload, again);
        else if (error.errors?.length) tellFaults(error.errors);
        else tellTrouble(error.message, "", null);
        return null;
      }
    },
  };
  open.add(form);
  return form;
}

/** @typedef {ReturnType<typeof makeForm>} Form */

/**
 * A dialog with a form, which asks before edits are thrown away.
 * @param {string} title @param {Form} form @param {any[]} body @param {any[]} buttons beside Cancel; the one of type submit runs `submit`
 * @param {() => any} submit
 */
export function formDialog(title, form, body, buttons, submit) {
  const box = dialog(title, h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); doing(submit)(event); } },
    form.alert, body, h("div", { class: "actions" }, h("button", { type: "button", onclick: () => box.wantsToClose() }, T.cancel), buttons)));
  box.leave(async () => !form.touched() || ask(T.leaveTitle, T.leave, T.throwAway, T.keepEditing));
  box.addEventListener("close", () => open.delete(form));
  open.add(form);
  return box;
}

/** The button that saves. */
export const saveButton = (label = T.save) => h("button", { type: "submit", class: "primary" }, label);

/** Send something that may need a yes before stronger ratings are shown. Null where the answer was no. @param {(headers: Record<string, string>) => Promise<any>} send */
export async function confirmed(send) {
  try {
    return await send({});
  } catch (error) {
    if (error.errors?.[0]?.code !== "confirmation_required") throw error;
    if (!(await ask(T.stronger, error.errors[0].message.split(" To confirm")[0], T.showThem))) return null;
    return send({ "X-Confirm-Maturity": "yes" });
  }
}

/**
 * Tell that something was saved, with a button that takes it back: the newest entry of its history.
 * @param {string} resource as the history calls it @param {string} name @param {() => any} after draws what is there then
 */
export function savedNotice(resource, name, after, message = T.saved) {
  const entry = get(`audit?resource=${resource}&name=${encodeURIComponent(name)}&limit=1`).then((answer) => answer.entries[0], () => null);
  entry.then((found) => notice(message, "good", found?.revertible ? { label: T.undo, run: async () => {
    const taken = await confirmed((headers) => post(`audit/${found.id}/revert`, {}, { headers }));
    if (!taken) return;
    notice([T.undone, ...(taken.notes ?? []).map((note) => note.message)].join(" "));
    await after();
  } } : null));
}
