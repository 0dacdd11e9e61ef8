import { useApp } from "./context";
import { Flame } from "./icons";

const examples: [title: string, prompt: string][] = [
  ["Explain", "Why is the sky blue? Explain it to a child."],
  ["Write", "Write a short poem about a fire on a winter evening."],
  ["Code", "Write a Python function that checks whether a word is a palindrome."],
  ["Plan", "Plan a relaxed weekend in Paris."],
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
