// The tenant's configuration, with a question before anybody is shown stronger ratings.

import { call, get } from "./api.js";
import { ask, choice, doing, field, h, list, notice, number, show, text, toggle } from "./dom.js";

const LEARNED = [["on", "is served where it is better"], ["suggest", "is only suggested"], ["off", "is left alone"]];
const HOLDOUT = [["true", "2 % of the users keep getting what is popular"], ["false", "nobody is held out"]];
const RATINGS = ["G", "PG", "PG13", "R", "NC17"].map((rating) => [rating, rating]);

export async function settingsTab(place) {
  let configuration = await get("configuration");
  const inputs = {};
  const keep = (name, make) => (id) => (inputs[name] = make(id));

  function draw() {
    const bands = Object.entries(configuration.ageBandPolicies).map(([band, rating]) => `${band}: ${rating}`).join(", ");
    let personal = configuration.usePersonalization;
    const faults = h("div", { class: "problem", role: "alert", hidden: true });
    show(place, h("div", { class: "head" }, h("h1", {}, "Settings")), h("form", { class: "card settings", onsubmit: (event) => event.preventDefault() }, faults,
      h("fieldset", {}, h("legend", {}, "What may be shown"), h("div", { class: "pair" },
        field("Strongest rating", keep("maturityPolicy", choice(RATINGS, configuration.maturityPolicy))),
        field("Milder for age bands", keep("ageBandPolicies", text({ value: bands, placeholder: "0-12: G, 13-17: PG" }))))),
      h("fieldset", {}, h("legend", {}, "The feed"), toggle("Personal feeds", personal, (on) => (personal = on)), h("div", { class: "pair" },
        field("Videos a page", keep("defaultLimit", number({ min: 1, max: 50, value: configuration.defaultLimit }))),
        field("Longest run of a category", keep("streakCap", number({ min: 0, max: 50, value: configuration.streakCap })), "0: no limit"),
        field("Videos of one creator a page", keep("creatorCap", number({ min: 0, max: 50, value: configuration.creatorCap })), "0: no limit"),
        field("Variety", keep("diversity", number({ min: 0, max: 2, step: 0.05, value: configuration.diversity })), "0: score alone decides"),
        field("Tastes fade by half in (days)", keep("affinityHalfLifeDays", number({ min: 1, max: 30, step: 0.5, value: configuration.affinityHalfLifeDays }))),
        field("Popularity fades by half in (hours)", keep("popularityHalfLifeHours", number({ min: 1, max: 168, value: configuration.popularityHalfLifeHours ?? "" })), "Empty: as the model was fitted"),
        field("What each night learns", keep("autoModel", choice(LEARNED, configuration.autoModel)), "Nothing is served that was not shown to beat popularity"),
        field("Holdout", keep("holdout", choice(HOLDOUT, String(configuration.holdout))), "So that what learning brings is measured on people"))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: doing(() => save(personal, faults)) }, "Save"))));
  }

  async function save(personal, faults) {
    const count = (name) => (inputs[name].value === "" ? null : Number(inputs[name].value));
    const body = {
      maturityPolicy: inputs.maturityPolicy.value, usePersonalization: personal,
      ageBandPolicies: Object.fromEntries(list(inputs.ageBandPolicies.value).map((pair) => pair.split(":").map((part) => part.trim()))),
      autoModel: inputs.autoModel.value, holdout: inputs.holdout.value === "true",
      ...Object.fromEntries(["defaultLimit", "streakCap", "creatorCap", "diversity", "affinityHalfLifeDays", "popularityHalfLifeHours"].map((name) => [name, count(name)])),
    };
    faults.hidden = true;
    const send = (headers = {}) => call("PATCH", "configuration", body, { etag: configuration.etag, headers });
    try {
      configuration = await send();
    } catch (error) {
      if (error.errors?.[0]?.code === "confirmation_required") {
        if (!(await ask("Show stronger ratings?", error.errors[0].message.split(" To confirm")[0], "Yes, show them"))) return;
        configuration = await send({ "X-Confirm-Maturity": "yes" });
      } else {
        show(faults, h("ul", {}, (error.errors?.length ? error.errors : [{ message: error.message }]).map((each) => h("li", {}, each.message))));
        faults.hidden = false;
        return;
      }
    }
    notice("Saved. Every feed follows within 15 seconds.");
    draw();
  }
  draw();
}
