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
#include "runtime/spec_decode/proposer.h"

namespace hearth {

struct DraftModelOptions {
  int max_sequences = 16;
  int max_batch_tokens = 256;
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
  void Propose(std::span<Proposal*> proposals) override;
  void Forget(uint64_t sequence) override;

  int64_t weight_bytes() const { return decoder_->weight_bytes(); }

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
  bool Start(Proposal& proposal, Active& active);
  bool EnsureBlocks(Sequence& sequence, size_t num_tokens);
  void Truncate(Sequence& sequence, size_t num_tokens);
  void RunPass(std::span<Active> active);
  void ComputePrompt(Active& active);
  void Publish(Sequence& sequence);

  GgufFile file_;
  DraftModelOptions options_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<KvCacheStorage> kv_;
  std::unique_ptr<BlockPool> pool_;
  std::unordered_map<uint64_t, Sequence> sequences_;
  std::unique_ptr<DraftLogits> logits_;
  double step_ms_ = 0;  // of a pass over one token a sequence, learned
};

}  // namespace hearth
