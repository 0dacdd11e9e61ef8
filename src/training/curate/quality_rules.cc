#include "training/curate/quality_rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <unordered_map>
#include <vector>

#include "training/curate/compared_text.h"
#include "training/curate/repetition.h"

namespace hearth::forge {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

bool IsAnswer(const Message& message) {
  return message.role == "assistant" || message.role == "text";
}

std::string Shown(std::string_view text) {
  constexpr size_t kMaxShown = 80;
  text = Trimmed(text);
  size_t size = std::min(text.size(), kMaxShown);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
    --size;
  return std::string(text.substr(0, size)) + (size < text.size() ? "..." : "");
}

int64_t CountWordChars(std::string_view text) { return std::ranges::count_if(text, IsWordChar); }

std::optional<Fault> Placeholder(std::string_view answer) {
  static constexpr std::array<std::string_view, 14> kPlaceholders = {
      "n/a", "<noinput>", "noinput", "<nooutput>", "no output", "to" "do", "tbd", "[answer]",
      "<answer>", "[your answer here]", "[insert answer here]", "[response]", "<response>", "..."};
  const std::string text = NormalizeText(answer);
  if (std::ranges::find(kPlaceholders, text) != kPlaceholders.end() ||
      (text.starts_with("lorem ipsum") && text.find("dolor sit amet") != std::string::npos))
    return Fault{"placeholder_answer", Shown(answer)};
  return std::nullopt;
}

// U+FFFD, control characters, private use, and the traces of UTF-8 read as Latin-1.
std::optional<Fault> Garbage(std::string_view text) {
  int64_t bad = 0, mojibake = 0;
  const auto at = [&](size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned c = at(i), next = at(i + 1), third = at(i + 2);
    if ((c < 0x20 && !IsSpace(static_cast<char>(c))) || c == 0x7f) ++bad;
    if (c == 0xef && next == 0xbf && third == 0xbd) ++bad;            // U+FFFD
    if (c == 0xee || (c == 0xef && next >= 0x80 && next <= 0xa3)) ++bad;  // U+E000 to U+F8FF
    if (c == 0xc2 && next >= 0x80 && next <= 0x9f && next != 0x85) ++bad;  // C1 controls
    // "A tilde" or "a circumflex" followed by what a second byte becomes: Latin-1 marks, or what
    // Windows-1252 has at 0x80 (the euro sign).
    if (c == 0xc3 && (next == 0x83 || next == 0xa2) &&
        (third == 0xc2 || (third == 0xe2 && at(i + 3) == 0x82 && at(i + 4) == 0xac)))
      ++mojibake;
  }
  const auto size = static_cast<int64_t>(text.size());
  if (bad >= 3 && bad * 200 > size)
    return Fault{"garbage_characters", std::to_string(bad) + " characters that no text has"};
  if (mojibake >= 2 && mojibake * 500 > size)
    return Fault{"garbage_characters", std::to_string(mojibake) + " traces of a wrong encoding"};
  return std::nullopt;
}

// Long answers of symbols alone, or with hardly a letter where nothing is computed.
std::optional<Fault> SymbolsOnly(std::string_view answer) {
  constexpr size_t kLong = 80;
  if (answer.size() < kLong) return std::nullopt;
  int64_t words = 0, visible = 0;
  for (const char c : answer) {
    words += IsWordChar(c) ? 1 : 0;
    visible += IsSpace(c) ? 0 : 1;
  }
  if (words * 10 < visible)
    return Fault{"garbage_characters", "fewer than one letter or digit in ten characters"};
  return std::nullopt;
}

std::optional<Fault> TemplateLeak(std::string_view answer) {
  static constexpr std::array<std::string_view, 12> kMarkers = {
      "<|im_start|>",      "<|im_end|>",        "<|endoftext|>",   "<|eot_id|>",
      "<|start_header_id|>", "[INST]",          "[/INST]",         "<<SYS>>",
      "### Instruction:",  "<start_of_turn>",   "<|assistant|>",   "<|user|>"};
  for (const std::string_view marker : kMarkers)
    if (answer.find(marker) != std::string_view::npos)
      return Fault{"template_leak", "\"" + std::string(marker) + "\" inside an answer"};
  return std::nullopt;
}

// Does the answer only decline? Long answers that begin so usually go on to help.
bool IsRefusal(std::string_view answer) {
  constexpr size_t kMaxBytes = 400;
  static constexpr std::array<std::string_view, 22> kBeginnings = {
      "i'm sorry, but i can't", "i'm sorry, but i cannot", "i am sorry, but i can",
      "i'm sorry, i can't", "i'm sorry, i cannot", "sorry, but i can't", "sorry, i can't",
      "sorry, i cannot", "i cannot assist", "i can't assist", "i cannot help with",
      "i can't help with", "i cannot fulfill", "i can't fulfill", "i cannot provide",
      "i'm unable to", "i am unable to", "i'm not able to", "i am not able to",
      "as an ai language model, i", "as a language model, i", "as an ai, i"};
  const std::string_view text = Trimmed(answer);
  if (text.size() > kMaxBytes) return false;
  std::string lower = NormalizeText(text);
  // The curly apostrophe is as good as the straight one.
  for (size_t at; (at = lower.find("\xe2\x80\x99")) != std::string::npos;) lower.replace(at, 3, "'");
  return std::ranges::any_of(
      kBeginnings, [&](std::string_view beginning) { return lower.starts_with(beginning); });
}

std::optional<Fault> Truncated(std::string_view answer) {
  constexpr size_t kLongProse = 200;
  size_t fences = 0;
  for (size_t at = answer.find("```"); at != std::string_view::npos; at = answer.find("```", at + 3))
    ++fences;
  if (fences % 2 == 1) return Fault{"truncated", "a code block is not closed"};
  const std::string_view text = Trimmed(answer);
  if (text.size() < kLongProse || fences > 0) return std::nullopt;
  if (text.back() == ',') return Fault{"truncated", "ends with a comma"};
  static constexpr std::array<std::string_view, 16> kNeverLast = {
      "the", "a", "an", "and", "or", "of", "to", "with", "because", "which",
      "their", "my", "your", "from", "is", "are"};
  size_t begin = text.size();
  while (begin > 0 && std::isalpha(static_cast<unsigned char>(text[begin - 1])) != 0) --begin;
  const std::string last(text.substr(begin));
  // After a space only: "type-of" and "x.to" are names.
  if (begin > 0 && text[begin - 1] == ' ' && std::ranges::find(kNeverLast, last) != kNeverLast.end())
    return Fault{"truncated", "ends in \"" + last + "\""};
  return std::nullopt;
}

std::optional<Fault> FaultOfAnswer(const Message& message, const QualityLimits& limits) {
  const std::string_view answer = message.content;
  const std::string_view shown = Trimmed(answer);
  if (shown.empty()) return Fault{"empty_answer", ""};
  if (auto fault = Placeholder(answer)) return fault;
  const int64_t words = CountWordChars(answer);
  const bool symbol = words == 0 && shown.find_first_not_of(".,;:!?'\"-_ \t\r\n") != std::string_view::npos;
  if (words < limits.min_answer_chars && !(symbol && limits.min_answer_chars <= 1))
    return Fault{"answer_too_short", Shown(answer)};
  if (static_cast<int64_t>(answer.size()) > limits.max_answer_chars && message.role != "text")
    return Fault{"answer_too_long", std::to_string(answer.size()) + " bytes"};
  if (auto fault = Garbage(answer)) return fault;
  if (auto fault = SymbolsOnly(answer)) return fault;
  if (auto fault = TemplateLeak(answer)) return fault;
  return std::nullopt;
}

}  // namespace

std::optional<Fault> FindFault(const Conversation& conversation, const QualityLimits& limits) {
  int64_t total = 0, answers = 0, refusals = 0;
  bool prompt = false;
  const Message* before = nullptr;
  for (const Message& message : conversation.messages) {
    total += static_cast<int64_t>(message.content.size());
    prompt |= message.role == "user" || message.role == "text";
    answers += IsAnswer(message) ? 1 : 0;
  }
  if (answers == 0 && !limits.keep_prompts) return Fault{"no_answer", ""};
  if (!prompt) return Fault{"empty_prompt", "no user message"};
  for (const Message& message : conversation.messages)
    if (message.role == "user" && Trimmed(message.content).empty()) return Fault{"empty_prompt", ""};
  for (const Message& message : conversation.messages)
    if (IsAnswer(message))
      if (auto fault = FaultOfAnswer(message, limits)) return fault;
  if (total > limits.max_chars) return Fault{"too_long", std::to_string(total) + " bytes"};
  for (const Message& message : conversation.messages)
    if (!IsAnswer(message))
      if (auto fault = Garbage(message.content)) return fault;
  for (const Message& message : conversation.messages)
    refusals += message.role == "assistant" && IsRefusal(message.content) ? 1 : 0;
  if (answers > 0 && refusals == answers) {
    const auto first = std::ranges::find_if(conversation.messages, IsAnswer);
    return Fault{"refusal", Shown(first->content)};
  }
  for (const Message& message : conversation.messages) {
    if (message.role == "assistant" && before != nullptr && before->role == "user") {
      // One word may well be the answer to itself: "Repeat: yes".
      constexpr int64_t kLetters = 12;
      if (CountWordChars(message.content) >= kLetters &&
          NormalizeText(message.content) == NormalizeText(before->content))
        return Fault{"answer_repeats_prompt", Shown(message.content)};
    }
    before = &message;
  }
  for (const Message& message : conversation.messages) {
    if (!IsAnswer(message)) continue;
    if (const std::string loop = FindLoop(message.content); !loop.empty())
      return Fault{"repetition", loop};
    if (message.role == "assistant")
      if (auto fault = Truncated(message.content)) return fault;
  }
  return std::nullopt;
}

int64_t StripEndMarkers(Conversation& conversation) {
  static constexpr std::array<std::string_view, 7> kEnds = {
      "<|endoftext|>", "</s>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<eos>"};
  int64_t stripped = 0;
  for (Message& message : conversation.messages) {
    if (!IsAnswer(message)) continue;
    const auto cut_one = [&] {
      const std::string_view shown = Trimmed(message.content);
      for (const std::string_view end : kEnds) {
        if (!shown.ends_with(end)) continue;
        const size_t size = static_cast<size_t>(shown.data() - message.content.data()) +
                            shown.size() - end.size();
        message.content.resize(size);
        return true;
      }
      return false;
    };
    bool any = false;
    while (cut_one()) any = true;
    stripped += any ? 1 : 0;
  }
  return stripped;
}

}  // namespace hearth::forge
