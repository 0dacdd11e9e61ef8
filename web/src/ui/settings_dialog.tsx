import { useId } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { applyTheme, readSampling, samplingFields, type SamplingField, type Settings, type Theme } from "../settings/settings";
import { useApp } from "./context";
import { exportAll, importFiles } from "./files";
import { Modal } from "./modal";
import { statusText } from "./server_status";

export function SettingsDialog() {
  const app = useApp();
  const change = (part: Partial<Settings>) => (app.settings.value = { ...app.settings.value, ...part });
  const count = Object.keys(app.settings.value.sampling).length;
  return (
    <Modal title="Settings">
      <Prompts />
      <section aria-labelledby="sampling-title">
        <div class="section-head">
          <h3 id="sampling-title">Sampling</h3>
          <button type="button" class="text-button" disabled={count === 0} onClick={() => change({ sampling: {} })}>
            Reset
          </button>
        </div>
        <div class="sampling">
          {samplingFields.map((field) => (
            <SamplingRow key={`${field.key} ${count === 0}`} field={field} />
          ))}
        </div>
      </section>
      <ServerSection />
      <section aria-labelledby="look-title">
        <h3 id="look-title">Appearance</h3>
        <ThemeChoice />
      </section>
      <section aria-labelledby="data-title">
        <h3 id="data-title">Conversations</h3>
        <p class="fine">They are kept in this browser only.</p>
        <div class="button-row">
          <button type="button" class="button" onClick={() => void exportAll(app)}>Export all</button>
          <button
            type="button"
            class="button"
            onClick={() => {
              app.dialog.value = null;
              importFiles(app);
            }}
          >
            Import&hellip;
          </button>
        </div>
      </section>
    </Modal>
  );
}

function Prompts() {
  const { chats, settings } = useApp();
  const general = useId();
  const own = useId();
  const current = chats.current.value;
  return (
    <section aria-labelledby="prompt-title">
      <h3 id="prompt-title">System prompt</h3>
      <label for={general}>For every chat</label>
      <textarea
        id={general}
        rows={3}
        placeholder="You are a helpful assistant."
        value={settings.value.system}
        onInput={(event) => (settings.value = { ...settings.value, system: event.currentTarget.value })}
      />
      <label for={own}>For this chat instead</label>
      <textarea
        id={own}
        rows={2}
        placeholder="Empty: the one above"
        value={(current ? current.system : chats.newSystem.value) ?? ""}
        onChange={(event) => chats.setSystem(event.currentTarget.value.trim() === "" ? null : event.currentTarget.value)}
      />
    </section>
  );
}

function SamplingRow({ field }: { field: SamplingField }) {
  const { settings } = useApp();
  const id = useId();
  const value = settings.value.sampling[field.key];
  const typed = useSignal(value === undefined ? "" : String(value));
  const invalid = typed.value.trim() !== "" && readSampling(field, typed.value) === null;

  function set(text: string): void {
    typed.value = text;
    const { [field.key]: _, ...others } = settings.value.sampling;
    const next = readSampling(field, text);
    settings.value = { ...settings.value, sampling: next === null ? others : { ...others, [field.key]: next } };
  }

  return (
    <div class="sampling-row">
      <label for={id}>{field.label}</label>
      <input
        id={id}
        type="text"
        inputMode={field.min < 0 ? "text" : "decimal"}
        placeholder={field.usual === undefined ? "default" : String(field.usual)}
        autocomplete="off"
        aria-describedby={`${id}-hint`}
        aria-invalid={invalid}
        value={typed.value}
        onInput={(event) => set(event.currentTarget.value)}
      />
      <p id={`${id}-hint`} class={invalid ? "fine error" : "fine"}>
        {invalid ? `From ${field.min} to ${field.max}${field.integer ? ", a whole number" : ""}.` : field.hint}
      </p>
    </div>
  );
}

function ServerSection() {
  const { monitor, settings, model } = useApp();
  const modelId = useId();
  const keyId = useId();
  const models = monitor.models.value;
  return (
    <section aria-labelledby="server-title">
      <h3 id="server-title">Server</h3>
      <p class="fine">{statusText(monitor.state.value)}</p>
      <label for={modelId}>Model</label>
      <select
        id={modelId}
        disabled={models.length < 2}
        value={model()}
        onChange={(event) => (settings.value = { ...settings.value, model: event.currentTarget.value })}
      >
        {models.length === 0 && <option value={model()}>{model() || "unknown"}</option>}
        {models.map(({ id }) => (
          <option key={id} value={id}>{id}</option>
        ))}
      </select>
      <label for={keyId}>API key</label>
      <input
        id={keyId}
        type="password"
        autocomplete="off"
        spellcheck={false}
        placeholder={monitor.state.value === "key" ? "This server wants a key" : "Only if the server asks for one"}
        value={settings.value.apiKey}
        onChange={(event) => {
          settings.value = { ...settings.value, apiKey: event.currentTarget.value.trim() };
          void monitor.check();
        }}
      />
    </section>
  );
}

const themes: [Theme, string][] = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];

function ThemeChoice() {
  const { theme } = useApp();
  return (
    <div class="segments" role="radiogroup" aria-labelledby="look-title">
      {themes.map(([value, label]) => (
        <label key={value}>
          <input
            type="radio"
            name="theme"
            checked={theme.value === value}
            onChange={() => {
              theme.value = value;
              applyTheme(value);
            }}
          />
          <span>{label}</span>
        </label>
      ))}
    </div>
  );
}
