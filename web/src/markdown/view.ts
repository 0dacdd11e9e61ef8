// Shows a markdown text that grows. Only its last top-level block is parsed and rendered again: text appended later cannot
// change an earlier one, except through a link definition, and the render at the end sees those too.

import { morphChildren } from "./morph";
import { renderBlocks, toFragment } from "./render";

interface ShownBlock {
  element: HTMLElement;
  html: string;
}

// Longer texts are shown as they are.
const maxTextLength = 1_000_000;

export class MarkdownView {
  private readonly container: HTMLElement;
  private blocks: ShownBlock[] = [];
  private text = "";
  private stableLength = 0; // of the text, in whole blocks that are no longer looked at
  private stableBlocks = 0;
  private references = {};

  constructor(container: HTMLElement) {
    this.container = container;
  }

  // `final`: the text is complete.
  update(rawText: string, final: boolean): void {
    // Line numbers and offsets must mean the same to the parser and to us.
    const text = rawText.includes("\r") ? rawText.replace(/\r\n?/g, "\n") : rawText;
    if (text.length > maxTextLength) return this.showPlain(text);
    if (final || !text.startsWith(this.text.slice(0, this.stableLength))) this.forget();
    this.text = text;

    const tail = text.slice(this.stableLength);
    const rendered = renderBlocks(tail, this.references, !final);
    rendered.forEach((block, index) => this.show(this.stableBlocks + index, block.html));
    for (const extra of this.blocks.splice(this.stableBlocks + rendered.length)) extra.element.remove();

    const last = rendered.at(-1);
    if (!final && last && rendered.length > 1) {
      this.stableBlocks += rendered.length - 1;
      this.stableLength += offsetOfLine(tail, last.startLine);
    }
  }

  private show(index: number, html: string): void {
    const shown = this.blocks[index];
    if (shown?.html === html) return;
    const fragment = toFragment(html);
    if (shown) {
      shown.html = html;
      morphChildren(shown.element, fragment);
      return;
    }
    const element = document.createElement("div");
    element.className = "block";
    element.append(fragment);
    this.container.append(element);
    this.blocks.push({ element, html });
  }

  private forget(): void {
    this.stableLength = 0;
    this.stableBlocks = 0;
    this.references = {};
  }

  private showPlain(text: string): void {
    this.forget();
    this.blocks = [];
    this.text = text;
    const plain = document.createElement("pre");
    plain.className = "plain";
    plain.textContent = text;
    this.container.replaceChildren(plain);
  }
}

function offsetOfLine(text: string, line: number): number {
  let offset = 0;
  for (let passed = 0; passed < line; passed++) offset = text.indexOf("\n", offset) + 1;
  return offset;
}
