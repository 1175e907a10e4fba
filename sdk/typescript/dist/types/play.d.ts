/** One video being played: reports when it starts, how long it has played so far, what goes wrong, and its end. */
import type { Clock } from "./clock.js";
import type { About, Report } from "./events.js";
export interface PlayParts {
    readonly report: Report;
    readonly clock: Clock;
    /** Whether heartbeats count: without consent nothing is kept to compare them with. */
    readonly countsHeartbeats: () => boolean;
    /** Plays that have begun and not ended. */
    readonly active: Set<Play>;
}
/**
 * Call the methods as the player says, or hand in the media element, which then calls them. `end` ends a play, as when the
 * viewer swipes on; what plays after that is another one.
 */
export declare class Play {
    #private;
    constructor(video: About, parts: PlayParts, media?: HTMLMediaElement);
    /** It plays now, for the first time or again. */
    playing(): void;
    paused(): void;
    /** It waits for data. */
    stalled(): void;
    /** It cannot be played, or cannot go on. */
    failed(): void;
    /** It came to its end. */
    completed(): void;
    /** It is over: the view with the time that it has played. */
    end(): void;
    /** Ends the play where the viewer or their consent changes. Returns whether it goes on playing. */
    cut(): boolean;
    /** Tells how long it has played so far. A page that is killed loses what comes after the last one. */
    heartbeat(): void;
}
