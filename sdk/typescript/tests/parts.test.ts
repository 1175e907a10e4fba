// What needs no service: pauses, errors, tokens, what is stored and released.
import { expect, test } from "vitest";
import { backOffMs } from "../src/backoff.js";
import { FeedError, memoryStore } from "../src/index.js";
import type { Row } from "../src/queue.js";
import { Tokens } from "../src/tokens.js";

test("a pause is anything from nothing to a bound that doubles up to half a minute", () => {
  const longest = [1, 2, 3, 6, 7, 50].map((failures) => backOffMs(failures, () => 1));
  expect(longest).toEqual([500, 1_000, 2_000, 16_000, 30_000, 30_000]);
  expect(backOffMs(9, () => 0)).toBe(0);
});

test("a pause that the service asked for is kept, and a random part of a second added", () => {
  expect([0, 0.5].map((drawn) => backOffMs(9, () => drawn, 7))).toEqual([7_000, 7_500]);
});

test("errors that may pass are told from those that stay", () => {
  const retryable = (code: string, status = 0): boolean => new FeedError(code, "", status).retryable;
  expect(["network", "timeout", "offline", "token"].every((code) => retryable(code))).toBe(true);
  expect([429, 500, 502, 503, 504].every((status) => retryable("unknown_yet", status))).toBe(true);
  expect([400, 401, 403, 404, 413, 422].some((status) => retryable("unknown_yet", status))).toBe(false);
  expect(retryable("aborted") || retryable("invalid_user")).toBe(false);
});

test("a token is asked for once, however many calls want it or had it refused", async () => {
  let asked = 0;
  const tokens = new Tokens(async (user) => `${user} ${++asked}`);
  expect(await Promise.all([tokens.of("a"), tokens.of("a"), tokens.of("b")])).toEqual(["a 1", "a 1", "b 2"]);
  expect(await Promise.all([tokens.of("a", "a 1"), tokens.of("a", "a 1")])).toEqual(["a 3", "a 3"]);
});

test("a failed call-back is asked again the next time", async () => {
  let works = false;
  const tokens = new Tokens(() => (works ? "good" : Promise.reject(new Error("down"))));
  await expect(tokens.of("a")).rejects.toMatchObject({ code: "token", message: "down" });
  works = true;
  expect(await tokens.of("a")).toBe("good");
});

test("released rows are adopted once, and those that were deleted meanwhile not at all", async () => {
  const store = memoryStore();
  const row = (id: string, at: number): Row => ({ kind: "event", id, at, type: "like", text: "{}", user: "u", personalized: true });
  await store.write([row("b", 2), row("a", 1), row("c", 3)], []);
  expect(await store.adopt()).toEqual([]);
  await store.release();
  await store.write([], ["c"]);
  expect((await store.adopt()).map(({ id }) => id)).toEqual(["a", "b"]);
  expect(await store.adopt()).toEqual([]);
});
