// A dialog over the page. The browser keeps the focus inside and closes it on Esc.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useApp } from "./context";
import { Icon } from "./icons";

export function Modal({ title, children }: { title: string; children: ComponentChildren }) {
  const { dialog } = useApp();
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog
      ref={element}
      class="modal"
      aria-labelledby={id}
      onClose={() => (dialog.value = null)}
      onClick={(event) => {
        // The dialog itself is hit only beside its content: on the backdrop.
        if (event.target === element.current) element.current?.close();
      }}
    >
      <div class="modal-box">
        <header class="modal-head">
          <h2 id={id}>{title}</h2>
          <button type="button" class="icon-button" aria-label="Close" onClick={() => element.current?.close()}>
            <Icon name="close" />
          </button>
        </header>
        <div class="modal-body">{children}</div>
      </div>
    </dialog>
  );
}
