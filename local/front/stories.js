// Row of stories above the feed, shown while the flag `stories` is on.
const $ = (id) => document.getElementById(id);
const KEY = { name: "ECDSA", namedCurve: "P-256" };
const REACTIONS = ["👍", "❤️", "😂", "😮", "😢", "🔥"];
const KEEP = "front-door-signing-key";
const TRIES = 15, PAUSE_MS = 1_000;
const utf8 = (text) => new TextEncoder().encode(text);
const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const base64url = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/**
 * The row of stories of one viewer at a time. A real app gets tokens from its backend; here the page is the backend of
 * the demo, so it makes a key pair, gives the public key to the tenant, and signs for whoever watches.
 * `viewers`: name → hash of everybody who can be chosen.
 */
export function stories({ demo, tenant, viewer, viewers, element }) {
  const registered = new Set();
  let names = {}, walk = 0, draft = crypto.randomUUID(); // sent again, a draft makes one story

  async function signer() {
    const kept = JSON.parse(localStorage.getItem(KEEP) ?? "null");
    if (kept) return { id: kept.id, publicKey: kept.publicKey, key: await crypto.subtle.importKey("jwk", kept.jwk, KEY, false, ["sign"]) };
    const pair = await crypto.subtle.generateKey(KEY, true, ["sign"]);
    const id = `front-${crypto.randomUUID().slice(0, 8)}`;
    const lines = base64(await crypto.subtle.exportKey("spki", pair.publicKey)).match(/.{1,64}/g).join("\n");
    const publicKey = `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`;
    localStorage.setItem(KEEP, JSON.stringify({ id, publicKey, jwk: await crypto.subtle.exportKey("jwk", pair.privateKey) }));
    return { id, publicKey, key: pair.privateKey };
  }

  async function tokenOf(user) {
    const { id, key } = await signer();
    const now = Math.floor(Date.now() / 1000);
    const claims = { sub: user, aud: "video-feed", tenant: tenant().id, iat: now, exp: now + 3600 };
    const signed = [{ alg: "ES256", kid: id }, claims].map((part) => base64url(utf8(JSON.stringify(part)))).join(".");
    return `${signed}.${base64url(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, utf8(signed)))}`;
  }

  /** Gives the tenant the page's public key, once. */
  async function register() {
    if (registered.has(tenant().id)) return;
    const { id: keyId, publicKey } = await signer();
    const headers = { "X-Tenant-Id": tenant().id, "X-Api-Key": demo.opsKey, "Content-Type": "application/json" };
    const answer = await fetch("/v1/cms/user-token-keys", { method: "POST", headers, body: JSON.stringify({ keyId, publicKey }) });
    if (answer.ok || answer.status === 409) registered.add(headers["X-Tenant-Id"]); // 409: it has the key already
  }

  async function call(path, { method = "GET", body, key, user } = {}) {
    const who = user ?? (await viewer());
    const headers = { "X-Tenant-Id": tenant().id, "X-Api-Key": tenant().key, "X-User": who, "X-User-Token": await tokenOf(who) };
    if (body) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const answer = await fetch(`/v1/${path}`, { method, headers, body: body && JSON.stringify(body) });
    const said = answer.status === 204 ? null : await answer.json();
    if (answer.ok) return said;
    throw Object.assign(new Error(said.detail), { status: answer.status });
  }

  /** Where the tenant does not know the page's key yet, it gets it; the first calls behind that may still come too soon. */
  async function knownSoon(ask) {
    for (let tries = 1; ; tries++) {
      try {
        return await ask();
      } catch (error) {
        if (error.status !== 401 || tries === TRIES) throw error;
        await register();
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  async function show() {
    const mine = ++walk;
    $("stories").hidden = !$("stories-on").checked;
    if ($("stories").hidden) return;
    $("posted").textContent = "";
    $("row").replaceChildren(element("span", { className: "dim", textContent: "Loading …" }));
    try {
      const found = {};
      for (const [name, user] of Object.entries(await viewers())) found[(await knownSoon(() => call("me", { user }))).id] = name;
      if (mine !== walk) return;
      names = found;
      await refresh(mine);
    } catch (error) {
      if (mine === walk) $("row").replaceChildren(element("span", { textContent: `Stories could not be loaded: ${error.message}` }));
    }
  }

  async function refresh(mine = walk) {
    const { authors } = await call("stories?order=ranked");
    if (mine !== walk) return;
    const nobody = element("span", { className: "dim", textContent: "Nobody has posted yet. Post something, then choose another viewer." });
    $("row").replaceChildren(...(authors.length ? authors.map(buttonOf) : [nobody]));
  }

  function buttonOf({ authorId, unseen, stories: theirs }) {
    const name = names[authorId] ?? "Somebody";
    const button = element("button", { type: "button", className: unseen ? "author unseen" : "author", textContent: name });
    button.setAttribute("aria-label", `${name}: ${theirs.length} ${theirs.length === 1 ? "story" : "stories"}${unseen ? ", new" : ""}`);
    button.addEventListener("click", () => open(name, theirs, Math.max(0, theirs.findIndex(({ seen }) => !seen))));
    return button;
  }

  async function open(name, theirs, at) {
    const story = theirs[at];
    const said = element("p", { className: "dim" });
    said.setAttribute("role", "status");
    const reactions = REACTIONS.map((emoji) => {
      const button = element("button", { type: "button", textContent: emoji });
      button.addEventListener("click", () => tell(said, () => call(`stories/${story.id}/reaction`, { method: "PUT", body: { emoji } }), () => `Sent to ${name}.`));
      return button;
    });
    const close = element("button", { type: "button", textContent: "Close" });
    close.addEventListener("click", () => $("story").close());
    const next = element("button", { type: "button", textContent: "Next", disabled: at + 1 === theirs.length });
    next.addEventListener("click", () => open(name, theirs, at + 1));
    const own = name === $("viewer").value;
    $("story").setAttribute("aria-label", `A story of ${name}`);
    $("story").replaceChildren(element("h2", { textContent: name }), element("p", { className: "text", textContent: story.text ?? "A picture or clip" }), element("div", { className: "actions" }, ...(own ? [] : reactions), next, close), said);
    if (!$("story").open) $("story").showModal();
    if (own) await tell(said, async () => (await call(`stories/${story.id}`)).counts, ({ views }) => `Views: ${views}`);
    else await call(`stories/${story.id}/view`, { method: "PUT" }).catch(() => {});
    story.seen = true;
  }

  async function tell(where, ask, done) {
    try {
      const answer = await ask();
      where.textContent = done(answer);
    } catch (error) {
      where.textContent = error.message;
    }
  }

  $("story").addEventListener("close", () => refresh().catch(() => {}));
  $("text").addEventListener("input", () => (draft = crypto.randomUUID()));
  $("post").addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (!text) return;
    await tell($("posted"), () => call("stories", { method: "POST", body: { text, visibility: "public" }, key: draft }), () => {
      draft = crypto.randomUUID();
      $("text").value = "";
      return "Posted. It is visible for a day.";
    });
    await refresh().catch(() => {});
  });
  return { show };
}
