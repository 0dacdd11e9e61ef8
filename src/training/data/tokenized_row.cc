#include "training/data/tokenized_row.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

namespace hearth::forge {
namespace {

using Messages = std::span<const Message>;

size_t CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// A conversation that ends in an assistant's turn.
struct Answered {
  std::vector<int32_t> tokens;
  size_t header = 0;  // the first token of the last turn's header; 0 unless asked for
  size_t begin = 0;   // the first token of its answer
  size_t end = 0;     // behind its end-of-turn token
};

// `invoked`: for an activated adapter, which the runtime looks for in a prompt's own tokens: so the
// prompt is tokenised alone, and no token reaches across its end ("\n" and a space can be one).
// Requires: the last message is the assistant's.
Result<Answered> MarkAnswer(const ChatTokenizer& chat, Messages messages, bool invoked) {
  const Messages asked = messages.first(messages.size() - 1);
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text whole, chat.Render(messages, false));
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text prompt, chat.Render(asked, true));
  if (!whole.str().starts_with(prompt.str())) {
    return MakeError(ErrorCode::kUnsupported,
                     "the chat template's answers do not continue the header that it writes for an "
                     "answer to come");
  }
  Answered answered;
  std::vector<int32_t> prompt_tokens = chat.Encode(prompt);
  if (invoked && !chat.tokenizer().drops_leading_space()) {
    answered.begin = prompt_tokens.size();
    answered.tokens = std::move(prompt_tokens);
    const std::vector<int32_t> rest =
        chat.EncodeRest(whole.Slice(prompt.size_bytes(), whole.size_bytes()));
    answered.tokens.insert(answered.tokens.end(), rest.begin(), rest.end());
  } else {
    answered.tokens = chat.Encode(whole);
    answered.begin = CommonPrefix(prompt_tokens, answered.tokens);
  }
  // A message holds no special tokens, so that the next one that ends a turn ends this one.
  const auto end = std::find_if(answered.tokens.begin() + static_cast<int64_t>(answered.begin),
                                answered.tokens.end(),
                                [&](int32_t id) { return chat.tokenizer().IsEndOfGeneration(id); });
  answered.end =
      static_cast<size_t>(end - answered.tokens.begin()) + (end != answered.tokens.end() ? 1 : 0);
  if (invoked && !asked.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const jinja::Text before, chat.Render(asked, false));
    if (prompt.str().starts_with(before.str()))
      answered.header = CommonPrefix(chat.Encode(before), answered.tokens);
  }
  return answered;
}

void Learn(size_t begin, size_t end, TokenizedRow& row) {
  std::fill(row.learned.begin() + static_cast<int64_t>(begin),
            row.learned.begin() + static_cast<int64_t>(end), uint8_t{1});
}

// Messages without the oldest turn: a question with all that answered it. False when only the last
// question is left.
bool DropOldestTurn(std::vector<Message>& messages) {
  const auto is_user = [](const Message& message) { return message.role == "user"; };
  const auto first = std::ranges::find_if(messages, is_user);
  if (first == messages.end()) return false;
  const auto second = std::find_if(first + 1, messages.end(), is_user);
  if (second == messages.end()) return false;
  messages.erase(first, second);
  return true;
}

class RowMaker {
 public:
  RowMaker(const ChatTokenizer& chat, const RowOptions& options) : chat_(chat), options_(options) {}

  Status AddConversation(const std::vector<Message>& messages) {
    bool answered = false;
    for (size_t i = 0; i < messages.size(); ++i) answered |= IsAnswer(messages, i);
    if (!answered)
      return MakeError(ErrorCode::kInvalidArgument, "no message is the assistant's answer");
    if (options_.activated) return AddEachTurn(messages);
    std::vector<Message> kept = messages;
    for (;;) {
      HEARTH_ASSIGN_OR_RETURN(std::optional<TokenizedRow> row, MarkAll(kept));
      if (!row) return AddEachTurn(kept);
      if (IsOverlong(*row) && options_.overlong == Overlong::kDropTurns && DropOldestTurn(kept))
        continue;
      Keep(*std::move(row));
      return {};
    }
  }

  void AddText(const std::string& text) {
    const Tokenizer& tokenizer = chat_.tokenizer();
    std::vector<int32_t> tokens = tokenizer.Encode(text, /*add_special=*/true);
    if (tokenizer.eos() && (tokens.empty() || tokens.back() != *tokenizer.eos()))
      tokens.push_back(*tokenizer.eos());
    const auto piece = static_cast<size_t>(options_.max_tokens);
    if (tokens.size() > piece && options_.overlong == Overlong::kDrop) return;
    for (size_t begin = 0; begin < tokens.size(); begin += piece) {
      TokenizedRow row;
      row.tokens.assign(
          tokens.begin() + static_cast<int64_t>(begin),
          tokens.begin() + static_cast<int64_t>(std::min(tokens.size(), begin + piece)));
      row.learned.assign(row.tokens.size(), 0);
      Learn(1, row.learned.size(), row);  // nothing stands before the first
      Keep(std::move(row));
    }
  }

  std::vector<TokenizedRow> rows;

 private:
  // An assistant that speaks first answers nothing, and templates know no such prompt.
  static bool IsAnswer(Messages messages, size_t i) {
    return i > 0 && messages[i].role == "assistant";
  }
  bool IsOverlong(const TokenizedRow& row) const { return row.num_tokens() > options_.max_tokens; }

  // All turns marked in one row; nothing where the template rewrites earlier ones.
  Result<std::optional<TokenizedRow>> MarkAll(Messages messages) const {
    HEARTH_ASSIGN_OR_RETURN(const jinja::Text whole, chat_.Render(messages, false));
    TokenizedRow row;
    row.tokens = chat_.Encode(whole);
    row.learned.assign(row.tokens.size(), 0);
    for (size_t i = 0; i < messages.size(); ++i) {
      if (!IsAnswer(messages, i)) continue;
      HEARTH_ASSIGN_OR_RETURN(const Answered turn, MarkAnswer(chat_, messages.first(i + 1), false));
      if (CommonPrefix(turn.tokens, row.tokens) < turn.end) return std::nullopt;
      Learn(turn.begin, turn.end, row);
    }
    return row;
  }

  // One row per assistant's turn, whose history teaches nothing.
  Status AddEachTurn(const std::vector<Message>& messages) {
    for (size_t i = 0; i < messages.size(); ++i) {
      if (!IsAnswer(messages, i)) continue;
      std::vector<Message> kept(messages.begin(), messages.begin() + static_cast<int64_t>(i) + 1);
      for (;;) {
        HEARTH_ASSIGN_OR_RETURN(Answered turn, MarkAnswer(chat_, kept, options_.activated));
        TokenizedRow row;
        row.tokens = std::move(turn.tokens);
        row.learned.assign(row.tokens.size(), 0);
        row.adapter_begin = static_cast<int64_t>(turn.header);
        Learn(turn.begin, turn.end, row);
        if (IsOverlong(row) && options_.overlong == Overlong::kDropTurns && DropOldestTurn(kept))
          continue;
        Keep(std::move(row));
        break;
      }
    }
    return {};
  }

  // Cuts what lies behind the last token that teaches something, and behind max_tokens.
  void Keep(TokenizedRow row) {
    const auto last = std::ranges::find(row.learned.rbegin(), row.learned.rend(), uint8_t{1});
    auto size = static_cast<size_t>(row.learned.rend() - last);
    if (size > static_cast<size_t>(options_.max_tokens)) {
      if (options_.overlong == Overlong::kDrop) return;
      size = static_cast<size_t>(options_.max_tokens);
    }
    row.tokens.resize(size);
    row.learned.resize(size);
    if (row.num_learned() == 0) return;
    if (options_.learn_prompts) Learn(1, size, row);
    rows.push_back(std::move(row));
  }

  const ChatTokenizer& chat_;
  const RowOptions& options_;
};

}  // namespace

int64_t TokenizedRow::num_learned() const { return std::ranges::count(learned, uint8_t{1}); }

Result<std::vector<TokenizedRow>> TokenizeConversation(const ChatTokenizer& chat,
                                                       const Conversation& conversation,
                                                       const RowOptions& options) {
  if (options.max_tokens < 2)
    return MakeError(ErrorCode::kInvalidArgument,
                     "rows of at most " + std::to_string(options.max_tokens) +
                         " tokens teach nothing; at least 2 are needed");
  RowMaker maker(chat, options);
  if (conversation.format == RowFormat::kText) {
    for (const Message& message : conversation.messages) maker.AddText(message.content);
  } else {
    HEARTH_RETURN_IF_ERROR(maker.AddConversation(conversation.messages));
  }
  return std::move(maker.rows);
}

Result<std::vector<int32_t>> AssistantHeader(const ChatTokenizer& chat) {
  const std::vector<Message> asked = {{"user", "a"}};
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text before, chat.Render(asked, false));
  HEARTH_ASSIGN_OR_RETURN(const jinja::Text prompt, chat.Render(asked, true));
  const std::vector<int32_t> tokens = chat.Encode(prompt);
  const size_t begin = CommonPrefix(chat.Encode(before), tokens);
  if (!prompt.str().starts_with(before.str()) || begin == tokens.size()) {
    return MakeError(ErrorCode::kUnsupported,
                     "the chat template writes no header for an answer to come");
  }
  return std::vector<int32_t>(tokens.begin() + static_cast<int64_t>(begin), tokens.end());
}

}  // namespace hearth::forge
