// Events against the real service. Each story ends with what the service has in the end: its archive of events, each of
// which must be there once, and what it knows of the user. The stories go on side by side.
import { expect, test } from "vitest";
import { memoryStore } from "../src/index.js";
import type { Video } from "../src/index.js";
import { type Archived, answer, archived, control, failing, newTenant, newUser, once, settled, signals, unreachable, startApp, until } from "./harness.js";
import { HOUR_MS, named, report, watching } from "./stories.js";

test.concurrent("every kind of event arrives, with what it must quote", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const { events } = app.session;
  const kinds = ["impression", "complete", "like", "unlike", "share", "save", "unsave", "notInterested"] as const;
  for (const [index, kind] of kinds.entries()) events[kind](app.videos[index]!);
  events.view(app.videos[7]!, 12_345.6);
  events.skip(app.videos[8]!, 300);
  events.skip({ videoId: "vid_opened_by_a_link" });
  events.follow("creator", "anna");
  events.unfollow("series", "garden");
  await app.session.flush();
  const lines = await archived(tenant);
  const types = ["impression", "complete", "like", "unlike", "share", "save", "unsave", "not_interested", "video_view"];
  types.push("skip", "skip", "follow", "unfollow");
  expect(lines.map((line) => line.type).sort()).toEqual(types.sort());
  expect(lines.filter((line) => line.request === null).map((line) => line.videoId).sort()).toEqual([null, null, "vid_opened_by_a_link"].sort());
  expect(lines.find((line) => line.type === "video_view")?.watchTimeMs).toBe(12_346);
  expect([app.rejected, app.errors, app.session.queued]).toEqual([[], [], 0]);
});

test.concurrent("events go in one batch every few seconds, and at once when a batch is full", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const expected = await report(app, app.videos.slice(0, 3));
  expect(app.network.uploads).toHaveLength(0);
  await app.clock.advance(5_000);
  await until(() => app.session.queued === 0);
  expect(app.network.uploads).toHaveLength(1);

  for (let count = 0; count < 100; count++) app.session.events.report("share", { videoId: `vid_${count}` });
  await until(() => app.session.queued === 0);
  expect(app.network.uploads).toHaveLength(2);
  const lines = await archived(tenant);
  expect(named(lines.slice(0, 6))).toEqual(expected);
  expect(lines).toHaveLength(106);
});

test.concurrent("no upload begins before the one before it has ended, and none is too large for a page that goes", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const long = "x".repeat(128);
  for (let count = 0; count < 450; count++) {
    app.session.events.report("like", { ...app.videos[0]!, videoId: `${long.slice(8)}${count}` }, { more: long.repeat(4) } as object);
    if (count % 100 === 0) void app.session.flush();
  }
  await app.session.flush();
  expect(app.network.mostInFlight).toBe(1);
  expect(Math.max(...app.network.uploads.map(({ body }) => Buffer.byteLength(body!)))).toBeLessThan(60_000);
  expect(app.network.uploads.every(({ keepalive }) => keepalive)).toBe(true);
  expect(new Set(named(await archived(tenant))).size).toBe(450);
});

test.concurrent("a service that is gone for an hour is asked ever less, with the same bytes, and gets everything once", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  app.network.failure = unreachable;
  const expected = await report(app, app.videos.slice(0, 5));
  for (let minute = 0; minute < 60; minute++) await app.clock.advance(60_000);
  const attempts = app.network.uploads;
  expect(new Set(attempts.map(({ body, headers }) => `${headers.get("Idempotency-Key")} ${body}`)).size).toBe(1);
  expect(attempts.length).toBeGreaterThan(100);
  expect(attempts.length).toBeLessThan(300);
  app.network.failure = undefined;
  await app.session.flush();
  expect(named(await archived(tenant))).toEqual(expected);
});

test.concurrent("a batch whose answer was lost is sent again as it was, and counts once", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const expected = await report(app, app.videos.slice(0, 5));
  once(app.network, async (_, send) => {
    await send();
    throw new TypeError("cut");
  });
  expect((await failing(app.session.flush())).code).toBe("network");
  app.session.events.like(app.videos[0]!);
  await app.session.flush();
  const [first, again, third] = app.network.uploads;
  expect(again!.body).toBe(first!.body);
  expect(again!.headers.get("Idempotency-Key")).toBe(first!.headers.get("Idempotency-Key"));
  expect(third!.headers.get("Idempotency-Key")).not.toBe(first!.headers.get("Idempotency-Key"));
  expect(named(await archived(tenant)).sort()).toEqual([...expected, `like ${app.videos[0]!.videoId}`].sort());
  expect((await signals(tenant))?.events).toBe(6);
});

test.concurrent("a consent that is switched holds from its moment on: events keep the one they happened under", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  app.session.events.view(app.videos[0]!, 20_000);
  app.session.setPersonalized(false);
  app.session.events.view(app.videos[1]!, 20_000);
  app.session.events.skip(app.videos[2]!);
  app.session.setPersonalized(true);
  await app.clock.advance(10);
  app.session.events.like(app.videos[3]!);
  await app.session.flush();
  const lines = await archived(tenant);
  const nobody = lines.filter((line) => line.user === null);
  expect(named(nobody).sort()).toEqual([`skip ${app.videos[2]!.videoId}`, `video_view ${app.videos[1]!.videoId}`]);
  expect(lines).toHaveLength(4);
  expect((await signals(tenant))?.events).toBe(2);
  const consents = app.network.uploads.map(({ headers }) => headers.get("X-Personalization"));
  expect(consents).toEqual([null, "off"]);
});

test.concurrent("without consent nothing counts twice either when an answer is lost", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant, { personalized: false });
  const expected = await report(app, app.videos.slice(0, 3));
  once(app.network, async (_, send) => {
    await send();
    throw new TypeError("cut");
  });
  await failing(app.session.flush());
  await app.session.flush();
  const counted = (await archived(tenant)) as (Archived & { counted: boolean })[];
  expect(named(counted.filter((line) => line.counted))).toEqual(expected);
  expect(counted.every((line) => line.user === null)).toBe(true);
  expect(await signals(tenant)).toBeNull();
});

test.concurrent("when somebody else signs in, events of before stay with their user", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const [first, second] = app.videos;
  app.session.events.view(first!, 20_000);
  const next = { ...tenant, user: await newUser() };
  app.session.setUser(next.user);
  app.session.events.view(second!, 20_000);
  app.session.events.like(second!);
  await app.session.flush();
  expect((await signals(tenant))?.events).toBe(1);
  expect((await signals(next))?.events).toBe(2);
});

test.concurrent("a key that is refused stops uploads with a typed error, told once, and loses nothing", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  const wrong = startApp({ ...tenant, apiKey: "revoked-key-1" }, { storage });
  for (const kind of ["like", "share"]) wrong.session.events.report(kind, { videoId: "vid_fitness_1" });
  const error = await failing(wrong.session.flush());
  expect([error.code, error.status]).toEqual(["unauthorized", 401]);
  wrong.session.events.save({ videoId: "vid_fitness_1" });
  await wrong.clock.advance(600_000);
  expect(wrong.network.uploads).toHaveLength(1);
  expect(wrong.errors).toEqual([error]);
  await wrong.session.close();

  const app = startApp({ ...tenant, apiKey: await control("key", tenant) }, { storage });
  await app.session.flush();
  expect(named(await archived(tenant)).map((line) => line.split(" ")[0]).sort()).toEqual(["like", "save", "share"]);
});

test.concurrent("events that are refused one by one are told and not sent again", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  app.session.events.like(app.videos[0]!);
  app.session.events.report("stare", app.videos[1]!);
  app.session.events.view(app.videos[2]!, Number.NaN);
  app.session.events.report("like", { videoId: "cut \ud83d" });
  await app.session.flush();
  const told = app.rejected.map(({ event, code }) => [event.type, code]);
  expect(told).toEqual([["stare", "unknown_type"], ["video_view", "missing_watch_time"], ["like", expect.any(String)]]);
  await app.session.flush();
  expect(app.network.uploads).toHaveLength(1);
  expect(named(await archived(tenant))).toEqual([`like ${app.videos[0]!.videoId}`]);
});

test.concurrent("a batch that is too large for something on the way is cut until it passes", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const expected = await report(app, app.videos);
  app.session.events.report("like", { videoId: "x".repeat(900) });
  app.network.failure = async ({ body }, send) => (body!.length > 800 ? answer(413, "<html>too large</html>") : send());
  await app.session.flush();
  expect(named(await archived(tenant)).sort()).toEqual(expected.sort());
  expect(app.rejected.map(({ code }) => code)).toEqual(["status_413"]);
  expect(app.session.queued).toBe(0);
});

test.concurrent("a batch that is refused as a whole is told and does not block what comes after", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  app.session.events.like(app.videos[0]!);
  once(app.network, async () => answer(400, { code: "invalid_batch", detail: "no" }));
  await app.session.flush();
  expect(app.rejected.map(({ code }) => code)).toEqual(["invalid_batch"]);
  app.session.events.share(app.videos[0]!);
  await app.session.flush();
  expect(named(await archived(tenant))).toEqual([`share ${app.videos[0]!.videoId}`]);
});

test.concurrent("what is no receipt has taken nothing: a hotel's network loses no event", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const expected = await report(app, app.videos.slice(0, 2));
  once(app.network, async () => answer(200, "<html>Welcome!</html>"));
  expect((await failing(app.session.flush())).code).toBe("unreadable");
  once(app.network, async () => answer(200, { accepted: 4 }));
  expect((await failing(app.session.flush())).code).toBe("unreadable");
  await app.session.flush();
  expect(named(await archived(tenant))).toEqual(expected);
});

test.concurrent("the queue is bounded: the oldest impressions go first, then the oldest, and their number is told", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant, { maxQueued: 4, isOffline: () => app?.network.failure !== undefined });
  app.network.failure = unreachable;
  const { events } = app.session;
  const [one, two, three] = app.videos as [Video, Video, Video];
  for (const report of [() => events.impression(one), () => events.like(one), () => events.impression(two)]) report();
  for (const report of [() => events.share(two), () => events.save(three), () => events.like(three)]) report();
  events.share(three);
  await settled();
  expect(app.dropped).toEqual(Array(3).fill({ count: 1, reason: "queue_full" }));
  app.network.failure = undefined;
  await app.session.flush();
  const expected = [`share ${two.videoId}`, `save ${three.videoId}`, `like ${three.videoId}`, `share ${three.videoId}`];
  expect(named(await archived(tenant)).sort()).toEqual(expected.sort());
});

test.concurrent("what one session leaves, the next one sends first, also a batch whose answer never came", async () => {
  const tenant = await newTenant();
  const storage = memoryStore();
  const app = await watching(tenant, { storage });
  const expected = await report(app, app.videos.slice(0, 3));
  app.network.failure = async (_, send) => {
    await send();
    return new Promise(() => undefined);
  };
  void app.session.flush().catch(() => undefined);
  await until(() => app.network.uploads.length === 1);
  app.session.events.like(app.videos[5]!);
  await app.session.close();

  const next = startApp(tenant, { storage });
  await next.session.flush();
  expect(next.network.uploads[0]!.body).toBe(app.network.uploads[0]!.body);
  expect(named(await archived(tenant)).sort()).toEqual([...expected, `like ${app.videos[5]!.videoId}`].sort());
});

test.concurrent("a batch that may have arrived two weeks ago is given up, not counted again", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  await report(app, app.videos.slice(0, 1));
  app.network.failure = async (_, send) => {
    await send();
    throw new TypeError("cut");
  };
  await failing(app.session.flush());
  app.network.failure = unreachable;
  app.clock.set(14 * 24 * HOUR_MS);
  await app.session.flush();
  await settled();
  expect(app.dropped).toEqual([{ count: 2, reason: "too_old" }]);
  expect(await archived(tenant)).toHaveLength(2);
});

test.concurrent("after an erasure nothing that waited is sent", async () => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  await report(app, app.videos.slice(0, 3));
  await app.session.discard();
  await app.session.flush();
  expect([app.network.uploads.length, (await archived(tenant)).length]).toEqual([0, 0]);
});

test.concurrent("what the service says about batches holds, and is asked for again when it has grown old", async () => {
  const app = startApp(await newTenant());
  const asked = (): number => app.network.requests.filter(({ url }) => url.pathname === "/v1/config").length;
  await until(() => asked() === 1);
  app.network.failure = async ({ url }, send) => {
    const events = { maxEvents: 2, maxBytes: 262_144, flushSeconds: 60 };
    return url.pathname === "/v1/config" ? answer(200, { events }, { "Cache-Control": "private, max-age=300" }) : send();
  };
  await app.clock.advance(301_000);
  app.session.events.like({ videoId: "vid_fitness_1" });
  await settled();
  expect(asked()).toBe(2);
  await app.session.flush();
  app.session.events.share({ videoId: "vid_fitness_1" });
  await app.clock.advance(59_000);
  expect(app.network.uploads).toHaveLength(1);
  app.session.events.save({ videoId: "vid_fitness_1" });
  await until(() => app.network.uploads.length === 2);
});
