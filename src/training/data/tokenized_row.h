#pragma once
// A conversation -> tokens with marks: which of them the loss counts, and where an activated
// adapter works.
//
// Counted are an assistant's tokens from behind its header to the end-of-turn token, that one
// included; what a template writes behind it (chatml's newline) is not, and a row ends with its
// last counted token. The header is what the template adds for an answer to come, so the marks are
// exact for any template whose answers continue that header. Where a template shows an earlier turn
// differently once another follows (reasoning left out), the conversation becomes one row per
// assistant turn, each as the model would have seen it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/data/chat_tokenizer.h"

namespace hearth::forge {

struct TokenizedRow {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> learned;  // [num_tokens] 1: the loss counts how this token is predicted
  // The adapter works on tokens from here on; 0 for one that is not activated.
  int64_t adapter_begin = 0;

  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t num_learned() const;
};

enum class Overlong {
  kCut,  // the end is left out; a row that then teaches nothing is left out whole
  kDrop,
  kDropTurns,  // the oldest turns go first (not a system message), then the end
};

struct RowOptions {
  int64_t max_tokens = 2048;
  Overlong overlong = Overlong::kCut;
  // For an activated adapter: one row per assistant turn, its history under the base, the adapter
  // from the first token of the assistant's last header on (peft's alora_invocation_tokens).
  bool activated = false;
  bool learn_prompts =
      false;  // the loss counts every token but the first (axolotl's train_on_inputs)
};

// A row of plain text becomes pieces of at most max_tokens, every token learned, EOS at its end.
// No rows: nothing fits. Errors: kUnsupported when the template writes answers that do not continue
// the header; kInvalidArgument for a conversation without an assistant's turn, those of the
// template.
Result<std::vector<TokenizedRow>> TokenizeConversation(const ChatTokenizer& chat,
                                                       const Conversation& conversation,
                                                       const RowOptions& options);

// The tokens that begin every answer ("<|im_start|>assistant\n"): what an activated adapter is
// invoked by. Errors: those of the template; kUnsupported where it writes no header.
Result<std::vector<int32_t>> AssistantHeader(const ChatTokenizer& chat);

}  // namespace hearth::forge
