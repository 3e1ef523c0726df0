import type { MonlightConfig } from "../../src/types.ts";
/** A request that reached the relay, by fetch or by beacon. */
export interface Delivery {
    via: "fetch" | "beacon";
    url: string;
    body: any;
    headers: Record<string, string>;
    keepalive: boolean;
}
type Answer = () => Response | Promise<Response>;
/** A performance entry as the tests write it. */
export interface FakeEntry {
    entryType?: string;
    name?: string;
    startTime: number;
    duration?: number;
    [key: string]: unknown;
}
declare class FakeXhr extends EventTarget {
    status: number;
    open(_method: string, _url: string): void;
    send(_body?: unknown): void;
    /** Ends the request as the network would. */
    finish(status: number, event?: string): void;
}
/**
 * Stands in for a browser: enough of the globals for the SDK, a clock that only moves when told,
 * and a relay that keeps what it gets. Everything is new for each page.
 */
export declare class Page {
    readonly relay: Delivery[];
    /** Answers of the relay, in order; afterwards 202. */
    readonly answers: Answer[];
    /** What the page's own requests get. */
    app: Answer;
    beaconAccepts: boolean;
    time: number;
    readonly observers: {
        type: string;
        callback: (list: unknown) => void;
        options: any;
        queue: FakeEntry[];
    }[];
    supported: string[];
    readonly timeline: FakeEntry[];
    readonly window: any;
    readonly document: any;
    readonly storage: Map<string, string>;
    readonly nativeFetch: typeof fetch;
    readonly Xhr: typeof FakeXhr;
    readonly logged: unknown[][];
    constructor();
    /** Options for `init`; no vitals unless asked for. */
    config(options?: Partial<MonlightConfig>): MonlightConfig;
    /** Moves the clock, running what is due, and lets promises settle. */
    tick(ms: number): Promise<void>;
    /** Dispatches an event with the given fields. */
    emit(target: EventTarget, type: string, fields?: object): void;
    setHidden(hidden: boolean): void;
    /** Announces performance entries to the observers of that type. */
    perform(type: string, ...entries: FakeEntry[]): void;
    get errors(): any[];
    get metrics(): any[];
    /** Values of the delivered metrics of one name. */
    values(name: string): number[];
}
/** Lets all promise reactions that are due run. */
export declare function settle(): Promise<void>;
export {};
