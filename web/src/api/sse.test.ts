import { describe, expect, it } from "vitest";
import { SseParser } from "./sse";

function parseInPieces(text: string, size: number): string[] {
  const parser = new SseParser();
  const seen: string[] = [];
  for (let at = 0; at < text.length; at += size) {
    for (const event of parser.push(text.slice(at, at + size))) seen.push(event.data);
  }
  return seen;
}

describe("SseParser", () => {
  const stream = 'data: {"a":1}\n\n: keep-alive\n\ndata: caf\u00e9 \u{1F525}\r\n\r\ndata: one\rdata: two\r\rdata:[DONE]\n\n';
  const expected = ['{"a":1}', "caf\u00e9 \u{1F525}", "one\ntwo", "[DONE]"];

  it("gives the same events however the text is cut", () => {
    for (let size = 1; size <= stream.length; size++) expect(parseInPieces(stream, size)).toEqual(expected);
  });

  it("reads characters whose bytes are cut apart when fed through a streaming decoder", () => {
    const bytes = new TextEncoder().encode(stream);
    for (const size of [1, 2, 3, 5]) {
      const decoder = new TextDecoder();
      const parser = new SseParser();
      const seen: string[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        const text = decoder.decode(bytes.subarray(at, at + size), { stream: true });
        seen.push(...parser.push(text).map((event) => event.data));
      }
      expect(seen).toEqual(expected);
    }
  });

  it("keeps back an event whose empty line has not come", () => {
    const parser = new SseParser();
    expect(parser.push("data: half\n")).toEqual([]);
    expect(parser.push("\n")).toEqual([{ event: "message", data: "half" }]);
  });

  it("names events, ignores unknown fields, takes off one space only and drops a byte order mark", () => {
    const parser = new SseParser();
    expect(parser.push("\uFEFFevent: error\nid: 7\nretry\ndata:  two spaces\n\ndata\n\n")).toEqual([
      { event: "error", data: " two spaces" },
      { event: "message", data: "" },
    ]);
  });

  it("gives nothing for comments and empty lines alone", () => {
    expect(new SseParser().push(":\n\n: ping\n\n\n\n")).toEqual([]);
  });
});
