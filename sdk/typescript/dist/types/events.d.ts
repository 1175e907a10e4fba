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
export type Report = (type: string, video: About, fields?: Partial<EventBody>) => void;
/** One method for each type of event. docs/events.md says what each counts for. */
export declare class Events {
    /** Any type, also one that is newer than this SDK, with further fields. */
    readonly report: Report;
    constructor(report: Report);
    /** The video was on the screen. */
    impression(video: About): void;
    /** It was watched for so long. One for each viewing, at its end. */
    view(video: About, watchTimeMs: number): void;
    /** It was watched to its end; beside the `view`. */
    complete(video: About): void;
    /** It was swiped away at once. */
    skip(video: About, watchTimeMs?: number): void;
    like(video: About): void;
    /** A like taken back. */
    unlike(video: About): void;
    share(video: About): void;
    /** Saved for later. */
    save(video: About): void;
    /** A save taken back. */
    unsave(video: About): void;
    /** Began to follow a creator, a category or a series, by its id. */
    follow(followKind: Followed, followId: string): void;
    /** A follow taken back. */
    unfollow(followKind: Followed, followId: string): void;
    /** Asked not to be shown this video again. */
    notInterested(video: About): void;
}
/** The event as the service takes it. `id` makes it count once in whatever batch it comes. */
export declare function eventBody(type: string, video: About, now: number, id: string, fields: Partial<EventBody>): EventBody;
