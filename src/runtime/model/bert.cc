#include "runtime/model/bert.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "runtime/model/tensor_finder.h"
#include "runtime/ops/attention.h"
#include "runtime/quant/quant.h"

namespace hearth {

Result<HParams> ReadBertHParams(const GgufFile& file) {
  HParams h;
  h.architecture = "bert";
  const auto read = [&](const char* key, int64_t most, int* target) -> Status {
    HEARTH_ASSIGN_OR_RETURN(const int64_t value, file.GetInt(key));
    if (value < 1 || value > most) {
      return MakeError(ErrorCode::kCorrupt, std::string(key) + " is " + std::to_string(value) +
                                                ", expected 1 to " + std::to_string(most));
    }
    *target = static_cast<int>(value);
    return {};
  };
  HEARTH_RETURN_IF_ERROR(read("bert.block_count", 1024, &h.num_layers));
  HEARTH_RETURN_IF_ERROR(read("bert.embedding_length", 1 << 16, &h.hidden_size));
  HEARTH_RETURN_IF_ERROR(read("bert.feed_forward_length", 1 << 20, &h.ffn_size));
  HEARTH_RETURN_IF_ERROR(read("bert.attention.head_count", 1024, &h.num_heads));
  HEARTH_RETURN_IF_ERROR(read("bert.context_length", 1 << 20, &h.context_length));
  HEARTH_ASSIGN_OR_RETURN(const double eps,
                          file.GetFloatOr("bert.attention.layer_norm_epsilon", 1e-12));
  if (!(eps >= 0 && eps < 1)) {
    return MakeError(ErrorCode::kCorrupt,
                     "bert.attention.layer_norm_epsilon is " + std::to_string(eps));
  }
  h.norm_eps = static_cast<float>(eps);
  h.num_kv_heads = h.num_heads;
  h.head_dim = h.hidden_size / h.num_heads;
  if (h.head_dim * h.num_heads != h.hidden_size || h.head_dim % 32 != 0 || h.head_dim > 256 ||
      h.ffn_size % 32 != 0) {
    return MakeError(ErrorCode::kUnsupported,
                     std::to_string(h.hidden_size) + " dimensions in " +
                         std::to_string(h.num_heads) + " heads and " + std::to_string(h.ffn_size) +
                         " inner dimensions: heads must be multiples of 32 up to 256");
  }
  const GgufTensor* words = file.FindTensor("token_embd.weight");
  if (words == nullptr)
    return MakeError(ErrorCode::kCorrupt, "tensor token_embd.weight is missing");
  if (words->num_rows() > (1u << 24))
    return MakeError(ErrorCode::kCorrupt, "token_embd.weight has too many rows");
  h.vocab_size = static_cast<int>(words->num_rows());
  return h;
}

Result<std::unique_ptr<BertEncoder>> BertEncoder::Load(const GgufFile& file, ThreadPool& pool,
                                                       const DecoderOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(HParams hparams, ReadBertHParams(file));
  std::unique_ptr<BertEncoder> encoder(new BertEncoder(file, pool, std::move(hparams)));
  HEARTH_RETURN_IF_ERROR(encoder->LoadWeights(options));
  return encoder;
}

Status BertEncoder::LoadWeights(const DecoderOptions& options) {
  const HParams& h = hparams_;
  HEARTH_ASSIGN_OR_RETURN(const int64_t pooling, file_->GetIntOr("bert.pooling_type", 1));
  if (pooling != 1 && pooling != 2) {
    return MakeError(ErrorCode::kUnsupported, "bert.pooling_type " + std::to_string(pooling) +
                                                  " is not supported (1: mean, 2: CLS)");
  }
  pooling_ = static_cast<Pooling>(pooling);
  constexpr const char* kMaxTokens = "hearth.embedding.max_tokens";
  HEARTH_ASSIGN_OR_RETURN(const int64_t max_tokens, file_->GetIntOr(kMaxTokens, h.context_length));
  if (max_tokens < 3 || max_tokens > h.context_length) {  // [CLS], a token of the text, [SEP]
    return MakeError(ErrorCode::kCorrupt, std::string(kMaxTokens) + " is " +
                                              std::to_string(max_tokens) + ", expected 3 to " +
                                              std::to_string(h.context_length));
  }
  max_tokens_ = static_cast<int>(max_tokens);
  TensorFinder find(*file_);
  HEARTH_ASSIGN_OR_RETURN(words_, find.Table("token_embd.weight", h.vocab_size, h.hidden_size));
  HEARTH_ASSIGN_OR_RETURN(positions_,
                          find.Table("position_embd.weight", h.context_length, h.hidden_size));
  types_ = file_->FindTensor("token_types.weight");
  if (types_ != nullptr && types_->num_columns() != static_cast<uint64_t>(h.hidden_size)) {
    return MakeError(ErrorCode::kCorrupt,
                     "tensor token_types.weight has shape " + ShapeText(types_->shape));
  }
  const auto norm = [&](const std::string& name, LayerNorm* target) -> Status {
    HEARTH_RETURN_IF_ERROR(find.Need(name + ".weight", h.hidden_size, &target->weight));
    return find.Need(name + ".bias", h.hidden_size, &target->bias);
  };
  HEARTH_RETURN_IF_ERROR(norm("token_embd_norm", &embedding_norm_));
  layers_.resize(h.num_layers);
  for (int i = 0; i < h.num_layers; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    Layer& layer = layers_[i];
    const auto linear = [&](const char* name, int rows, int columns, Matrix* weight,
                            std::vector<float>* bias) -> Status {
      HEARTH_RETURN_IF_ERROR(find.Need(prefix + name + ".weight", rows, columns, weight));
      return find.Need(prefix + name + ".bias", rows, bias);
    };
    HEARTH_RETURN_IF_ERROR(
        linear("attn_q", h.hidden_size, h.hidden_size, &layer.query, &layer.query_bias));
    HEARTH_RETURN_IF_ERROR(
        linear("attn_k", h.hidden_size, h.hidden_size, &layer.key, &layer.key_bias));
    HEARTH_RETURN_IF_ERROR(
        linear("attn_v", h.hidden_size, h.hidden_size, &layer.value, &layer.value_bias));
    HEARTH_RETURN_IF_ERROR(
        linear("attn_output", h.hidden_size, h.hidden_size, &layer.output, &layer.output_bias));
    HEARTH_RETURN_IF_ERROR(linear("ffn_up", h.ffn_size, h.hidden_size, &layer.up, &layer.up_bias));
    HEARTH_RETURN_IF_ERROR(
        linear("ffn_down", h.hidden_size, h.ffn_size, &layer.down, &layer.down_bias));
    HEARTH_RETURN_IF_ERROR(norm(prefix + "attn_output_norm", &layer.attention_norm));
    HEARTH_RETURN_IF_ERROR(norm(prefix + "layer_output_norm", &layer.output_norm));
  }
  HEARTH_RETURN_IF_ERROR(find.RefuseUnknown("bert"));
  HEARTH_ASSIGN_OR_RETURN(image_,
                          WeightImage::Open(*file_, find.matrices(), *pool_, options.image));
  for (size_t i = 0; i < find.targets().size(); ++i) *find.targets()[i] = image_.matrix(i);

  const int most = h.context_length;
  hidden_.Reserve(most, h.hidden_size, options.integer_activations);
  attended_.Reserve(most, h.hidden_size, options.integer_activations);
  ffn_.Reserve(most, h.ffn_size, options.integer_activations);
  for (std::vector<float>* out : {&query_out_, &key_out_, &value_out_, &projected_}) {
    out->resize(static_cast<size_t>(most) * h.hidden_size);
  }
  up_out_.resize(static_cast<size_t>(most) * h.ffn_size);
  const size_t blocks = (static_cast<size_t>(most) + kKvBlockTokens - 1) / kKvBlockTokens;
  keys_.resize(blocks * h.num_heads * KeyBlockBytes(KvStorage::kF16, h.head_dim));
  values_.resize(keys_.size());
  scratch_ = std::make_unique<MatmulScratch>(pool_->size(), std::max(h.hidden_size, h.ffn_size));
  return {};
}

std::vector<float> BertEncoder::Embed(std::span<const TokenId> tokens) {
  HEARTH_CHECK(!tokens.empty() && static_cast<int>(tokens.size()) <= hparams_.context_length);
  const auto num_tokens = static_cast<int>(tokens.size());
  hidden_.Shape(num_tokens, hparams_.hidden_size);
  attended_.Shape(num_tokens, hparams_.hidden_size);
  ffn_.Shape(num_tokens, hparams_.ffn_size);
  pool_->Run([&](Worker& worker) { Run(worker, tokens); });

  std::vector<float> embedding(hparams_.hidden_size, 0.0f);
  const int pooled = pooling_ == Pooling::kMean ? num_tokens : 1;
  for (int token = 0; token < pooled; ++token)
    Kernels().add(embedding.data(), hidden_.row(token), hparams_.hidden_size);
  const float length =
      std::sqrt(Kernels().dot(embedding.data(), embedding.data(), hparams_.hidden_size));
  for (float& value : embedding) value /= std::max(length, 1e-12f);
  return embedding;
}

void BertEncoder::Run(Worker& worker, std::span<const TokenId> tokens) {
  const auto num_tokens = static_cast<int>(tokens.size());
  worker.ForEach(num_tokens, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(hparams_.hidden_size);
    const auto add_row = [&](const GgufTensor& table, int64_t index, float* target) {
      DequantizeRow(table.type, table.data.subspan(index * table.row_bytes(), table.row_bytes()),
                    row);
      Kernels().add(target, row.data(), hparams_.hidden_size);
    };
    for (int64_t i = begin; i < end; ++i) {
      float* hidden = hidden_.row(static_cast<int>(i));
      std::fill_n(hidden, hparams_.hidden_size, 0.0f);
      add_row(*words_, tokens[i], hidden);
      add_row(*positions_, i, hidden);
      if (types_ != nullptr) add_row(*types_, 0, hidden);
      Kernels().layer_norm(hidden, embedding_norm_.weight.data(), embedding_norm_.bias.data(),
                           hparams_.norm_eps, hparams_.hidden_size, hidden);
      hidden_.Quantize(static_cast<int>(i));
    }
  });
  worker.Barrier();
  for (const Layer& layer : layers_) RunLayer(worker, layer, num_tokens);
}

void BertEncoder::RunLayer(Worker& worker, const Layer& layer, int num_tokens) {
  const HParams& h = hparams_;
  const KernelTable& kernels = Kernels();
  const auto size = static_cast<size_t>(h.hidden_size);
  const auto for_tokens = [&](auto body) {
    worker.ForEach(num_tokens, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) body(static_cast<int>(i));
    });
    worker.Barrier();
  };
  const auto multiply = [&](std::span<const MatmulJob> jobs, const Activations& x) {
    RunMatmuls(worker, jobs, x, *scratch_);
    worker.Barrier();
  };
  const auto add_and_norm = [&](int token, const std::vector<float>& bias, const LayerNorm& norm) {
    float* hidden = hidden_.row(token);
    kernels.add(hidden, &projected_[token * size], h.hidden_size);
    kernels.add(hidden, bias.data(), h.hidden_size);
    kernels.layer_norm(hidden, norm.weight.data(), norm.bias.data(), h.norm_eps, h.hidden_size,
                       hidden);
    hidden_.Quantize(token);
  };

  const MatmulJob qkv[] = {{&layer.query, query_out_.data(), size},
                           {&layer.key, key_out_.data(), size},
                           {&layer.value, value_out_.data(), size}};
  multiply(qkv, hidden_);
  const float scale = 1.0f / std::sqrt(static_cast<float>(h.head_dim));
  const size_t block_bytes = KeyBlockBytes(KvStorage::kF16, h.head_dim);
  const int num_blocks = (num_tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  for_tokens([&](int token) {
    float* query = &query_out_[token * size];
    float* key = &key_out_[token * size];
    float* value = &value_out_[token * size];
    kernels.add(query, layer.query_bias.data(), h.hidden_size);
    kernels.add(key, layer.key_bias.data(), h.hidden_size);
    kernels.add(value, layer.value_bias.data(), h.hidden_size);
    kernels.scale(query, scale, h.hidden_size);
    for (int head = 0; head < h.num_heads; ++head) {
      const size_t at =
          (static_cast<size_t>(head) * num_blocks + token / kKvBlockTokens) * block_bytes;
      kernels.store_kv(KvStorage::kF16, key + head * h.head_dim, value + head * h.head_dim,
                       h.head_dim, token % kKvBlockTokens, &keys_[at], &values_[at]);
    }
  });
  worker.ForEach(
      static_cast<int64_t>(num_tokens) * h.num_heads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          Attend(static_cast<int>(i / h.num_heads), static_cast<int>(i % h.num_heads), num_tokens);
      });
  worker.Barrier();
  for_tokens([&](int token) { attended_.Quantize(token); });
  const MatmulJob output[] = {{&layer.output, projected_.data(), size}};
  multiply(output, attended_);
  for_tokens([&](int token) { add_and_norm(token, layer.output_bias, layer.attention_norm); });
  const MatmulJob up[] = {{&layer.up, up_out_.data(), static_cast<size_t>(h.ffn_size)}};
  multiply(up, hidden_);
  for_tokens([&](int token) {
    float* inner = ffn_.row(token);
    std::copy_n(&up_out_[static_cast<size_t>(token) * h.ffn_size], h.ffn_size, inner);
    kernels.add(inner, layer.up_bias.data(), h.ffn_size);
    kernels.gelu(inner, h.ffn_size);
    ffn_.Quantize(token);
  });
  const MatmulJob down[] = {{&layer.down, projected_.data(), size}};
  multiply(down, ffn_);
  for_tokens([&](int token) { add_and_norm(token, layer.down_bias, layer.output_norm); });
}

void BertEncoder::Attend(int token, int head, int num_tokens) {
  const size_t block_bytes = KeyBlockBytes(KvStorage::kF16, hparams_.head_dim);
  const int num_blocks = (num_tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  thread_local std::vector<const std::byte*> k_blocks, v_blocks;
  k_blocks.clear();
  v_blocks.clear();
  for (int block = 0; block < num_blocks; ++block) {
    const size_t at = (static_cast<size_t>(head) * num_blocks + block) * block_bytes;
    k_blocks.push_back(&keys_[at]);
    v_blocks.push_back(&values_[at]);
  }
  const int offset = head * hparams_.head_dim;
  const float* query = &query_out_[static_cast<size_t>(token) * hparams_.hidden_size + offset];
  float* out = attended_.row(token) + offset;
  const int first = 0, end = num_tokens;
  AttendAll({KvStorage::kF16, hparams_.head_dim, 1, &query, &first, &end, k_blocks.data(),
             v_blocks.data(), 0.0f},
            &out);
}

}  // namespace hearth
