/** Line drawings of 16 × 16, stroke 1.5, drawn in place so that no sprite has to be found. */

const PATHS = {
  box: "M8 1.9 13.5 5v6L8 14.1 2.5 11V5ZM2.7 5.1 8 8.1l5.3-3M8 8.1v5.8",
  browser: "M3.6 2.8h8.8a1.8 1.8 0 0 1 1.8 1.8v6.8a1.8 1.8 0 0 1-1.8 1.8H3.6a1.8 1.8 0 0 1-1.8-1.8V4.6a1.8 1.8 0 0 1 1.8-1.8ZM1.8 6.2h12.4M4.3 4.5v.01M6.3 4.5v.01",
  chart: "M2.5 2.5v11h11M5 10l2.5-3 2 1.7L13 4.5",
  check: "m3 8.5 3.2 3.2L13 4.8",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 4.8V8l2.2 1.6",
  close: "m4 4 8 8M12 4l-8 8",
  code: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  copy: "M7 5.5h5A1.5 1.5 0 0 1 13.5 7v5a1.5 1.5 0 0 1-1.5 1.5H7A1.5 1.5 0 0 1 5.5 12V7A1.5 1.5 0 0 1 7 5.5ZM10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5",
  down: "m4 6.2 4 4 4-4",
  download: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M2.5 13.3h11",
  errors: "M8 1.9 14.1 8 8 14.1 1.9 8ZM8 5.3v3.2M8 10.7v.01",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8ZM8 6.1a1.9 1.9 0 1 0 0 3.8 1.9 1.9 0 0 0 0-3.8Z",
  keys: "M3 4h10a1.5 1.5 0 0 1 1.5 1.5V11a1.5 1.5 0 0 1-1.5 1.5H3A1.5 1.5 0 0 1 1.5 11V5.5A1.5 1.5 0 0 1 3 4ZM4 6.8v.01M6.7 6.8v.01M9.3 6.8v.01M12 6.8v.01M5 9.8h6",
  left: "M10 3.5 5.5 8l4.5 4.5",
  link: "M6.7 9.3a2.6 2.6 0 0 0 3.7 0l2.2-2.2a2.6 2.6 0 0 0-3.7-3.7l-.9.9M9.3 6.7a2.6 2.6 0 0 0-3.7 0L3.4 8.9a2.6 2.6 0 0 0 3.7 3.7l.9-.9",
  logs: "M2.5 3.8h8M2.5 8h11M2.5 12.2h6",
  metrics: "M1.5 9.3h2.6L6 4l3.4 8.3 2-4.6h3.1",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8Z",
  more: "M3.5 8v.01M8 8v.01M12.5 8v.01",
  mute: "M4.4 6.5c-.1 3-.4 4-1.4 5h8.5M11.7 8.3c0-.4 0-.7-.03-1.1A3.7 3.7 0 0 0 6.2 3.7M6.7 13.5h2.6M2.5 2.5l11 11",
  out: "M6.5 2.5H4A1.5 1.5 0 0 0 2.5 4v8A1.5 1.5 0 0 0 4 13.5h2.5M6.5 8h7M10.8 5.2 13.5 8l-2.7 2.8",
  refresh: "M13.2 6.5A5.5 5.5 0 0 0 3.3 5M2.8 9.5A5.5 5.5 0 0 0 12.7 11M13.5 3v3.5H10M2.5 13V9.5H6",
  right: "m6 3.5 4.5 4.5L6 12.5",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.4 3.4",
  side: "M3.5 2.8h9A1.5 1.5 0 0 1 14 4.3v7.4a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 11.7V4.3a1.5 1.5 0 0 1 1.5-1.5ZM6.2 2.8v10.4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.85.85M11.75 11.75l.85.85M3.4 12.6l.85-.85M11.75 4.25l.85-.85",
  table: "M3.5 2.8h9A1.5 1.5 0 0 1 14 4.3v7.4a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 2 11.7V4.3a1.5 1.5 0 0 1 1.5-1.5ZM2 6.5h12M2 9.9h12M6.5 6.5v6.7",
  trash: "M2.8 4.5h10.4M6.2 4.5V3h3.6v1.5M4.3 4.5l.6 9h6.2l.6-9M6.9 7.2v3.6M9.1 7.2v3.6",
  undo: "M5.5 3 2.5 6l3 3M2.5 6h7a4 4 0 0 1 0 8H6",
  up: "m4 9.8 4-4 4 4",
  user: "M8 2.5a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM2.8 13.5c.6-2.7 2.6-4 5.2-4s4.6 1.3 5.2 4",
  view: "M2.5 4.2h6M11.5 4.2h2M2.5 11.8h2M7.5 11.8h6M10 2.7a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3ZM6 10.3a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3Z",
  warn: "M8 2.3 14.3 13H1.7ZM8 6.5v3M8 11.2v.01",
  wrap: "M2.5 3.8h11M2.5 8h8.7a2.1 2.1 0 0 1 0 4.2H8.5M10 10.5 8.3 12.2 10 13.9M2.5 12.2h3",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon beside words, or in a button that names itself: never read out. */
export function Icon({ name, small, class: more }: { name: IconName; small?: boolean; class?: string }) {
  return (
    <svg class={`icon${small ? " s" : ""}${more ? ` ${more}` : ""}`} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of the product: a moon and its light. */
export function Mark({ size = 20 }: { size?: number }) {
  return (
    <svg class="mark" width={size} height={size} viewBox="0 0 20 20" aria-hidden="true">
      <path fill="currentColor" d="M11.6 2.1a8 8 0 1 0 6.2 10.2A6.6 6.6 0 0 1 11.6 2.1Z" />
      <circle class="mark-dot" cx="15.6" cy="5.4" r="1.9" />
    </svg>
  );
}
