// The tenant's configuration. Asks before a change shows viewers stronger ratings.

import { call, get } from "./api.js";
import { figure, oneOf, onOff, tokens, written } from "./controls.js";
import { doing, h, list, notice, show } from "./dom.js";
import { confirmed, makeForm, saveButton, savedNotice } from "./forms.js";
import { rereadMedia } from "./media.js";
import { settingsDraft } from "./settings_draft.js";
import { RATINGS, T } from "./texts.js";

const LEARNED = [["on", "Serve it when it is better"], ["suggest", "Only suggest it"], ["off", "Do nothing with it"]];
const HOLDOUT = [[true, "2 % of users keep the popular feed"], [false, "No holdout"]];
const BANDS = "0-12: G, 13-17: PG";

const bandsShown = (value) => Object.entries(value ?? {}).map(([band, rating]) => `${band}: ${rating}`).join(", ");
const bandsRead = (text) => Object.fromEntries(list(text).map((pair) => {
  const parts = pair.split(":").map((part) => part.trim());
  if (parts.length !== 2 || !parts[0] || !parts[1]) throw new Error(`“${pair}” is not an age band with its rating. Write them like ${BANDS}.`);
  return parts;
}));

const SPECS = {
  maturityPolicy: { label: "Strongest rating", kind: oneOf(RATINGS) },
  ageBandPolicies: { label: "Milder ratings for age bands", kind: written({ placeholder: BANDS }, bandsShown, bandsRead), hint: `Such as ${BANDS}` },
  offerNextEpisode: { label: "Series", kind: onOff("Offer viewers the next episode after they finish one") },
  followPolicy: { label: "Following a person takes effect", kind: oneOf([["open", "at once"], ["approval", "when that person accepts"]]) },
  friendsMean: { label: "Who sees stories for friends", kind: oneOf([["followers", "followers of the author"], ["mutuals", "people who follow each other"]]) },
  storyHours: { label: "Stories expire after (hours)", kind: figure({ min: 1, max: 48 }) },
  storyHoldReports: { label: "Reports that hide a story", kind: figure({ min: 1, max: 100 }), hint: "From this many different people. An editor then decides" },
  mediaHosts: { label: "Media hosts", kind: tokens({ placeholder: "cdn.example.org" }), hint: "The Studio loads pictures and clips only from these hosts, over HTTPS. At most 20" },
  usePersonalization: { label: "Personal feeds", kind: onOff("Personal feeds") },
  defaultLimit: { label: "Videos a page", kind: figure({ min: 1, max: 50 }) },
  streakCap: { label: "Longest run of a category", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
  creatorCap: { label: "Videos of one creator a page", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
  diversity: { label: "Variety", kind: figure({ min: 0, max: 2, step: 0.05 }), hint: "0: rank by score only. Higher mixes categories and creators more" },
  affinityHalfLifeDays: { label: "A viewer's interests halve in (days)", kind: figure({ min: 1, max: 30, step: 0.5 }) },
  popularityHalfLifeHours: { label: "Popularity halves in (hours)", kind: figure({ min: 1, max: 168 }), hint: "Empty: use the model's own value" },
  autoModel: { label: "The model learned each night", kind: oneOf(LEARNED), hint: "A model is served only after it was measured to beat the popular feed" },
  holdout: { label: "Holdout", kind: oneOf(HOLDOUT), hint: "A group without learned ranking, to measure how much learning helps" },
};
const [MATURITY, BAND_POLICIES, NEXT_EPISODE, FOLLOWS, FRIENDS, STORIES, REPORTS, MEDIA, PERSONAL, ...NUMBERS] = Object.keys(SPECS);

export async function settingsTab(place) {
  const form = makeForm(await get("configuration"), SPECS);
  const draft = settingsDraft(async () => form.settle(await get("configuration")));

  async function keep() {
    if (!form.touched()) return notice(T.nothingChanged);
    if (!(await form.submit(() => draft.keep(form.changes())))) return;
    form.settle(await get("configuration"));
    notice(T.kept);
  }

  async function save() {
    const saved = await form.submit(async () => {
      if (!form.touched()) return notice(T.nothingChanged);
      return confirmed((headers) => call("PATCH", "configuration", form.changes(), { etag: form.etag, headers }));
    }, () => get("configuration"));
    if (!saved) return;
    form.settle(saved);
    await rereadMedia();
    savedNotice("configuration", "configuration", async () => form.settle(await get("configuration")));
  }

  show(place, h("div", { class: "head" }, h("h1", {}, "Settings")), draft.place, h("form", { class: "card settings", novalidate: true,
    onsubmit: (event) => { event.preventDefault(); doing(save)(event); } }, form.alert,
  h("fieldset", {}, h("legend", {}, "What can be shown"), h("div", { class: "pair" }, form.at(MATURITY, BAND_POLICIES))),
  h("fieldset", {}, h("legend", {}, "The feed"), form.at(PERSONAL, NEXT_EPISODE), h("div", { class: "pair" }, form.at(...NUMBERS))),
  h("fieldset", {}, h("legend", {}, "Pictures and clips"), form.at(MEDIA)),
  h("fieldset", {}, h("legend", {}, "People"), h("div", { class: "pair" }, form.at(FOLLOWS, FRIENDS, STORIES, REPORTS))),
  h("div", { class: "actions" }, h("button", { type: "button", onclick: doing(keep) }, T.saveDraft), saveButton())));
  await draft.reload();
}
