import { afterEach, describe, expect, it, vi } from "vitest";
import { Monitor } from "./monitor";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function stateWith(health: number, models: () => Response, key = ""): Promise<Monitor> {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    if (path === "/health") return new Response("{}", { status: health });
    return (init.headers as Record<string, string>).Authorization === "Bearer right" || key === "" ? models() : new Response("{}", { status: 401 });
  });
  const monitor = new Monitor(() => key);
  await monitor.check();
  return monitor;
}

const list = (...ids: string[]) => () => new Response(JSON.stringify({ data: ids.map((id) => ({ id, max_model_len: 2048 })) }));

describe("Monitor", () => {
  it("knows the models of a server that is up", async () => {
    const monitor = await stateWith(200, list("a"));
    expect(monitor.state.value).toBe("up");
    expect(monitor.models.value).toEqual([{ id: "a", contextLength: 2048 }]);
  });

  it("calls a server without a model yet loading", async () => {
    expect((await stateWith(200, list())).state.value).toBe("loading");
    expect((await stateWith(503, list("a"))).state.value).toBe("loading");
  });

  it("tells a wrong key from a broken server", async () => {
    expect((await stateWith(200, list("a"), "wrong")).state.value).toBe("key");
    expect((await stateWith(200, list("a"), "right")).state.value).toBe("up");
    expect((await stateWith(200, () => new Response("{}", { status: 500 }))).state.value).toBe("down");
    expect((await stateWith(500, list("a"))).state.value).toBe("down");
  });

  it("looks again by itself, soon when the server is down", async () => {
    const monitor = await stateWith(500, list("a"));
    vi.stubGlobal("fetch", async () => list("a")());
    await vi.advanceTimersByTimeAsync(3000);
    await vi.waitFor(() => expect(monitor.state.value).toBe("up"));
  });
});
