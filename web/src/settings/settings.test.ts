import { afterEach, describe, expect, it, vi } from "vitest";
import { applyTheme, defaultSettings, loadSettings, loadTheme, parseSettings, readSampling, samplingFields, saveSettings, sentSampling } from "./settings";

const field = (key: string) => samplingFields.find((item) => item.key === key)!;
afterEach(() => {
  vi.restoreAllMocks();
  localStorage.clear();
});

describe("parseSettings", () => {
  it.each([null, "", "{", "null", "7", "[]", '"text"', '{"sampling":7,"system":[],"apiKey":null}'])("takes the defaults for %s", (text) =>
    expect(parseSettings(text)).toEqual(defaultSettings),
  );

  it("keeps what is in bounds and drops the rest", () => {
    const text = JSON.stringify({ system: "S", sampling: { temperature: 0.3, top_p: 7, top_k: 1.5, seed: "1", unknown: 1, presence_penalty: -1 } });
    expect(parseSettings(text)).toEqual({ ...defaultSettings, system: "S", sampling: { temperature: 0.3, presence_penalty: -1 } });
  });
});

describe("readSampling", () => {
  it("takes a comma for a point", () => expect(readSampling(field("temperature"), " 0,7 ")).toBe(0.7));
  it("is null for nothing, words, fractions of whole numbers and values out of bounds", () => {
    expect(readSampling(field("temperature"), " ")).toBeNull();
    expect(readSampling(field("temperature"), "warm")).toBeNull();
    expect(readSampling(field("temperature"), "2.1")).toBeNull();
    expect(readSampling(field("max_tokens"), "1.5")).toBeNull();
    expect(readSampling(field("max_tokens"), "0")).toBeNull();
  });
});

it("sends the usual values unless others are set, and nothing else", () => {
  expect(sentSampling({})).toEqual({ temperature: 0.7, top_p: 0.95 });
  expect(sentSampling({ temperature: 0, seed: 1 })).toEqual({ temperature: 0, top_p: 0.95, seed: 1 });
});

describe("storage", () => {
  it("comes back", () => {
    const settings = { ...defaultSettings, apiKey: "k", sampling: { seed: 3 } };
    expect(saveSettings(settings)).toBe(true);
    expect(loadSettings()).toEqual(settings);
  });

  it("that is blocked costs nothing but the memory", () => {
    vi.spyOn(Storage.prototype, "getItem").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    expect(loadSettings()).toEqual(defaultSettings);
    expect(loadTheme()).toBe("system");
    expect(saveSettings(defaultSettings)).toBe(false);
  });
});

it("a theme is set on the page and remembered; the system's is the absence of one", () => {
  applyTheme("dark");
  expect(document.documentElement.dataset.theme).toBe("dark");
  expect(loadTheme()).toBe("dark");
  applyTheme("system");
  expect(document.documentElement.dataset.theme).toBeUndefined();
  expect(loadTheme()).toBe("system");
});
