#pragma once
// How the choices of an answer are written: as chat completion or as text completion, in pieces or
// whole. Threads: one at a time.

#include <memory>
#include <string>
#include <vector>

#include "brain/backend.h"
#include "server/openai/json.h"

namespace hearth::openai {

// One choice of an answer as far as it has come. Whole answers gather everything here; streams
// leave text and tokens empty.
struct Choice {
  int index = 0;
  bool begun = false;  // a stream has sent its first piece
  bool finished = false;
  FinishReason finish_reason = FinishReason::kStop;
  std::string text;
  std::vector<GeneratedToken> prompt_tokens;
  std::vector<GeneratedToken> tokens;
  int64_t text_offset =
      0;  // characters written so far, for the log-probabilities of text completion
  GenerateStats stats;
};

class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  virtual std::string IdPrefix() const = 0;
  virtual std::string ObjectName(bool stream) const = 0;
  // An entry of `choices` for a whole answer.
  virtual OrderedJson Whole(Choice& choice) const = 0;
  // Entries for the pieces of a stream that an event makes: none, one, or two (the second with the
  // finish reason).
  virtual std::vector<OrderedJson> Pieces(Choice& choice, const GenerateEvent& event) const = 0;
};

// `with_logprobs`: the client asked for them. `backend` outlives the format.
std::unique_ptr<AnswerFormat> MakeChatFormat(const Backend& backend, bool with_logprobs);

// What a text completion repeats of each prompt; empty: none. Choice i belongs to prompt i / n.
struct Echo {
  std::string text;
  TokenId first_token = 0;  // the one token of a prompt that no probability belongs to
};
std::unique_ptr<AnswerFormat> MakeCompletionFormat(const Backend& backend, bool with_logprobs,
                                                   int n, std::vector<Echo> echoes);

// "stop" or "length".
std::string FinishReasonName(FinishReason reason);

}  // namespace hearth::openai
