#pragma once
// What `hearth-forge generate` and a recipe's stage do: a model's conversations into a file.
// Threads: one at a time.

#include <functional>
#include <string>

#include "training/generate/conversations.h"

namespace hearth::forge {

struct GenerateFileOptions {
  std::string model;   // a GGUF file or a Hugging Face folder
  std::string output;  // JSONL; gzipped where it ends in .gz
  std::string device = "auto", dtype = "auto";
  // stop_tokens are the tokenizer's; a batch larger than there are conversations becomes that; a
  // capacity of 0 is what the questions and answers need.
  GeneratorOptions generator{.capacity = 0};
  ConversationOptions conversations;
  // Conversations written so far, and of how many (0: not known).
  std::function<void(int64_t done, int64_t of)> on_progress;
};

struct GenerateFileResult {
  ConversationStatistics conversations;
  GeneratorStatistics generator;
  std::string device;  // its name
};

// Errors: kInvalidArgument for options that make no sense, naming the field; those of the model,
// the files and torch.
Result<GenerateFileResult> GenerateFile(const GenerateFileOptions& options);

// The same without a file: all conversations, with a decoder that is there already.
struct MadeConversations {
  std::vector<MadeConversation> conversations;
  ConversationStatistics statistics;
  GeneratorStatistics generator;
};
Result<MadeConversations> GenerateAll(const Decoder& decoder, const ChatTokenizer& chat,
                                      GeneratorOptions generator,
                                      const ConversationOptions& conversations);

}  // namespace hearth::forge
