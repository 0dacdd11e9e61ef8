import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import type { Match } from "../chat/chats";
import type { Conversation } from "../chat/types";
import { conversationMenu } from "./conversation_actions";
import { useApp } from "./context";
import { groupByAge } from "./groups";
import { Flame, Icon } from "./icons";
import { Menu } from "./menu";
import { RenameField } from "./rename_field";
import { keyNames, newChat } from "./shortcuts";

const searchDelayMs = 120;

export function Sidebar({ hidden }: { hidden: boolean }) {
  const app = useApp();
  const query = useSignal("");
  const matches = useSignal<Match[] | null>(null); // null: not searching
  const list = app.chats.list.value;

  useEffect(() => {
    if (query.value.trim() === "") {
      matches.value = null;
      return;
    }
    let wanted = true;
    const timer = setTimeout(() => {
      void app.chats.search(query.value).then((found) => {
        if (wanted) matches.value = found;
      });
    }, searchDelayMs);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [query.value, list]);

  function onSearchKey(event: KeyboardEvent): void {
    const first = document.querySelector<HTMLAnchorElement>(".conversation-link");
    if (event.key === "Escape" && query.value !== "") query.value = "";
    else if (event.key === "ArrowDown") first?.focus();
    else if (event.key === "Enter") first?.click();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <aside class="sidebar" aria-label="Conversations" inert={hidden}>
      <div class="sidebar-head">
        <span class="brand">
          <Flame /> Hearth
        </span>
        <button
          type="button"
          class="icon-button only-narrow"
          aria-label="Close the sidebar"
          onClick={() => (app.drawer.value = false)}
        >
          <Icon name="close" />
        </button>
      </div>
      <button type="button" class="new-chat" onClick={() => newChat(app)}>
        <Icon name="plus" />
        New chat
      </button>
      <div class="search">
        <Icon name="search" />
        <input
          id="search"
          type="search"
          placeholder="Search"
          aria-label="Search conversations"
          autocomplete="off"
          value={query.value}
          onInput={(event) => (query.value = event.currentTarget.value)}
          onKeyDown={onSearchKey}
        />
        <kbd aria-hidden="true">{keyNames("Mod+K").join(" ")}</kbd>
      </div>
      <nav class="conversations" aria-label={matches.value ? "Search results" : "Conversations"} onKeyDown={moveInList}>
        {matches.value ? <Results matches={matches.value} /> : <Groups list={list} />}
      </nav>
      {!app.kept && <p class="sidebar-note">This browser blocks storage: conversations are gone when you close the page.</p>}
      <div class="sidebar-foot">
        <button type="button" class="foot-button" onClick={() => (app.dialog.value = "settings")}>
          <Icon name="settings" /> Settings
        </button>
        <button type="button" class="icon-button" aria-label="Keyboard help" title="Keyboard help" onClick={() => (app.dialog.value = "help")}>
          <Icon name="help" />
        </button>
      </div>
    </aside>
  );
}

function Results({ matches }: { matches: Match[] }) {
  return (
    <>
      <p class="group-title" role="status">{matches.length === 0 ? "Nothing found" : matches.length === 1 ? "1 result" : `${matches.length} results`}</p>
      <ul>
        {matches.map((match) => (
          <Item key={match.conversation.id} conversation={match.conversation} excerpt={match.excerpt} />
        ))}
      </ul>
    </>
  );
}

function Groups({ list }: { list: Conversation[] }) {
  if (list.length === 0) return <p class="sidebar-empty">Your conversations will be listed here. They stay in this browser.</p>;
  return (
    <>
      {groupByAge(list, new Date()).map((group) => (
        <section key={group.title} aria-label={group.title}>
          <h2 class="group-title">{group.title}</h2>
          <ul>
            {group.conversations.map((conversation) => (
              <Item key={conversation.id} conversation={conversation} excerpt="" />
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Item({ conversation, excerpt }: { conversation: Conversation; excerpt: string }) {
  const app = useApp();
  const renaming = useSignal(false);
  const link = useRef<HTMLAnchorElement>(null);
  const isCurrent = app.chats.currentId.value === conversation.id;
  if (renaming.value) {
    return (
      <li class="conversation">
        <RenameField id={conversation.id} title={conversation.title} done={() => (renaming.value = false)} />
      </li>
    );
  }
  return (
    <li class={isCurrent ? "conversation is-current" : "conversation"}>
      <a
        ref={link}
        class="conversation-link"
        href={`#/c/${conversation.id}`}
        aria-current={isCurrent ? "page" : undefined}
        title={conversation.title}
        onClick={() => (app.drawer.value = false)}
      >
        <span class="conversation-title">{conversation.title || "Untitled"}</span>
        {excerpt !== "" && <span class="excerpt">{excerpt}</span>}
        {app.chats.answering.value.has(conversation.id) && <span class="busy-dot" title="Being answered" />}
      </a>
      <Menu label={`Actions for ${conversation.title || "this conversation"}`} items={conversationMenu(app, conversation, () => (renaming.value = true))} />
    </li>
  );
}

// The arrow keys go from one conversation to the next.
function moveInList(event: KeyboardEvent): void {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const links = [...document.querySelectorAll<HTMLAnchorElement>(".conversation-link")];
  const at = links.indexOf(document.activeElement as HTMLAnchorElement);
  if (step === 0 || at === -1) return;
  event.preventDefault();
  if (at + step < 0) document.querySelector<HTMLInputElement>("#search")?.focus();
  else links[at + step]?.focus();
}
