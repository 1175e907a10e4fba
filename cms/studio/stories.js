// Reported stories: their content and reports, and the editor's two actions, approve and remove.

import { get, post } from "./api.js";
import { ask, doing, h, moment, notice, show, skeleton } from "./dom.js";

const REASONS = { spam: "spam", harassment: "harassment", hate: "hate", violence: "violence", sexual: "sexual content", other: "something else" };

export async function storiesTab(place) {
  const list = h("ul", { class: "cards" }, h("li", {}, skeleton()));
  const more = h("button", { hidden: true, onclick: doing(() => load(next)) }, "Show more");
  let next = null;

  async function load(cursor = null) {
    const page = await get(`stories?limit=20${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    next = page.nextCursor;
    more.hidden = next === null;
    const cards = page.stories.map(card);
    if (cursor) list.append(...cards);
    else show(list, cards);
    if (!list.childElementCount) empty();
  }

  const empty = () => show(list, h("li", { class: "card empty" }, h("p", {}, next ? "No reported stories on this page. Show more to continue." : "No reported stories. Stories that viewers report appear here.")));

  function card(story) {
    const people = Object.entries(story.reports).map(([reason, count]) => `${count} × ${REASONS[reason] ?? reason}`).join(", ");
    const element = h("li", { class: "card", "data-story": story.id },
      h("div", { class: "rule-line" }, h("div", { class: "grow" }, h("h2", {}, `Reported for ${people}`),
        h("p", { class: "muted" }, `By `, h("code", {}, story.authorId), ` · for ${story.visibility === "public" ? "everybody" : story.visibility} · posted ${moment(story.createdAt)}, ends ${moment(story.expiresAt)}`)),
        h("span", { class: `chip ${story.held ? "over" : "live"}` }, story.held ? "Hidden" : "Still shown")),
      story.text && h("blockquote", {}, story.text),
      story.mediaUrl && h("p", {}, h("a", { href: story.mediaUrl, target: "_blank", rel: "noreferrer noopener" }, story.kind === "video" ? "Open the clip" : "Open the picture")),
      story.texts.length > 0 && h("ul", { class: "left" }, story.texts.map((each) => h("li", {}, h("b", {}, REASONS[each.reason] ?? each.reason), `: ${each.text}`))),
      h("div", { class: "actions" },
        h("button", { onclick: doing(() => decide(story, element, false)) }, story.held ? "Show it again" : "Leave it"),
        h("button", { class: "danger", onclick: doing(() => decide(story, element, true)) }, "Remove")));
    return element;
  }

  async function decide(story, element, removes) {
    if (removes && !(await ask("Remove this story?", "Viewers can no longer see it. Its text and media are deleted, and cannot be restored.", "Remove"))) return;
    await post(`stories/${story.id}/${removes ? "remove" : "approve"}`, {}, { etag: story.etag });
    const after = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    notice(removes ? "Removed." : "Approved. Viewers can see it; only new reports can hide it again.");
    if (!list.childElementCount) empty();
    (after?.querySelector("button") ?? reload).focus();
  }

  const reload = h("button", { onclick: doing(() => load()) }, "Reload");
  show(place, h("div", { class: "head" }, h("div", {}, h("h1", {}, "Stories"),
    h("p", { class: "muted" }, "Stories that viewers reported, oldest first. Settings say how many reports hide a story.")), reload), list, h("div", { class: "actions" }, more));
  await load();
}
