// Makes `target` equal to `source` by changing as little as possible, so that a selection, a scroll position or the focus
// inside an answer that is still growing survives each update. `source` is consumed.

export function morphChildren(target: Node, source: Node): void {
  let old = target.firstChild;
  let next = source.firstChild;
  while (next) {
    const following = next.nextSibling;
    if (old && sameKind(old, next)) {
      morph(old, next);
      old = old.nextSibling;
    } else {
      target.insertBefore(next, old);
    }
    next = following;
  }
  while (old) {
    const following = old.nextSibling;
    target.removeChild(old);
    old = following;
  }
}

function sameKind(a: Node, b: Node): boolean {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName;
}

function morph(target: Node, source: Node): void {
  if (target instanceof Text) {
    const text = source.nodeValue ?? "";
    // Appending keeps a selection that a new value would drop.
    if (text.startsWith(target.data)) target.appendData(text.slice(target.data.length));
    else target.data = text;
    return;
  }
  if (!(target instanceof Element) || !(source instanceof Element)) return;
  for (const { name } of [...target.attributes]) if (!source.hasAttribute(name)) target.removeAttribute(name);
  for (const { name, value } of source.attributes) if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  morphChildren(target, source);
}
