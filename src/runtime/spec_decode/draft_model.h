#pragma once
// A proposer that runs a small model of its own beside the base: same vocabulary, own weights, own
// KV cache. It draws with the base's options and noise, so that both choose the same token wherever
// their distributions are close.
// Threads: Load and all else on the engine's thread, with the engine's team.

#include <memory>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kv_cache/block_pool.h"
#include "runtime/kv_cache/kv_storage.h"
#include "runtime/model/decoder.h"
#include "runtime/spec_decode/draft_sampler.h"
#include "runtime/spec_decode/pass_costs.h"
#include "runtime/spec_decode/proposer.h"

namespace hearth {

struct DraftModelOptions {
  int max_sequences = 16;
  int max_batch_tokens = 256;              // of a prompt at once, at most
  KvStorage kv_storage = KvStorage::kF16;  // not int4
  int context_length = 8192;
  // Rows of its LM head that are computed: ids of byte-level BPE vocabularies are sorted by how
  // early they were merged, so the first are the frequent ones. 0: all.
  int max_head_rows = 0;
  bool integer_activations = true;
  WeightImageOptions image;
};

class DraftModel : public Proposer {
 public:
  // Embeddings come from `base_file` (which outlives the draft) where `file` has none. Errors:
  // those of Decoder::Load; kInvalidArgument for a model whose tokens are not the base's, naming
  // the first that differs. A file without tokens of its own is taken to have the base's.
  static Result<std::unique_ptr<DraftModel>> Load(GgufFile file, const Tokenizer& base,
                                                  const GgufFile& base_file, ThreadPool& pool,
                                                  const DraftModelOptions& options);

  std::string_view name() const override { return "draft"; }
  int64_t kv_bytes_per_block() const override;
  Status ReserveKv(int num_blocks) override;
  // Requires ReserveKv. A sequence that the draft has not read yet (a prompt) is read in bounded
  // parts, call by call, and has no guesses until then: so a long prompt holds nobody up.
  void Propose(std::span<Proposal*> proposals) override;
  void Forget(uint64_t sequence) override;

  int64_t weight_bytes() const { return decoder_->weight_bytes(); }
  // Of prompts, so far.
  int64_t num_prompt_tokens() const { return num_prompt_tokens_; }

 private:
  struct Sequence {
    std::vector<TokenId> computed;  // tokens whose K and V are in the cache
    std::vector<BlockId> blocks;
    int num_published = 0;
    DraftSampler sampler;
  };
  struct Active {
    Proposal* proposal;
    Sequence* sequence;
    std::vector<TokenId> pending;  // to be computed by the next pass
    bool took = false;             // the last guess was worth checking
  };

  DraftModel(GgufFile file, const DraftModelOptions& options)
      : file_(std::move(file)), options_(options) {}
  Sequence& Follow(const Proposal& proposal);
  bool Start(Proposal& proposal, Active& active);
  bool EnsureBlocks(Sequence& sequence, size_t num_tokens);
  void TakeKnownBlocks(Sequence& sequence, std::span<const TokenId> tokens);
  int CatchUpTokens() const;
  bool CatchUp(Proposal& proposal, Sequence& sequence, int* num_tokens);
  DraftCost Cost(size_t num_sharing) const;
  void RunPass(std::span<Active> active);
  void Publish(Sequence& sequence);

  GgufFile file_;
  DraftModelOptions options_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCacheStorage> kv_;
  std::unique_ptr<BlockPool> pool_;
  std::unordered_map<uint64_t, Sequence> sequences_;
  std::unique_ptr<DraftLogits> logits_;
  // Learned as it runs.
  PassCosts costs_;  // of passes that guess
  bool costs_known_ = false;
  double prompt_token_ms_ = 0;  // 0: not measured
  int64_t num_prompt_tokens_ = 0;
};

}  // namespace hearth
