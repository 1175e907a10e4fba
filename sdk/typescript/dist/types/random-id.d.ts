/** 32 random hex digits. `crypto.randomUUID` is missing on pages without https. */
export declare function randomId(): string;
