/** What an app reports about a video, and the row that is made of it. */

import type { components } from "./api-types.js";

/** An event as the service takes it. */
export type EventBody = components["schemas"]["Event"];

/** The video an event is about: one of a feed, or any that the app opened by a link. */
export interface About {
  readonly videoId: string;
  readonly feedRequestId?: string;
  readonly rank?: number;
}

export type Followed = "creator" | "category" | "series";

const NO_VIDEO = {} as About;

export type Report = (type: string, video: About, fields?: Partial<EventBody>) => void;

/** One method for each type of event. docs/events.md says what each counts for. */
export class Events {
  /** Any type, also one that is newer than this SDK, with further fields. */
  readonly report: Report;

  constructor(report: Report) {
    this.report = report;
  }

  /** The video was on the screen. */
  impression(video: About): void {
    this.report("impression", video);
  }

  /** It was watched for so long. One for each viewing, at its end. */
  view(video: About, watchTimeMs: number): void {
    this.report("video_view", video, { watchTimeMs: watchTime(watchTimeMs) });
  }

  /** It was watched to its end; beside the `view`. */
  complete(video: About): void {
    this.report("complete", video);
  }

  /** It was swiped away at once. */
  skip(video: About, watchTimeMs?: number): void {
    this.report("skip", video, watchTimeMs === undefined ? {} : { watchTimeMs: watchTime(watchTimeMs) });
  }

  like(video: About): void {
    this.report("like", video);
  }

  /** A like taken back. */
  unlike(video: About): void {
    this.report("unlike", video);
  }

  share(video: About): void {
    this.report("share", video);
  }

  /** Saved for later. */
  save(video: About): void {
    this.report("save", video);
  }

  /** A save taken back. */
  unsave(video: About): void {
    this.report("unsave", video);
  }

  /** Began to follow a creator, a category or a series, by its id. */
  follow(followKind: Followed, followId: string): void {
    this.report("follow", NO_VIDEO, { followKind, followId });
  }

  /** A follow taken back. */
  unfollow(followKind: Followed, followId: string): void {
    this.report("unfollow", NO_VIDEO, { followKind, followId });
  }

  /** Asked not to be shown this video again. */
  notInterested(video: About): void {
    this.report("not_interested", video);
  }
}

/** The event as the service takes it. `id` makes it count once in whatever batch it comes. */
export function eventBody(type: string, video: About, now: number, id: string, fields: Partial<EventBody>): EventBody {
  return {
    type,
    videoId: video.videoId,
    timestamp: now,
    eventId: id,
    ...(video.feedRequestId !== undefined && { feedRequestId: video.feedRequestId }),
    ...(video.rank !== undefined && { rankPosition: video.rank }),
    ...fields,
  };
}

const DAY_MS = 86_400_000;

function watchTime(ms: number): number {
  return Math.round(Math.min(Math.max(ms, 0), DAY_MS));
}
