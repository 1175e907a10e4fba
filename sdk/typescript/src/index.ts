/** The personalized video feed in an app. Begin with `startSession`. */

export { startSession } from "./session.js";
export type { Session, SessionOptions } from "./session.js";
export type { Emoji, Following, ListedVideos, Paging, SimilarPage, Stories, Story, StoryRow } from "./calls.js";
export { FeedError } from "./errors.js";
export type { Feed, FeedOptions, Filter, Hints, PageInfo, Video } from "./feed.js";
export type { About, EventBody, Events } from "./events.js";
export type { Play } from "./play.js";
export type { Dropped, Rejected } from "./upload.js";
export type { Clock } from "./clock.js";
export { memoryStore } from "./storage.js";
export type { Store } from "./storage.js";
export type { UserToken } from "./tokens.js";
