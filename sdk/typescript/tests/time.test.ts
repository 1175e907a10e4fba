// Stories about time, at the device and at the service: one after the other, since there is one service's clock.
import { expect, test } from "vitest";
import type { FeedError } from "../src/index.js";
import { type Archived, ManualClock, archived, control, failing, newTenant, newUser, passAtService, settled, signals, unreachable, until } from "./harness.js";
import { HOUR_MS, named, report, watching } from "./stories.js";

/** How far the archived times are from those that the device wrote, in seconds. */
const moved = (lines: readonly Archived[], times: readonly number[]): number[] =>
  lines.map((line, index) => Math.round((line.timestamp - times[index]!) / 1000));

test("offline for an hour, then everything arrives once and counts for when it happened", async () => {
  const tenant = await newTenant();
  let offline = false;
  const app = await watching(tenant, { isOffline: () => offline });
  app.clock.set(await passAtService(0));
  offline = true;
  app.network.failure = unreachable;
  const times: number[] = [];
  const expected: string[] = [];
  for (const video of app.videos) {
    times.push(app.clock.now());
    expected.push(`like ${video.videoId}`);
    app.session.events.like(video);
    await app.clock.advance(HOUR_MS / 20);
  }
  await passAtService(3_600);
  const before = app.network.uploads.length;
  expect((await failing(app.session.flush())).code).toBe("offline");
  expect(app.network.uploads).toHaveLength(before);

  offline = false;
  app.network.failure = undefined;
  await app.session.flush();
  const lines = await archived(tenant);
  expect(named(lines)).toEqual(expected);
  expect(Math.max(...moved(lines, times).map(Math.abs))).toBeLessThan(30);
  expect((await signals(tenant))?.events).toBe(app.videos.length);
});

test("a batch that was packed before an hour without a service keeps its times, since the clock was known to be right", async () => {
  const tenant = await newTenant();
  const clock = new ManualClock();
  clock.set(await passAtService(0));
  const app = await watching(tenant, { clock });
  const began = app.clock.now();
  app.network.failure = unreachable;
  const expected = await report(app, app.videos.slice(0, 3));
  await failing(app.session.flush());
  await app.clock.advance(HOUR_MS);
  await passAtService(3_600);
  app.network.failure = undefined;
  await app.session.flush();
  const lines = await archived(tenant);
  expect(named(lines)).toEqual(expected);
  expect(new Set(app.network.uploads.map(({ body }) => body)).size).toBe(1);
  for (const line of lines) expect(Math.abs(line.timestamp - began)).toBeLessThan(30_000);
});

test("a clock that is set while events wait is told to the service", async () => {
  const tenant = await newTenant();
  const clock = new ManualClock();
  const ahead = await passAtService(0);
  clock.set(ahead);
  const app = await watching(tenant, { clock });
  app.clock.set(-8 * 24 * HOUR_MS);
  app.session.events.like(app.videos[0]!);
  await app.session.flush();
  const [line] = await archived(tenant);
  expect(Math.abs(line!.timestamp - ahead - Date.now())).toBeLessThan(60_000);
});

test.each([
  ["a week behind", -7 * 24 * HOUR_MS],
  ["a week ahead", 7 * 24 * HOUR_MS],
  ["decades behind", -25 * 365 * 24 * HOUR_MS],
])("a clock that is %s loses nothing, and events count for when they happened", async (_, wrong) => {
  const tenant = await newTenant();
  const app = await watching(tenant);
  const ahead = await passAtService(0);
  app.clock.set(wrong);
  const began = Date.now() + ahead;
  const expected = await report(app, app.videos.slice(0, 3), 100);
  await app.session.flush();
  const lines = await archived(tenant);
  expect(named(lines)).toEqual(expected);
  for (const line of lines) expect(Math.abs(line.timestamp - began)).toBeLessThan(60_000);
  expect(app.rejected).toEqual([]);
  expect((await signals(tenant))?.events).toBe(3);
});

test("a real 429 is waited for as long as it says, whatever the app does, and counts once in the end", async () => {
  const tenant = await newTenant({ configuration: { event_batches_per_second: 1 } });
  const app = await watching(tenant);
  const expected: string[] = [];
  let error: FeedError | undefined;
  for (let batch = 0; !error && batch < 20; batch++) {
    expected.push(...(await report(app, [app.videos[batch]!], 0)));
    await app.session.flush().catch((caught: FeedError) => (error = caught));
  }
  expect([error?.code, error?.status, error?.retryAfter]).toEqual(["rate_limited", 429, 1]);

  const before = app.network.uploads.length;
  app.session.events.like(app.videos[0]!);
  expect(await failing(app.session.flush())).toBe(error);
  await app.clock.advance(900);
  expect(app.network.uploads).toHaveLength(before);

  await passAtService(60);
  await app.clock.advance(1_000);
  await until(() => app.session.queued === 0);
  expect(app.network.uploads[before]!.body).toBe(app.network.uploads[before - 1]!.body);
  expect(named(await archived(tenant)).sort()).toEqual([...expected, `like ${app.videos[0]!.videoId}`].sort());
});

test("a token that expires is renewed, and the batch goes on with the same bytes", async () => {
  const tenant = await newTenant({ configuration: { require_user_token: true } });
  let asked = 0;
  const app = await watching(tenant, { userToken: () => (asked++, control("token", tenant)) });
  const expected = await report(app, app.videos.slice(0, 3));
  app.clock.set(await passAtService(2 * 3_600));
  await app.session.flush();
  expect(asked).toBe(2);
  expect(new Set(app.network.uploads.map(({ body }) => body)).size).toBe(1);
  expect(named(await archived(tenant))).toEqual(expected);
});

test("while no token can be had events wait, and then go", async () => {
  const tenant = await newTenant({ configuration: { require_user_token: true } });
  let works = true;
  const userToken = (): Promise<string> => (works ? control("token", tenant) : Promise.reject(new Error("backend down")));
  const app = await watching(tenant, { userToken });
  const expected = await report(app, app.videos.slice(0, 3));
  app.clock.set(await passAtService(2 * 3_600));
  works = false;
  expect((await failing(app.session.flush())).code).toBe("token");
  works = true;
  await app.clock.advance(1_000);
  await until(() => app.session.queued === 0);
  expect(named(await archived(tenant))).toEqual(expected);
});

test("a user whose token cannot be had holds up nobody else", async () => {
  const tenant = await newTenant({ configuration: { require_user_token: true } });
  let gone: string | undefined;
  const app = await watching(tenant, {
    userToken: (user: string) => (user === gone ? null : control("token", { ...tenant, user })),
  });
  app.session.events.like(app.videos[0]!);
  gone = tenant.user;
  app.clock.set(await passAtService(2 * 3_600));
  const next = { ...tenant, user: await newUser() };
  app.session.setUser(next.user);
  app.session.events.like(app.videos[1]!);
  expect((await failing(app.session.flush())).status).toBe(401);
  expect((await signals(next))?.events).toBe(1);
  expect(app.session.queued).toBe(1);

  gone = undefined;
  app.session.resume();
  await until(() => app.session.queued === 0);
  expect((await signals(tenant))?.events).toBe(1);
});

test("an error in the app's call-back stops nothing here", async () => {
  const tenant = await newTenant();
  const thrown: unknown[] = [];
  const listener = (error: unknown): void => void thrown.push(error);
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", listener);
  const app = await watching(tenant, {
    onRejected: () => {
      throw new Error("the app's own");
    },
  });
  app.session.events.report("stare", app.videos[0]!);
  app.session.events.like(app.videos[0]!);
  await app.session.flush();
  await settled();
  process.removeAllListeners("uncaughtException");
  before.forEach((each) => process.on("uncaughtException", each));
  expect(thrown).toHaveLength(1);
  expect(await archived(tenant)).toHaveLength(1);
});

