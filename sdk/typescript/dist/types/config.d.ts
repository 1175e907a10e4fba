/** What the service says about batches: asked for at the start, and again when the answer has grown old. */
import type { Clock } from "./clock.js";
import type { Http } from "./http.js";
import type { Limits } from "./queue.js";
export interface BatchLimits extends Limits {
    flushSeconds: number;
}
export declare class ServiceConfig {
    #private;
    readonly limits: BatchLimits;
    constructor(http: Http, clock: Clock);
    /** Asks when it is due. Never rejects: what is known stays. */
    refresh(): Promise<void>;
}
