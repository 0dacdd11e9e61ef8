#pragma once
// Asks a Backend, our engine as a rule.

#include "eval/models/answerer.h"

namespace hearth::eval {

class BackendAnswerer : public Answerer {
 public:
  // `backend` outlives it.
  explicit BackendAnswerer(Backend& backend, StopCheck stop = {});

  std::string id() const override { return backend_->card().id; }
  Result<ModelAnswer> Ask(const Question& question) override;
  bool shows_tools() const override { return shows_tools_; }

 private:
  Backend* backend_;
  StopCheck stop_;
  bool shows_tools_;
};

// Log-probabilities (natural) of tokens[1], tokens[2], ... of a text that runs through `backend`
// once. Errors: as Backend::Generate; kCancelled.
Result<std::vector<float>> ScoreTokens(Backend& backend, std::vector<TokenId> tokens,
                                       const StopCheck& stop);

}  // namespace hearth::eval
