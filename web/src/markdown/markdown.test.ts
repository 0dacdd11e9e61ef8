import { beforeEach, describe, expect, it } from "vitest";
import { MarkdownView } from "./view";
import { sanitize } from "./render";

let container: HTMLElement;
beforeEach(() => (container = document.createElement("div")));

function show(text: string): HTMLElement {
  const element = document.createElement("div");
  new MarkdownView(element).update(text, true);
  return element;
}

const allowedTags = new Set(
  "DIV P BR HR H1 H2 H3 H4 H5 H6 STRONG EM S A CODE PRE SPAN BLOCKQUOTE UL OL LI TABLE THEAD TBODY TR TH TD BUTTON".split(" "),
);
const allowedAttributes = new Set(["tabindex", "class", "href", "rel", "target", "start", "title", "type", "aria-label"]);

function expectHarmless(element: HTMLElement): void {
  for (const child of element.querySelectorAll("*")) {
    expect(allowedTags.has(child.tagName), child.outerHTML).toBe(true);
    for (const { name } of child.attributes) expect(allowedAttributes.has(name), child.outerHTML).toBe(true);
    const href = child.getAttribute("href");
    if (href !== null) expect(href).toMatch(/^(https?:\/\/|mailto:)/i);
  }
}

const attacks = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)><style><img src=x onerror=alert(1)></style></svg>",
  "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
  "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
  "<a href='javascript:alert(1)'>x</a>",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](java\nscript:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
  "[x](vbscript:msgbox(1))",
  "[x](file:///etc/passwd)",
  "[x](//evil.example/)",
  "[x](/v1/models)",
  "[x]: javascript:alert(1)\n\n[x]",
  "<javascript:alert(1)>",
  "<https://a.example/\" onclick=\"alert(1)>",
  "![x](https://evil.example/pixel.png)",
  "![\" onerror=\"alert(1)](https://evil.example/a.png \"t\\\" onload=\\\"alert(1)\")",
  "![x](javascript:alert(1))",
  "```\"><img src=x onerror=alert(1)>\ncode\n```",
  "```html\n<script>alert(1)</script>\n```",
  "```python onmouseover=alert(1)\nprint('<b>')\n```",
  "`<img src=x onerror=alert(1)>`",
  "| <img src=x onerror=alert(1)> | b |\n|:-:|--:|\n| [x](javascript:alert(1)) | d |",
  "# <style>*{display:none}</style>",
  "<form action=//evil.example><button>go</button></form>",
  "<a name=document><a name=document>",
  "<div style=\"position:fixed;inset:0\">over everything</div>",
  "\u0000<scr\u0000ipt>alert(1)</scr\u0000ipt>",
];

describe("hostile answers", () => {
  it.each(attacks)("stay text: %s", (attack) => {
    const element = show(attack);
    expectHarmless(element);
    expect(element.querySelector("img, script, iframe, style, form, svg, math")).toBeNull();
  });

  it("do no harm cut anywhere while they stream", () => {
    const text = attacks.join("\n\n");
    const view = new MarkdownView(container);
    for (let end = 1; end <= text.length; end += 7) view.update(text.slice(0, end), false);
    view.update(text, true);
    expectHarmless(container);
  });

  it("do no harm even if the parser let HTML through", () => {
    for (const attack of attacks) {
      const element = document.createElement("div");
      element.append(sanitize(attack));
      expectHarmless(element);
    }
  });
});

describe("links and images", () => {
  it("opens links outside, without a way back", () => {
    const link = show("see https://example.org/a?b=1").querySelector("a");
    expect(link?.getAttribute("href")).toBe("https://example.org/a?b=1");
    expect(link?.getAttribute("target")).toBe("_blank");
    expect(link?.getAttribute("rel")).toContain("noopener");
  });

  it("shows an image as a link to it", () => {
    const link = show("![a cat](https://example.org/cat.png)").querySelector("a");
    expect(link?.textContent).toBe("a cat");
    expect(link?.getAttribute("href")).toBe("https://example.org/cat.png");
  });

  it("does not take file names for addresses", () => expect(show("open main.py and README.md").querySelector("a")).toBeNull());
});

describe("code", () => {
  it("is coloured for a known language and has a copy button", () => {
    const element = show("```python\ndef f(): pass\n```");
    expect(element.querySelector(".hljs-keyword")?.textContent).toBe("def");
    expect(element.querySelector(".code-bar span")?.textContent).toBe("python");
    expect(element.querySelector("button.copy-code")).not.toBeNull();
    expect(element.querySelector("pre")?.textContent).toBe("def f(): pass\n");
  });

  it("stays plain for an unknown one", () => expect(show("```klingon\nqapla\n```").querySelector("pre")?.textContent).toBe("qapla\n"));

  it("is shown while its fence is still open", () => {
    new MarkdownView(container).update("```js\nlet a = 1", false);
    expect(container.querySelector("pre")?.textContent).toBe("let a = 1");
  });
});

it("aligns table columns without style attributes", () => {
  const element = show("|a|b|\n|:-|-:|\n|1|2|");
  expect(element.querySelector("td.align-right")?.textContent).toBe("2");
  expect(element.querySelector("[style]")).toBeNull();
});

const document1 = [
  "# Title\n\nA paragraph\nover two lines with [a link][ref] and `code`.",
  "Setext\n======",
  "- one\n- two\n\n  with a paragraph\n\n- three\n    1. deep\n    2. deeper",
  "> quoted\nlazily\n\n> again",
  "```js\nconst a = `\n\n\nstill code`;\n```",
  "|a|b|\n|-|-|\n|1|2|\n|3|4|",
  "    indented\n\n    code",
  "***\nText right after\r\nwith CRLF\r\n\r\n1) first\n2) second",
  "~~~~\n```\nfence in fence\n```\n~~~~",
  "[ref]: https://example.org/ref\n\nThe end.",
].join("\n\n");

describe("MarkdownView", () => {
  it.each([1, 3, 8, 50])("ends, fed %i characters at a time, as if fed at once", (step) => {
    const view = new MarkdownView(container);
    for (let end = 0; end < document1.length; end += step) view.update(document1.slice(0, end), false);
    view.update(document1, true);
    expect(container.innerHTML).toBe(show(document1).innerHTML);
    expect(container.querySelectorAll("a[href='https://example.org/ref']")).toHaveLength(1);
  });

  it("shows, before the end, what a fresh render shows, but for links defined later", () => {
    const text = document1.replace("[a link][ref]", "a link");
    const view = new MarkdownView(container);
    for (let end = 1; end <= text.length; end++) {
      view.update(text.slice(0, end), false);
      if (end % 11 === 0) expect(container.textContent).toBe(show(text.slice(0, end)).textContent);
    }
  });

  it("leaves finished blocks alone", () => {
    const view = new MarkdownView(container);
    view.update("First.\n\nSecond", false);
    const first = container.querySelector("p");
    view.update("First.\n\nSecond grows.\n\nThird", false);
    view.update("First.\n\nSecond grows.\n\nThird.", true);
    expect(container.querySelector("p")).toBe(first);
    expect(container.querySelectorAll(".block")).toHaveLength(3);
  });

  it("keeps the text node of a growing paragraph, and so a selection in it", () => {
    const view = new MarkdownView(container);
    view.update("A growing", false);
    const node = container.querySelector("p")?.firstChild;
    view.update("A growing paragraph", false);
    expect(container.querySelector("p")?.firstChild).toBe(node);
  });

  it("starts over when the text is another one", () => {
    const view = new MarkdownView(container);
    view.update("One.\n\nTwo.\n\nThree.", false);
    view.update("Other.", false);
    expect(container.textContent?.trim()).toBe("Other.");
  });

  it("parses, of a long answer, only the end again", () => {
    const block = "A line of an answer with *some* words in it.\n\n";
    const text = block.repeat(100);
    const view = new MarkdownView(container);
    const looked = view as unknown as { stableLength: number };
    for (let end = 60; end < text.length; end += 60) {
      view.update(text.slice(0, end), false);
      expect(end - looked.stableLength).toBeLessThan(2 * block.length + 60);
    }
  });
});
