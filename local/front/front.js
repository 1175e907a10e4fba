// Demo page: plays a feed, sends its events, and shows why each video was chosen and what is stored about the viewer.
import { stories } from "/front/stories.js";
import { startSession } from "/front/video-feed.js";

const $ = (id) => document.getElementById(id);
const SKIPPED_MS = 2_000;
const LOOK_MS = 2_000;
const SWITCHES = [["switch", "personalized-feed"], ["stories-on", "stories", "story-ranked"]];
const demo = await (await fetch("/front/demo.json")).json();
const seen = new IntersectionObserver(shown, { root: $("feed"), threshold: 0.6 });
let session, feed, current, walk = 0, filling;

for (const name of demo.viewers) $("viewer").append(new Option(name, name));
for (const { id, says } of demo.tenants) $("tenant").append(new Option(says, id));
const tenant = () => demo.tenants.find(({ id }) => id === $("tenant").value);

async function hashOf(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Headers of an operator's call about the viewer. */
async function asOperator() {
  return { "X-Tenant-Id": tenant().id, "X-Api-Key": demo.opsKey, "X-User": await user() };
}

const user = () => hashOf(`front door ${$("viewer").value}`);

/** Name → hash of everybody who can be chosen. */
async function viewers() {
  return Object.fromEntries(await Promise.all(demo.viewers.map(async (name) => [name, await hashOf(`front door ${name}`)])));
}

const row = stories({ demo, tenant, viewer: user, viewers, element });

async function restart() {
  row.show();
  const mine = ++walk;
  leave();
  current = undefined;
  await session?.flush().catch(() => {});
  await session?.close();
  if (mine !== walk) return;
  session = startSession({ baseUrl: location.origin, tenantId: tenant().id, apiKey: tenant().key, user: await user(), personalized: $("consent").checked });
  feed = session.feed({ limit: 8, prefetchWhenLeft: 3 });
  seen.disconnect();
  $("feed").replaceChildren();
  $("feed").scrollTop = 0;
  filling = undefined;
  await fill(mine);
}

/** Two slides more than are looked at. */
async function fill(mine) {
  if (filling === mine) return;
  filling = mine;
  try {
    while (mine === walk && $("feed").children.length < (current?.index ?? 0) + 3) {
      const index = $("feed").children.length;
      const video = await feed.at(index);
      if (mine !== walk) return;
      if (!video) {
        if (!$("feed").querySelector(".end")) $("feed").append(element("p", { className: "slide end", textContent: "You have seen all videos. Choose another viewer, or come back later." }));
        return;
      }
      const slide = slideOf(video, index);
      $("feed").append(slide);
      seen.observe(slide);
    }
  } catch (error) {
    if (mine === walk) $("mode").textContent = `The feed could not be loaded: ${error.code ?? error.message}`;
  } finally {
    if (filling === mine) filling = undefined;
  }
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function slideOf(video, index) {
  const clips = demo.clips[video.mainTag] ?? Object.values(demo.clips)[0];
  const clip = clips[[...video.videoId].reduce((sum, sign) => sum + sign.charCodeAt(0), 0) % clips.length];
  const media = element("video", { muted: true, loop: true, playsInline: true, preload: "auto", src: `/front/${clip}.mp4`, poster: `/front/${clip}.jpg` });
  media.setAttribute("aria-label", `An animated clip about ${video.mainTag}`);
  const actions = element("div", { className: "actions" });
  const slide = element("article", { className: "slide" }, media, element("div", { className: "about" }, element("h2", { textContent: video.title }), element("p", { textContent: `${video.mainTag} · ${video.tags.join(", ")}` }), actions));
  slide.dataset.video = video.videoId;
  toggle("Like", (on) => (on ? session.events.like(video) : session.events.unlike(video)));
  toggle("Save", (on) => (on ? session.events.save(video) : session.events.unsave(video)));
  act("Skip", () => session.events.skip(video));
  act("Not interested", () => session.events.notInterested(video));
  slide.item = { video, index, media, why: partsOf(video).catch(() => ({ text: "The explanation cannot be loaded now." })) };
  return slide;

  function toggle(label, tell) {
    const button = element("button", { type: "button", textContent: label });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      tell(on);
    });
    actions.append(button);
  }
  function act(label, tell) {
    const button = element("button", { type: "button", textContent: label });
    button.addEventListener("click", () => {
      slide.item.told = true;
      tell();
      move(1);
    });
    actions.append(button);
  }
}

function shown(entries) {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting || !target.item || target.item === current) continue;
    leave();
    current = target.item;
    current.since = performance.now();
    current.media.play().catch(() => {});
    session.events.impression(current.video);
    current.play = session.play(current.video, current.media);
    for (const other of $("feed").children) if (other.item && other.item !== current) other.item.media.pause();
    explain(current);
    fill(walk);
  }
}

/** The viewer swiped on: what was watched, or that it was skipped. */
function leave() {
  if (!current?.play) return;
  current.media.pause();
  current.play.end();
  current.play = undefined;
  if (!current.told && performance.now() - current.since < SKIPPED_MS) session.events.skip(current.video);
  session.flush().catch(() => {});
}

function move(by) {
  const next = $("feed").children[(current?.index ?? 0) + by];
  next?.scrollIntoView();
}

/** The parts of a video's score, as the content team's preview tells; asked before it is shown, and so seen. */
async function partsOf(video) {
  const headers = await asOperator();
  if (feed.info.mode !== "personalized") delete headers["X-User"]; // a popular feed is chosen without the viewer
  const answer = await fetch("/v1/cms/preview", {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify({ limit: 1, why: [video.videoId] }),
  });
  if (!answer.ok) return { text: "The explanation cannot be loaded now." };
  const { live, why } = await answer.json();
  return live.items.find(({ videoId }) => videoId === video.videoId) ?? why[0];
}

async function explain(item) {
  const { mode, reason, modelVersion } = feed.info;
  $("mode").textContent = mode === "personalized" ? `Personalized, ranked by ${modelVersion}` : `Popular: ${demo.reasons[reason] ?? reason}`;
  const { contributions = [], text } = await item.why;
  if (current !== item) return;
  const lines = contributions.slice(0, 6).map(({ feature, amount }) => element("li", {}, element("span", { className: "amount", textContent: amount.toFixed(2) }), feature.replaceAll("_", " ")));
  $("why").replaceChildren(...(lines.length ? lines : [element("li", { textContent: text })]));
}

/** What is stored about the viewer now. */
async function believe() {
  const mine = walk;
  const answer = await fetch("/v1/debug/user-signals", { headers: await asOperator() });
  if (mine !== walk) return;
  if (!answer.ok) {
    $("belief").replaceChildren(element("p", { className: "dim", textContent: answer.status === 404 ? "Nothing yet. Watch, like and skip some videos." : "It cannot be loaded now." }));
    return;
  }
  const signals = await answer.json();
  const rows = Object.entries(signals.categoryStats).sort(([, a], [, b]) => b.watchTimeMs - a.watchTimeMs);
  const most = Math.max(1, ...rows.map(([, { watchTimeMs }]) => watchTimeMs));
  $("belief").replaceChildren(
    element("p", { textContent: `${signals.events} events; ${signals.seenVideos} videos seen, ${signals.notInterestedVideos} marked “Not interested”, ${Math.round(100 * signals.skipRateLast7d)} % skipped` }),
    ...rows.slice(0, 7).map(([name, { watchTimeMs, skips }]) => {
      const meter = element("meter", { min: 0, max: most, value: watchTimeMs });
      meter.setAttribute("aria-label", `${name}: ${Math.round(watchTimeMs / 1000)} s watched, ${Math.round(skips)} skipped`);
      return element("div", { className: "taste" }, element("span", { textContent: name }), meter);
    }),
  );
}

async function showSwitch([id, flag]) {
  const answer = await fetch(`/front/switch?flag=${flag}`, { headers: { "X-Api-Key": demo.opsKey } });
  if (answer.ok) $(id).checked = (await answer.json()).on;
  else $(id).disabled = true;
}

for (const each of SWITCHES) {
  const [id, ...flags] = each;
  $(id).addEventListener("change", async () => {
    for (const flag of flags) await fetch(`/front/switch?flag=${flag}&on=${$(id).checked}`, { method: "POST", headers: { "X-Api-Key": demo.opsKey } });
    await showSwitch(each);
    await restart();
  });
}
for (const name of ["viewer", "tenant", "consent"]) $(name).addEventListener("change", restart);
$("controls").addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input, button")) return;
  const by = { ArrowDown: 1, PageDown: 1, j: 1, ArrowUp: -1, PageUp: -1, k: -1 }[event.key];
  if (by) {
    event.preventDefault();
    move(by);
  } else if (event.key === "l") {
    document.querySelector(`[data-video="${current?.video.videoId}"] [aria-pressed]`)?.click();
  }
});
setInterval(() => {
  if (document.visibilityState === "visible") believe().catch(() => {});
}, LOOK_MS);
for (const each of SWITCHES) await showSwitch(each);
await restart();
await believe();
