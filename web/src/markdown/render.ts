// Markdown from a model to DOM that cannot do harm. HTML in the text is shown, not used; links lead only to http, https and
// mail; images become links, so that reading an answer never fetches anything. The parser already keeps to that, DOMPurify
// then lets through nothing but the elements listed here.

import DOMPurify from "dompurify";
import MarkdownIt, { type Token } from "markdown-it";
import { highlight } from "./highlight";

const safeLink = /^(?:https?:\/\/|mailto:)/i;

const markdown = new MarkdownIt({ html: false, linkify: true });
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
markdown.validateLink = (url) => safeLink.test(url.trim());

// Above this a code block is coloured only when the answer is complete: colouring is redone with each piece that arrives.
const maxLiveCode = 10_000;
// Above this it stays plain.
const maxCode = 200_000;

interface RenderEnv {
  [key: string | symbol]: unknown;
  live?: boolean;
}

function renderCode(code: string, info: string, env: RenderEnv): string {
  const language = (info.trim().split(/\s+/)[0] ?? "").toLowerCase();
  const coloured = language === "" || code.length > (env.live ? maxLiveCode : maxCode) ? null : highlight(code, language);
  const label = markdown.utils.escapeHtml(language);
  return `<pre><code class="language-${label}">${coloured ?? markdown.utils.escapeHtml(code)}</code></pre>\n`;
}

markdown.renderer.rules.fence = (tokens, index, _options, env) => {
  const token = tokens[index] as Token;
  return renderCode(token.content, markdown.utils.unescapeAll(token.info), env as RenderEnv);
};
markdown.renderer.rules.code_block = (tokens, index, _options, env) => renderCode((tokens[index] as Token).content, "", env as RenderEnv);
markdown.renderer.rules.image = (tokens, index) => {
  const token = tokens[index] as Token;
  const url = markdown.utils.escapeHtml(String(token.attrGet("src") ?? ""));
  return `<a class="image-link" href="${url}">${markdown.utils.escapeHtml(token.content || "image")}</a>`;
};
// The policy of the page allows no style attributes.
for (const name of ["th_open", "td_open"]) {
  markdown.renderer.rules[name] = (tokens, index, options, _env, self) => {
    const token = tokens[index] as Token;
    const alignment = /text-align:(left|center|right)/.exec(String(token.attrGet("style") ?? ""));
    token.attrs = alignment ? [["class", `align-${alignment[1]}`]] : null;
    return self.renderToken(tokens, index, options);
  };
}

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (element) => {
  if (element.tagName !== "A") return;
  if (!safeLink.test(element.getAttribute("href") ?? "")) element.removeAttribute("href");
  element.setAttribute("rel", "noopener noreferrer nofollow");
  element.setAttribute("target", "_blank");
});

export function sanitize(html: string): DocumentFragment {
  return purifier.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    ALLOWED_TAGS: [
      "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "a", "code", "pre", "span", "blockquote",
      "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "#text",
    ],
    ALLOWED_ATTR: ["href", "class", "start", "title"],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: safeLink,
  });
}

export interface Block {
  html: string;
  startLine: number; // in the text that was parsed
}

// The top-level blocks of a text, each rendered for itself. `references` collects link definitions and may be handed on to
// the parse of what follows.
export function renderBlocks(text: string, references: object, live: boolean): Block[] {
  const env: RenderEnv = { references, live };
  const tokens = markdown.parse(text, env);
  const blocks: Block[] = [];
  let first = 0;
  let depth = 0;
  tokens.forEach((token, index) => {
    depth += token.nesting;
    if (depth > 0) return;
    const group = tokens.slice(first, index + 1);
    blocks.push({ html: markdown.renderer.render(group, markdown.options, env), startLine: group[0]?.map?.[0] ?? 0 });
    first = index + 1;
  });
  return blocks;
}

export function toFragment(html: string): DocumentFragment {
  const fragment = sanitize(html);
  for (const pre of fragment.querySelectorAll("pre")) addCodeBar(pre);
  for (const table of fragment.querySelectorAll("table")) wrap(table, "table-scroll").tabIndex = 0;
  return fragment;
}

// The buttons are ours, put in after cleaning; clicks are handled by the message list.
function addCodeBar(pre: HTMLPreElement): void {
  const language = /(?:^| )language-(\S+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
  const bar = document.createElement("div");
  bar.className = "code-bar";
  const label = document.createElement("span");
  label.textContent = language || "text";
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy-code";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", "Copy code");
  bar.append(label, copy);
  pre.tabIndex = 0; // so that the arrow keys can scroll what is wider than the page
  wrap(pre, "code-block").prepend(bar);
}

function wrap(element: Element, className: string): HTMLElement {
  const wrapper = document.createElement("div");
  wrapper.className = className;
  element.replaceWith(wrapper);
  wrapper.append(element);
  return wrapper;
}
