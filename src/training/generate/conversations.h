#pragma once
// Conversations that a model makes by itself: given only what its chat template writes before a
// user's text, it invents a question; then it answers, at temperature 0 or above. Or it answers
// questions that are given. What a draft or a compressed model learns from: the base's own words,
// as the tokens that it chose.
// Threads: one at a time.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "training/data/chat_tokenizer.h"
#include "training/generate/generator.h"

namespace hearth::forge {

struct ConversationOptions {
  int64_t num_invented = 0;  // conversations with questions of the model's own
  // Files of rows (rows.h) whose conversations up to the first assistant's turn are answered, each
  // so many times; 0 < num_given: the first so many of all files.
  std::vector<std::string> prompt_files;
  int64_t answers_per_prompt = 1;
  int64_t num_given = 0;

  double question_temperature = 1;
  double answer_temperature = 0.7;
  double greedy_share = 0.5;  // of the answers, at temperature 0 instead
  double top_p = 1;           // needs GeneratorOptions::use_top_p
  int64_t max_question_tokens = 256;
  int64_t max_answer_tokens = 512;
  uint64_t seed = 0;
};

struct MadeConversation {
  std::vector<Message> messages;  // the answer last
  std::vector<int32_t> tokens;    // all of it, the answer's as the model chose them
  int64_t answer_begin = 0;       // in tokens
  double temperature = 0;         // of the answer
  bool ended = false;             // by the model itself
};

struct ConversationStatistics {
  int64_t conversations = 0;
  int64_t tokens = 0;  // of the conversations written
  int64_t answer_tokens = 0;
  int64_t questions_dropped = 0;  // empty, or without an end; others were made in their place
  int64_t prompts_dropped = 0;    // rows that cannot be read, or too long
};

// One line without its end: {"messages": [...], "tokens": [...], "answer_begin": N, "temperature":
// T, "ended": true}. ReadTokenRows (token_rows.h) reads the tokens as they are.
std::string ToJsonLine(const MadeConversation& conversation);

// Every token that ends an answer, of the tokenizer.
std::vector<int32_t> StopTokens(const ChatTokenizer& chat);
// What the template writes before a user's first words. Errors: those of the template;
// kUnsupported for one that does not show them.
Result<std::vector<int32_t>> UserHeader(const ChatTokenizer& chat);

// Calls `sink` for each conversation in an order that does not depend on the batch: given ones
// first. Errors: those of the files, the generator, the template and the sink.
Result<ConversationStatistics> MakeConversations(
    Generator& generator, const ChatTokenizer& chat, const ConversationOptions& options,
    const std::function<Status(const MadeConversation&)>& sink);

}  // namespace hearth::forge
