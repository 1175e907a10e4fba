/** One video being played: reports when it starts, how long it has played so far, what goes wrong, and its end. */

import type { Clock } from "./clock.js";
import type { About, Report } from "./events.js";
import { randomId } from "./random-id.js";

export interface PlayParts {
  readonly report: Report;
  readonly clock: Clock;
  /** Whether heartbeats count: without consent nothing is kept to compare them with. */
  readonly countsHeartbeats: () => boolean;
  /** Plays that have begun and not ended. */
  readonly active: Set<Play>;
}

const HEARTBEAT_MS = 10_000;
/** A timer of a page in the background may be late by a minute. A longer time means that the clock was set. */
const LONGEST_MS = 90_000;

/**
 * Call the methods as the player says, or hand in the media element, which then calls them. `end` ends a play, as when the
 * viewer swipes on; what plays after that is another one.
 */
export class Play {
  readonly #video: About;
  readonly #parts: PlayParts;
  #id: string | undefined;
  #startedAt = 0;
  #playedMs = 0;
  /** What the last heartbeat told; undefined before the first one. */
  #toldMs: number | undefined;
  /** Since when it plays without a break. */
  #since: number | undefined;
  #cancelTimer = (): void => undefined;

  constructor(video: About, parts: PlayParts, media?: HTMLMediaElement) {
    this.#video = video;
    this.#parts = parts;
    if (media) this.#follow(media);
  }

  /** It plays now, for the first time or again. */
  playing(): void {
    if (this.#since !== undefined) return;
    const { report, clock, active } = this.#parts;
    this.#since = clock.now();
    if (this.#id === undefined) {
      this.#id = randomId();
      this.#startedAt = this.#since;
      this.#playedMs = 0;
      this.#toldMs = undefined;
      active.add(this);
      report("start", this.#video);
    }
    this.#beatInTime();
  }

  paused(): void {
    this.#count();
    this.#since = undefined;
    this.#cancelTimer();
  }

  /** It waits for data. */
  stalled(): void {
    if (this.#since === undefined) return;
    this.paused();
    this.#parts.report("stall", this.#video);
  }

  /** It cannot be played, or cannot go on. */
  failed(): void {
    this.paused();
    this.#parts.report("playback_error", this.#video);
  }

  /** It came to its end. */
  completed(): void {
    this.#parts.report("complete", this.#video);
    this.end();
  }

  /** It is over: the view with the time that it has played. */
  end(): void {
    this.paused();
    const { report, active } = this.#parts;
    if (this.#id === undefined) return;
    report("video_view", this.#video, {
      watchTimeMs: Math.round(this.#playedMs),
      ...(this.#toldMs !== undefined && { playId: this.#id, startedAt: this.#startedAt }),
    });
    this.#id = undefined;
    active.delete(this);
  }

  /** Ends the play where the viewer or their consent changes. Returns whether it goes on playing. */
  cut(): boolean {
    const goesOn = this.#since !== undefined;
    this.end();
    return goesOn;
  }

  /** Tells how long it has played so far. A page that is killed loses what comes after the last one. */
  heartbeat(): void {
    this.#count();
    if (this.#id === undefined || this.#playedMs === this.#toldMs || !this.#parts.countsHeartbeats()) return;
    this.#toldMs = this.#playedMs;
    const positionMs = Math.round(this.#playedMs);
    this.#parts.report("progress", this.#video, { playId: this.#id, startedAt: this.#startedAt, positionMs });
  }

  #count(): void {
    if (this.#since === undefined) return;
    const now = this.#parts.clock.now();
    this.#playedMs += Math.min(Math.max(now - this.#since, 0), LONGEST_MS);
    this.#since = now;
  }

  #beatInTime(): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#parts.clock.after(HEARTBEAT_MS - (this.#playedMs % HEARTBEAT_MS), () => {
      this.heartbeat();
      this.#beatInTime();
    });
  }

  #follow(media: HTMLMediaElement): void {
    media.addEventListener("playing", () => this.playing());
    media.addEventListener("pause", () => this.paused());
    media.addEventListener("waiting", () => media.seeking || this.stalled());
    media.addEventListener("error", () => this.failed());
    media.addEventListener("ended", () => this.completed());
  }
}
