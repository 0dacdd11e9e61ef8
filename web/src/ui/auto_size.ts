import type { RefObject } from "preact";
import { useLayoutEffect } from "preact/hooks";

// Lets a text field grow with its text, up to the max-height of its style.
export function useAutoSize(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    const element = field.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight + element.offsetHeight - element.clientHeight}px`;
  }, [text]);
}
