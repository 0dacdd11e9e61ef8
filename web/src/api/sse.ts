// Server-sent events from text that arrives in arbitrary pieces, as the HTML standard parses them (section 9.2.6):
// LF, CR and CRLF end lines, an empty line ends an event, lines that begin with a colon are comments.

export interface ServerSentEvent {
  event: string;
  data: string;
}

export class SseParser {
  private pending = "";
  private data: string[] = [];
  private event = "";
  private atStart = true;

  // Returns the events that are complete after this piece.
  push(piece: string): ServerSentEvent[] {
    this.pending += piece;
    if (this.atStart && this.pending !== "") {
      this.atStart = false;
      if (this.pending.startsWith("\uFEFF")) this.pending = this.pending.slice(1);
    }
    const events: ServerSentEvent[] = [];
    let start = 0;
    for (;;) {
      const end = this.lineEnd(start);
      if (end === null) break;
      this.takeLine(this.pending.slice(start, end.at), events);
      start = end.next;
    }
    this.pending = this.pending.slice(start);
    return events;
  }

  // The end of the line that begins at `start`, or null when more text is needed to tell.
  private lineEnd(start: number): { at: number; next: number } | null {
    const lf = this.pending.indexOf("\n", start);
    const cr = this.pending.indexOf("\r", start);
    if (cr === -1 || (lf !== -1 && lf < cr)) return lf === -1 ? null : { at: lf, next: lf + 1 };
    // A CR at the very end may be the first half of a CRLF.
    if (cr + 1 === this.pending.length) return null;
    return { at: cr, next: this.pending[cr + 1] === "\n" ? cr + 2 : cr + 1 };
  }

  private takeLine(line: string, events: ServerSentEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ event: this.event || "message", data: this.data.join("\n") });
      this.data = [];
      this.event = "";
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.data.push(value);
    if (field === "event") this.event = value;
  }
}
