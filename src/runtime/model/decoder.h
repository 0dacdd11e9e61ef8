#pragma once
// A decoder-only transformer: weights, and the forward pass over a batch of sequence slices. What
// differs between architectures is data in DecoderSpec, filled in by one file per architecture; the
// pass itself is written once.
//
// The pass is batch-invariant: what comes out for a token depends on its own sequence alone, bit
// for bit, however it is batched or chunked and on however many threads.
//
// Threads: a Decoder belongs to one engine thread; the pass runs on the team given to Load.

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "runtime/gguf/gguf.h"
#include "runtime/kv_cache/kv_storage.h"
#include "runtime/model/hparams.h"
#include "runtime/model/weight_image.h"
#include "runtime/ops/matmul.h"
#include "runtime/tokenizer/tokenizer.h"

namespace hearth {

enum class FfnActivation { kSilu, kGeluTanh };

// How an architecture differs from the plain pre-norm decoder.
struct DecoderSpec {
  HParams hparams;
  // pairs (2i, 2i + 1), as llama's permuted weights want; else (i, i + half)
  bool rope_interleaved = false;
  // [rope_dim / 2] divisors of the frequencies (Llama 3); empty: none
  std::vector<float> rope_factors;
  FfnActivation activation = FfnActivation::kSilu;
  float embedding_scale = 1;  // token embeddings are multiplied by it
  float attention_scale = 0;  // of the scores; 0: 1 / sqrt(head_dim)
  bool qk_norm = false;       // RMS norm of each query and key head before RoPE
  // further norms of the attention's and the FFN's output
  bool post_norms = false;
  // with a sliding window: every n-th layer sees all; 0: all layers do
  int global_every = 0;
  float local_rope_theta = 0;  // of the sliding layers; 0: as the others

  bool is_local(int layer) const { return global_every > 0 && (layer + 1) % global_every != 0; }
};

// The architectures. Each reads its own keys. Errors: as ReadHParams.
Result<DecoderSpec> LlamaSpec(const GgufFile& file);
Result<DecoderSpec> Qwen2Spec(const GgufFile& file);
Result<DecoderSpec> Qwen3Spec(const GgufFile& file);
Result<DecoderSpec> Gemma3Spec(const GgufFile& file);
// By general.architecture. Errors: kUnsupported naming an architecture that is none of these.
Result<DecoderSpec> ReadDecoderSpec(const GgufFile& file);

struct DecoderOptions {
  int max_batch_tokens = 512;
  int max_logits = 16;  // rows that one Logits call computes
  // Of the LM head only the first rows are computed, for drafts; 0: all.
  int max_head_rows = 0;
  bool integer_activations = true;
  // Where a file without token_embd.weight (a draft's) takes its embeddings: the base's. Outlives
  // the decoder.
  const GgufFile* embedding_file = nullptr;
  WeightImageOptions image;
};

// Consecutive tokens of one sequence.
struct SequenceSlice {
  std::span<const TokenId> tokens;
  int start = 0;                // position of tokens[0]
  std::span<const int> blocks;  // block table: covers positions 0 to start + tokens.size() - 1
  int num_outputs = 0;          // hidden states wanted, of the last tokens of the slice
  // [tokens.size()][hidden_size]: goes in instead of the tokens' embeddings; null: those
  const float* inputs = nullptr;
};

class Decoder {
 public:
  // `file` must outlive the decoder: embeddings are read from it. Errors: kCorrupt naming a tensor
  // that is missing or misshapen (expected and actual shape), those of the spec and of the weight
  // image.
  static Result<std::unique_ptr<Decoder>> Load(const GgufFile& file, ThreadPool& pool,
                                               const DecoderOptions& options);

  const HParams& hparams() const { return spec_.hparams; }
  KvShape kv_shape(KvStorage storage) const;
  const WeightImage& image() const { return image_; }
  // What one token costs: weights read, and multiply-adds of its products (attention left out).
  int64_t weight_bytes() const;
  int64_t macs_per_token() const;

  // Runs the slices (at most max_batch_tokens tokens, each slice another sequence or a later part
  // of one), writing their K and V. Afterwards output(i) is the normed hidden state of the i-th
  // wanted token, in order of slices.
  // Requires: token ids within the vocabulary.
  void Forward(std::span<const SequenceSlice> slices, KvCacheStorage& kv);
  int num_outputs() const { return num_outputs_; }
  std::span<const float> output(int index) const;
  // The same before the final norm.
  std::span<const float> raw_output(int index) const;

  // Passes from now on keep the hidden states behind these layers, for heads that read them.
  // Requires: layers of this model.
  void SetTapLayers(std::vector<int> layers);
  // Of the last pass: of token `row`, counted over its slices in order, behind layer
  // tap_layers[index].
  std::span<const float> tap(int index, int row) const;

  // A draft's head may cover a part of the vocabulary: logit i is that of token head_ids()[i] (the
  // key hearth.draft.token_ids), or of token i where that is empty.
  size_t num_logits() const { return static_cast<size_t>(head_.num_rows); }
  std::span<const TokenId> head_ids() const { return head_ids_; }

  // The token's embedding, [hidden_size], as the first layer gets it.
  void Embed(TokenId token, std::span<float> out) const;

  int max_batch_tokens() const { return options_.max_batch_tokens; }
  int max_logits() const { return options_.max_logits; }
  // Logits [count][num_logits] of outputs first to first + count - 1, count <= max_logits; row i
  // begins at i * logits_stride(). Valid until the next call.
  const float* Logits(int first, int count);
  size_t logits_stride() const { return head_.padded_rows(); }

 private:
  struct Layer {
    std::vector<float> attention_norm, ffn_norm, query_norm, key_norm, post_attention_norm,
        post_ffn_norm;
    std::vector<float> query_bias, key_bias, value_bias, output_bias;
    Matrix query, key, value, output, gate, up, down;
  };
  struct AttentionTask {  // some tokens of one slice, for every KV head
    int slice, first_row, num_tokens, start;
  };
  class Pass;

  Decoder(const GgufFile& file, ThreadPool& pool, DecoderSpec spec, const DecoderOptions& options)
      : file_(&file), pool_(&pool), spec_(std::move(spec)), options_(options) {}
  Status LoadWeights();
  Status ReadHeadIds();
  Status FindEmbedding();
  float* TapRow(ptrdiff_t index, int row);
  void Reserve();
  template <typename Visit>
  void ForEachMatrix(Visit visit) const;

  const GgufFile* file_;
  ThreadPool* pool_;
  DecoderSpec spec_;
  DecoderOptions options_;
  const GgufTensor* embedding_ = nullptr;
  WeightImage image_;
  std::vector<Layer> layers_;
  std::vector<float> output_norm_;
  Matrix head_;
  std::vector<TokenId> head_ids_;
  std::vector<float> inverse_frequencies_, local_inverse_frequencies_;  // [rope_dim / 2]

  // Work space of a pass, [max_batch_tokens][...].
  std::vector<float> hidden_, query_out_, key_out_, value_out_, projected_, rope_, local_rope_;
  std::vector<float> outputs_, raw_outputs_, logits_;
  std::vector<int> tap_layers_;
  std::vector<float> taps_;  // [tap_layers][max_batch_tokens][hidden_size]
  Activations normed_, attended_, ffn_, head_in_;
  std::vector<AttentionState> attention_states_;  // of splits that are worked on side by side
  std::unique_ptr<MatmulScratch> scratch_;
  int num_outputs_ = 0;
};

}  // namespace hearth
