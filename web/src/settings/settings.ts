// The user's settings, in localStorage. What is stored there is checked like any other input; a browser that blocks it gets
// the defaults and keeps changes until the page is closed.

export interface SamplingField {
  key: string; // as in the API
  label: string;
  hint: string;
  min: number;
  max: number;
  integer?: true;
  usual?: number; // sent when the user sets nothing; without it the field is not sent and the server decides
}

// The usual values are those of `hearth chat`: the API's own, OpenAI's, are too wild for small models.
export const samplingFields: readonly SamplingField[] = [
  { key: "temperature", label: "Temperature", hint: "0 always takes the likeliest token; higher is more varied.", min: 0, max: 2, usual: 0.7 },
  { key: "top_p", label: "Top P", hint: "Only the likeliest tokens that together reach this probability.", min: 0, max: 1, usual: 0.95 },
  { key: "top_k", label: "Top K", hint: "Only this many of the likeliest tokens; 0 for all.", min: 0, max: 1000, integer: true },
  { key: "min_p", label: "Min P", hint: "Only tokens at least this likely, compared with the likeliest.", min: 0, max: 1 },
  { key: "max_tokens", label: "Longest answer", hint: "In tokens.", min: 1, max: 131072, integer: true },
  { key: "seed", label: "Seed", hint: "The same seed gives the same answer again.", min: 0, max: Number.MAX_SAFE_INTEGER, integer: true },
  { key: "repetition_penalty", label: "Repetition penalty", hint: "Above 1: less of what was already said.", min: 0.5, max: 2 },
  { key: "presence_penalty", label: "Presence penalty", hint: "Above 0: new words rather than used ones.", min: -2, max: 2 },
  { key: "frequency_penalty", label: "Frequency penalty", hint: "Above 0: the more often used, the less likely.", min: -2, max: 2 },
];

export interface Settings {
  system: string;
  model: string; // empty: the server's first
  apiKey: string;
  sampling: Record<string, number>; // only fields that are set
}

export const defaultSettings: Settings = { system: "", model: "", apiKey: "", sampling: {} };

export function sentSampling(set: Settings["sampling"]): Record<string, number> {
  const usual = samplingFields.filter((field) => field.usual !== undefined).map((field) => [field.key, field.usual]);
  return { ...(Object.fromEntries(usual) as Record<string, number>), ...set };
}

// The value as it is sent, or null for none: empty, not a number, or beyond the field's bounds.
export function readSampling(field: SamplingField, text: string): number | null {
  if (text.trim() === "") return null;
  const value = Number(text.trim().replace(",", "."));
  if (!Number.isFinite(value) || value < field.min || value > field.max) return null;
  if (field.integer && !Number.isInteger(value)) return null;
  return value;
}

export function parseSettings(text: string | null): Settings {
  let stored: unknown;
  try {
    stored = JSON.parse(text ?? "{}");
  } catch {
    stored = {};
  }
  if (typeof stored !== "object" || stored === null) return { ...defaultSettings };
  const from = stored as Record<string, unknown>;
  const string = (value: unknown) => (typeof value === "string" ? value : "");
  const sampling: Record<string, number> = {};
  const storedSampling = typeof from.sampling === "object" && from.sampling !== null ? (from.sampling as Record<string, unknown>) : {};
  for (const field of samplingFields) {
    const value = storedSampling[field.key];
    const checked = typeof value === "number" ? readSampling(field, String(value)) : null;
    if (checked !== null) sampling[field.key] = checked;
  }
  return { system: string(from.system), model: string(from.model), apiKey: string(from.apiKey), sampling };
}

export type Theme = "system" | "light" | "dark";

// public/theme.js reads the same key before the first paint.
const themeKey = "hearth.theme";
const settingsKey = "hearth.settings";

export function loadSettings(): Settings {
  return parseSettings(readLocal(settingsKey));
}

// False when the browser would not keep them.
export function saveSettings(settings: Settings): boolean {
  return writeLocal(settingsKey, JSON.stringify(settings));
}

export function loadTheme(): Theme {
  const stored = readLocal(themeKey);
  return stored === "dark" || stored === "light" ? stored : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  writeLocal(themeKey, theme);
}

export function readLocal(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function writeLocal(key: string, value: string): boolean {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}
