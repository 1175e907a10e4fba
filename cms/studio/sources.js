// Suggestions for pickers: values of the catalog, videos, playlists, countries and languages.

import { get } from "./api.js";

/**
 * What can be picked. `find` brings what fits a text, the closest first; `known` tells whether there is such a value.
 * @typedef {{ value: string, label: string, note?: string }} Choice
 * @typedef {{ find: (text: string) => Promise<Choice[]>, known: (value: string) => Promise<boolean>, unknown: string, name?: (value: string) => string }} Source
 */

const KEPT_MS = 20_000;
const MOST = 12;
const kept = new Map();

// An answer that is a few seconds old will do for a picker.
function recently(path) {
  const found = kept.get(path);
  if (found && Date.now() - found.at < KEPT_MS) return found.answer;
  const answer = get(path);
  answer.catch(() => kept.delete(path));
  kept.set(path, { at: Date.now(), answer });
  if (kept.size > 200) kept.delete(kept.keys().next().value);
  return answer;
}

const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();

/** Those of a list that fit, the closest first. @param {Choice[]} all @param {string} text */
function fitting(all, text) {
  const wanted = folded(text);
  const score = ({ value, label }) => (folded(value) === wanted ? 0 : folded(label).startsWith(wanted) ? 1 : folded(label).includes(wanted) || folded(value).includes(wanted) ? 2 : 9);
  return all.map((choice) => ({ choice, at: score(choice) })).filter(({ at }) => at < 9).sort((one, other) => one.at - other.at).map(({ choice }) => choice);
}

/** Values that videos have. @param {"categories" | "tags" | "creators" | "series"} field @param {string} one what such a value is called @returns {Source} */
const catalog = (field, one) => ({
  find: async (text) => (await recently(`values/${field}?limit=${MOST}&q=${encodeURIComponent(text)}`)).values
    .map(({ value, videos }) => ({ value, label: value, note: videos === 1 ? "1 video" : `${videos.toLocaleString()} videos` })),
  known: async (value) => (await recently(`values/${field}?limit=${MOST}&q=${encodeURIComponent(value)}`)).values.some((each) => each.value === value),
  unknown: `No video has this ${one} yet.` });

export const categories = catalog("categories", "category");
export const tags = catalog("tags", "tag");
export const creators = catalog("creators", "creator");
export const series = catalog("series", "series");

/** @type {Source} */
export const videos = {
  find: async (text) => (await recently(`videos?limit=${MOST}&q=${encodeURIComponent(text)}`)).videos
    .map((video) => ({ value: video.id, label: video.title, note: [video.id, video.mainTag, video.state === "live" ? "" : video.state.replace("_", " ")].filter(Boolean).join(" · ") })),
  known: async (value) => {
    try {
      await recently(`videos/${encodeURIComponent(value)}`);
      return true;
    } catch (error) {
      if (error.status === 404) return false;
      throw error;
    }
  },
  unknown: "The catalog has no video with this id." };

/** The title of a video; null where there is none. @param {string} id */
export const titleOf = async (id) => (await recently(`videos/${encodeURIComponent(id)}`)).title ?? null;

const allPlaylists = async () => (await recently("playlists")).playlists.map(({ id, name, videoIds }) => ({ value: id, label: name, note: `${id} · ${videoIds.length} videos` }));
/** @type {Source} */
export const playlists = {
  find: async (text) => fitting(await allPlaylists(), text).slice(0, MOST),
  known: async (value) => (await allPlaylists()).some((each) => each.value === value),
  unknown: "There is no playlist with this id." };

const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];
const PAIRS = LETTERS.flatMap((one) => LETTERS.map((other) => one + other));
const NO_COUNTRIES = new Set("AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ".split(" "));

// Every two-letter code that has a name and is not another one's old spelling.
function named(type, codes, isOne) {
  const names = new Intl.DisplayNames(["en"], { type, fallback: "none" });
  return codes.filter(isOne).map((value) => ({ value, label: names.of(value), note: value })).filter(({ label }) => label).sort((one, other) => one.label.localeCompare(other.label));
}
let countryList, languageList;
const allCountries = () => (countryList ??= named("region", PAIRS.map((code) => code.toUpperCase()), (code) => !NO_COUNTRIES.has(code) && new Intl.Locale(`und-${code}`).region === code));
const allLanguages = () => (languageList ??= named("language", PAIRS, (code) => Intl.getCanonicalLocales(code)[0] === code));

/** A list that is here. @param {() => Choice[]} all @returns {Source} */
const listed = (all, unknown, known = (value) => all().some((each) => each.value === value)) => ({
  find: async (text) => fitting(all(), text).slice(0, MOST), known: async (value) => known(value), unknown,
  name: (value) => all().find((each) => each.value === value)?.label ?? value });

export const countries = listed(allCountries, "This is not a two-letter country code.", (value) => value === "UK" || allCountries().some((each) => each.value === value.toUpperCase()));
export const languages = listed(allLanguages, "This is not a language code.", (value) => allLanguages().some((each) => each.value === value.toLowerCase().split(/[-_]/)[0]));

const BANDS = ["0-12", "13-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+"].map((value) => ({ value, label: value }));
const PLATFORMS = [["ios", "iOS"], ["android", "Android"], ["web", "Web"], ["android_tv", "Android TV"], ["tvos", "tvOS"]].map(([value, label]) => ({ value, label, note: value }));
export const ageBands = listed(() => BANDS, "", () => true);
export const platforms = listed(() => PLATFORMS, "", () => true);
