import { useApp } from "./context";
import { Flame } from "./icons";

const examples: [title: string, prompt: string][] = [
  ["Explain", "Explain how a rainbow forms, so that a child understands it."],
  ["Write", "Write a friendly e-mail that moves a meeting to Wednesday."],
  ["Code", "Write a Python function that recognises palindromes."],
  ["Plan", "Give me three ideas for a simple dinner with rice, eggs and spinach."],
];

export function Welcome() {
  const { chats } = useApp();
  return (
    <div class="welcome">
      <Flame />
      <h2>What can I help you with?</h2>
      <p>The model runs on this server. What you write goes nowhere else.</p>
      <ul class="examples">
        {examples.map(([title, prompt]) => (
          <li key={title}>
            <button type="button" onClick={() => chats.send(prompt)}>
              <strong>{title}</strong>
              <span>{prompt}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
