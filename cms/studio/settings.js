// The tenant's configuration, with a question before anybody is shown stronger ratings.

import { call, get } from "./api.js";
import { figure, oneOf, onOff, tokens, written } from "./controls.js";
import { doing, h, list, notice, show } from "./dom.js";
import { confirmed, makeForm, saveButton, savedNotice } from "./forms.js";
import { rereadMedia } from "./media.js";
import { settingsDraft } from "./settings_draft.js";
import { RATINGS, T } from "./texts.js";

const LEARNED = [["on", "is served where it is better"], ["suggest", "is only suggested"], ["off", "is left alone"]];
const HOLDOUT = [[true, "2 % of the users keep getting what is popular"], [false, "nobody is held out"]];
const BANDS = "0-12: G, 13-17: PG";

const bandsShown = (value) => Object.entries(value ?? {}).map(([band, rating]) => `${band}: ${rating}`).join(", ");
const bandsRead = (text) => Object.fromEntries(list(text).map((pair) => {
  const parts = pair.split(":").map((part) => part.trim());
  if (parts.length !== 2 || !parts[0] || !parts[1]) throw new Error(`“${pair}” is not an age band and its rating, such as ${BANDS}.`);
  return parts;
}));

const SPECS = {
  maturityPolicy: { label: "Strongest rating", kind: oneOf(RATINGS) },
  ageBandPolicies: { label: "Milder for age bands", kind: written({ placeholder: BANDS }, bandsShown, bandsRead), hint: `Such as ${BANDS}` },
  offerNextEpisode: { label: "Series", kind: onOff("Offer the next episode of a series to who finished one") },
  followPolicy: { label: "A follow of a person holds", kind: oneOf([["open", "at once"], ["approval", "when the followed person agrees"]]) },
  friendsMean: { label: "Stories for friends are seen by", kind: oneOf([["followers", "who follows the author"], ["mutuals", "who follows and is followed back"]]) },
  storyHours: { label: "A story lives for (hours)", kind: figure({ min: 1, max: 48 }) },
  storyHoldReports: { label: "Reports that hold a story back", kind: figure({ min: 1, max: 100 }), hint: "By different people; then an editor decides" },
  mediaHosts: { label: "Media hosts", kind: tokens({ placeholder: "cdn.example.org" }), hint: "From them alone the Studio loads pictures and clips, by https. 20 at most" },
  usePersonalization: { label: "Personal feeds", kind: onOff("Personal feeds") },
  defaultLimit: { label: "Videos a page", kind: figure({ min: 1, max: 50 }) },
  streakCap: { label: "Longest run of a category", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
  creatorCap: { label: "Videos of one creator a page", kind: figure({ min: 0, max: 50 }), hint: "0: no limit" },
  diversity: { label: "Variety", kind: figure({ min: 0, max: 2, step: 0.05 }), hint: "0: score alone decides" },
  affinityHalfLifeDays: { label: "Tastes fade by half in (days)", kind: figure({ min: 1, max: 30, step: 0.5 }) },
  popularityHalfLifeHours: { label: "Popularity fades by half in (hours)", kind: figure({ min: 1, max: 168 }), hint: "Empty: as the model was fitted" },
  autoModel: { label: "What each night learns", kind: oneOf(LEARNED), hint: "Nothing is served that was not shown to beat popularity" },
  holdout: { label: "Holdout", kind: oneOf(HOLDOUT), hint: "So that what learning brings is measured on people" },
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
  h("fieldset", {}, h("legend", {}, "What may be shown"), h("div", { class: "pair" }, form.at(MATURITY, BAND_POLICIES))),
  h("fieldset", {}, h("legend", {}, "The feed"), form.at(PERSONAL, NEXT_EPISODE), h("div", { class: "pair" }, form.at(...NUMBERS))),
  h("fieldset", {}, h("legend", {}, "Pictures and clips"), form.at(MEDIA)),
  h("fieldset", {}, h("legend", {}, "People"), h("div", { class: "pair" }, form.at(FOLLOWS, FRIENDS, STORIES, REPORTS))),
  h("div", { class: "actions" }, h("button", { type: "button", onclick: doing(keep) }, T.saveDraft), saveButton())));
  await draft.reload();
}
