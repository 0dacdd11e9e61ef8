import { useEffect } from "preact/hooks";
import { useApp } from "./context";
import { Icon } from "./icons";

const shownMs = 7000;

export function Toasts() {
  const { toast, spoken } = useApp();
  const shown = toast.value;
  useEffect(() => {
    if (!shown) return;
    const timer = setTimeout(() => (toast.value = null), shownMs);
    return () => clearTimeout(timer);
  }, [shown]);
  return (
    <>
      <div class="toasts" role="status">
        {shown && (
          <div class="toast">
            <span>{shown.text}</span>
            {shown.action && (
              <button
                type="button"
                class="text-button"
                onClick={() => {
                  toast.value = null;
                  shown.action?.run();
                }}
              >
                {shown.action.label}
              </button>
            )}
            <button type="button" class="icon-button small" aria-label="Dismiss" onClick={() => (toast.value = null)}>
              <Icon name="close" />
            </button>
          </div>
        )}
      </div>
      <div class="visually-hidden" aria-live="polite">{spoken.value}</div>
    </>
  );
}
