import { useLayoutEffect, useRef } from "preact/hooks";
import { MarkdownView } from "../markdown/view";

export function MarkdownBody({ text, live }: { text: string; live: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView | null>(null);
  useLayoutEffect(() => {
    if (!element.current) return;
    view.current ??= new MarkdownView(element.current);
    view.current.update(text, !live);
  }, [text, live]);
  return <div ref={element} class="markdown" />;
}
