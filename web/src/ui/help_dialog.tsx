import { Modal } from "./modal";
import { keyNames, shortcuts } from "./shortcuts";

export function HelpDialog() {
  return (
    <Modal title="Keyboard">
      <dl class="keys">
        {shortcuts.map((shortcut) => (
          <div key={shortcut.keys}>
            <dt>{shortcut.what}</dt>
            <dd>
              {keyNames(shortcut.keys).map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <p class="fine">Conversations and settings stay in this browser. They leave it only as the messages that you send to this server.</p>
    </Modal>
  );
}
