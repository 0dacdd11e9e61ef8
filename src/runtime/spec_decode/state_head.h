#pragma once
// A proposer of one decoder layer that reads the base's hidden states: behind some of the base's
// layers, fused, beside the embedding of the token that came next; its own output stands in for the
// states of places that the base has not computed. Much cheaper than a model of its own, and better
// informed.
// Source: Li et al. 2025, EAGLE-3 (arXiv 2503.01840). Format: docs/formats/draft_head.md.
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

struct StateHeadOptions {
  int max_sequences = 16;
  int max_batch_tokens = 256;
  KvStorage kv_storage = KvStorage::kF16;  // not int4
  int context_length = 8192;
  bool integer_activations = true;
  WeightImageOptions image;
};

class StateHead : public Proposer {
 public:
  // Whether a file is such a head (it has the key hearth.head.tap_layers).
  static bool IsOne(const GgufFile& file);
  // `base` (which outlives the head) begins to keep the states that it reads; embeddings come from
  // `base_file` unless the head's file has its own. Errors: those of Decoder::Load; kCorrupt for
  // tensors that are missing or misshapen; kInvalidArgument for a head made for another base
  // (hidden size, vocabulary, layers: named with both values).
  static Result<std::unique_ptr<StateHead>> Load(GgufFile file, Decoder& base,
                                                 const GgufFile& base_file, ThreadPool& pool,
                                                 const StateHeadOptions& options);

  std::string_view name() const override { return "head"; }
  int64_t kv_bytes_per_block() const override;
  Status ReserveKv(int num_blocks) override;
  void Observe(std::span<const ObservedSlice> slices) override;
  void Propose(std::span<Proposal*> proposals) override;
  void Forget(uint64_t sequence) override;

  int64_t weight_bytes() const;

 private:
  // Slot s of a sequence stands for the base's position first + s: its input is the state there and
  // the token after it, its output guesses the token after that.
  struct Sequence {
    int first = -1;             // -1: nothing observed yet
    int num_computed = 0;       // slots computed from the base's own states
    std::vector<float> states;  // of the slots behind those, [slots][tap_layers][hidden_size]
    std::vector<BlockId> blocks;
    DraftSampler sampler;
  };
  struct Active {
    Proposal* proposal;
    Sequence* sequence;
    int start = 0;                 // slot of pending[0]
    std::vector<TokenId> pending;  // the tokens of the slots to compute
    std::vector<float> states;     // fused, [pending.size()][hidden_size]
    bool took = false;             // the last guess was worth checking
  };

  StateHead(GgufFile file, Decoder& base, ThreadPool& pool, const StateHeadOptions& options)
      : file_(std::move(file)), base_(base), pool_(&pool), options_(options) {}
  Status LoadWeights(const WeightImageOptions& image);
  int StateSize() const;
  void Reset(Sequence& sequence, int first);
  bool Start(Proposal& proposal, Active& active);
  void Fuse(std::span<const float> taps, int count, std::vector<float>* fused);
  void RunPass(std::span<Active> active, int num_outputs);
  DraftCost Cost(size_t num_sharing) const;

  GgufFile file_;
  Decoder& base_;
  ThreadPool* pool_;
  StateHeadOptions options_;
  std::vector<int> tap_layers_;
  std::unique_ptr<Decoder> decoder_;
  WeightImage image_;
  Matrix fuse_, join_;
  std::vector<float> token_norm_, state_norm_;
  std::unique_ptr<KvCacheStorage> kv_;
  std::unique_ptr<BlockPool> blocks_;
  std::unique_ptr<DraftLogits> logits_;
  std::unordered_map<uint64_t, Sequence> sequences_;
  PassCosts costs_;  // of passes that guess, learned
  bool costs_known_ = false;

  // Work space.
  Activations fuse_in_, join_in_;
  std::vector<float> fused_, inputs_;
  std::unique_ptr<MatmulScratch> scratch_;
};

}  // namespace hearth
