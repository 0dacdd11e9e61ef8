#pragma once
// BERT encoders for sentence embeddings (all-MiniLM-L6-v2): post-norm, bidirectional, learnt
// positions; mean or CLS pooling and unit length. Source: Devlin et al. 2019; Reimers and Gurevych
// 2019; tensor names as llama.cpp's converter writes them.
// Threads: one call at a time; the pass runs on the team given to Load.

#include <memory>
#include <span>
#include <vector>

#include "runtime/model/decoder.h"

namespace hearth {

// bert.* keys. Errors: as ReadHParams.
Result<HParams> ReadBertHParams(const GgufFile& file);

class BertEncoder {
 public:
  // `file` must outlive the encoder. Errors: as Decoder::Load.
  static Result<std::unique_ptr<BertEncoder>> Load(const GgufFile& file, ThreadPool& pool,
                                                   const DecoderOptions& options);

  const HParams& hparams() const { return hparams_; }
  const WeightImage& image() const { return image_; }
  // Tokens, [CLS] and [SEP] included, after which the model's authors cut a text off: the key
  // hearth.embedding.max_tokens (docs/formats/embedding_keys.md), else the context's length.
  int max_tokens() const { return max_tokens_; }

  // The embedding [hidden_size] of one text, unit length. Requires 1 to context_length tokens of
  // the vocabulary, [CLS] and [SEP] included.
  std::vector<float> Embed(std::span<const TokenId> tokens);

 private:
  enum class Pooling { kMean = 1, kCls = 2 };
  struct LayerNorm {
    std::vector<float> weight, bias;
  };
  struct Layer {
    Matrix query, key, value, output, up, down;
    std::vector<float> query_bias, key_bias, value_bias, output_bias, up_bias, down_bias;
    LayerNorm attention_norm, output_norm;
  };

  BertEncoder(const GgufFile& file, ThreadPool& pool, HParams hparams)
      : file_(&file), pool_(&pool), hparams_(std::move(hparams)) {}
  Status LoadWeights(const DecoderOptions& options);
  void Run(Worker& worker, std::span<const TokenId> tokens);
  void RunLayer(Worker& worker, const Layer& layer, int num_tokens);
  void Attend(int token, int head, int num_tokens);

  const GgufFile* file_;
  ThreadPool* pool_;
  HParams hparams_;
  Pooling pooling_ = Pooling::kMean;
  int max_tokens_ = 0;
  WeightImage image_;
  const GgufTensor *words_ = nullptr, *types_ = nullptr, *positions_ = nullptr;
  LayerNorm embedding_norm_;
  std::vector<Layer> layers_;

  // [num_tokens][...], sized by the text at hand.
  std::vector<float> query_out_, key_out_, value_out_, projected_, up_out_;
  std::vector<std::byte> keys_, values_;  // one layer's, [head][block]
  Activations hidden_, attended_, ffn_;
  std::unique_ptr<MatmulScratch> scratch_;
};

}  // namespace hearth
