#pragma once
// Rules that name what is wrong with a row of instruction data. They are made for conversations:
// short answers, code, lists and tables are fine; the thresholds for web pages (Gopher's) are not
// used. A rule speaks only where the fault is plain; doubtful rows are the classifier's.
// Threads: pure functions.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "training/data/rows.h"

namespace hearth::forge {

struct QualityLimits {
  int64_t min_answer_chars = 1;       // letters and digits of an answer
  int64_t max_answer_chars = 32'000;  // bytes
  int64_t max_chars = 200'000;        // bytes of the whole conversation
  // Conversations without any answer are prompts for data that a model makes itself.
  bool keep_prompts = true;
};

// The reason's name, as ledgers have it, and what was seen.
struct Fault {
  std::string_view reason;
  std::string detail;
};

// The first rule that the conversation breaks, in this order:
//   no_answer            no assistant message (only where prompts are not kept)
//   empty_prompt         a user message without letter, digit or symbol, or none
//   empty_answer         an answer without any character that shows
//   placeholder_answer   "N/A", "<noinput>", "lorem ipsum", ... is all there is
//   answer_too_short     fewer letters and digits than min_answer_chars, and no symbol
//   answer_too_long, too_long
//   garbage_characters   control characters, U+FFFD, private use; broken encodings
//   template_leak        another turn's markers inside an answer ("<|im_start|>", "[INST]", ...)
//   refusal              every answer only declines or says what the model is
//   answer_repeats_prompt
//   repetition           loops of lines or words
//   truncated            a code fence left open; prose that ends on a comma or in "the"
std::optional<Fault> FindFault(const Conversation& conversation, const QualityLimits& limits);

// Ends of text that tokenizers write ("<|endoftext|>", "</s>", "<|im_end|>", ...) at the end of an
// answer are no part of it. Returns how many answers lost one.
int64_t StripEndMarkers(Conversation& conversation);

}  // namespace hearth::forge
