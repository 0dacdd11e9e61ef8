#pragma once
// Two models over the same tokens: how far the next-token distributions of one are from those of
// the other, its source before compression as a rule. Threads: one at a time.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/kv_check.h"

namespace hearth {

class ModelPair {
 public:
  // Of `options` the threads, KV type (of the model; the reference's is f16), activations and cache
  // folder count. Errors: as Engine::Load for either file; kInvalidArgument when their vocabularies
  // differ (says how).
  static Result<std::unique_ptr<ModelPair>> Load(const std::string& reference_path,
                                                 const std::string& path,
                                                 const EngineOptions& options);
  ~ModelPair();

  // With BOS where the tokenizer adds one.
  std::vector<TokenId> Encode(std::string_view text) const;

  // What follows each token from position `first` on; `nll` is the reference's, `nll_reduced` the
  // model's. Errors: kInvalidArgument unless 0 <= first < tokens.size() - 1; kResourceExhausted.
  Result<KvAgreement> Compare(std::span<const TokenId> tokens, int first);

 private:
  struct Impl;
  explicit ModelPair(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
