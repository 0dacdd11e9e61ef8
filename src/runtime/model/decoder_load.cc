// Finding, checking and re-laying a decoder's tensors.

#include <cmath>

#include "base/check.h"
#include "runtime/model/decoder.h"
#include "runtime/model/tensor_finder.h"

namespace hearth {
namespace {

// 1 / theta^(2i / dim), rounded to float at each step as the reference implementations do.
std::vector<float> InverseFrequencies(float theta, int rope_dim, float linear_factor,
                                      const std::vector<float>& factors) {
  std::vector<float> frequencies(rope_dim / 2);
  for (int i = 0; i < rope_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope_dim);
    float frequency = 1.0f / std::pow(theta, exponent);
    if (!factors.empty()) frequency /= factors[i];
    frequencies[i] = frequency / linear_factor;
  }
  return frequencies;
}

}  // namespace

Result<DecoderSpec> ReadDecoderSpec(const GgufFile& file) {
  HEARTH_ASSIGN_OR_RETURN(const std::string architecture, file.GetString("general.architecture"));
  if (architecture == "llama") return LlamaSpec(file);
  if (architecture == "qwen2") return Qwen2Spec(file);
  if (architecture == "qwen3") return Qwen3Spec(file);
  if (architecture == "gemma3") return Gemma3Spec(file);
  return MakeError(ErrorCode::kUnsupported,
                   "architecture '" + architecture +
                       "' is not supported (supported: llama, qwen2, qwen3, gemma3, bert)");
}

Result<std::unique_ptr<Decoder>> Decoder::Load(const GgufFile& file, ThreadPool& pool,
                                               const DecoderOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(DecoderSpec spec, ReadDecoderSpec(file));
  std::unique_ptr<Decoder> decoder(new Decoder(file, pool, std::move(spec), options));
  HEARTH_RETURN_IF_ERROR(decoder->LoadWeights());
  decoder->Reserve();
  return decoder;
}

Status Decoder::LoadWeights() {
  const HParams& h = spec_.hparams;
  const int q_size = h.num_heads * h.head_dim, kv_size = h.num_kv_heads * h.head_dim;
  TensorFinder find(*file_);
  layers_.resize(h.num_layers);
  for (int i = 0; i < h.num_layers; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    Layer& layer = layers_[i];
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "attn_norm.weight", h.hidden_size, &layer.attention_norm));
    HEARTH_RETURN_IF_ERROR(find.Need(prefix + "ffn_norm.weight", h.hidden_size, &layer.ffn_norm));
    if (spec_.qk_norm) {
      HEARTH_RETURN_IF_ERROR(
          find.Need(prefix + "attn_q_norm.weight", h.head_dim, &layer.query_norm));
      HEARTH_RETURN_IF_ERROR(find.Need(prefix + "attn_k_norm.weight", h.head_dim, &layer.key_norm));
    }
    if (spec_.post_norms) {
      HEARTH_RETURN_IF_ERROR(find.Need(prefix + "post_attention_norm.weight", h.hidden_size,
                                       &layer.post_attention_norm));
      HEARTH_RETURN_IF_ERROR(
          find.Need(prefix + "post_ffw_norm.weight", h.hidden_size, &layer.post_ffn_norm));
    }
    HEARTH_RETURN_IF_ERROR(find.Optional(prefix + "attn_q.bias", q_size, &layer.query_bias));
    HEARTH_RETURN_IF_ERROR(find.Optional(prefix + "attn_k.bias", kv_size, &layer.key_bias));
    HEARTH_RETURN_IF_ERROR(find.Optional(prefix + "attn_v.bias", kv_size, &layer.value_bias));
    HEARTH_RETURN_IF_ERROR(
        find.Optional(prefix + "attn_output.bias", h.hidden_size, &layer.output_bias));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "attn_q.weight", q_size, h.hidden_size, &layer.query));
    HEARTH_RETURN_IF_ERROR(find.Need(prefix + "attn_k.weight", kv_size, h.hidden_size, &layer.key));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "attn_v.weight", kv_size, h.hidden_size, &layer.value));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "attn_output.weight", h.hidden_size, q_size, &layer.output));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "ffn_gate.weight", h.ffn_size, h.hidden_size, &layer.gate));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "ffn_up.weight", h.ffn_size, h.hidden_size, &layer.up));
    HEARTH_RETURN_IF_ERROR(
        find.Need(prefix + "ffn_down.weight", h.hidden_size, h.ffn_size, &layer.down));
  }
  HEARTH_RETURN_IF_ERROR(find.Need("output_norm.weight", h.hidden_size, &output_norm_));
  HEARTH_RETURN_IF_ERROR(FindEmbedding());
  // Tied models have no head of their own.
  const char* head_name =
      file_->FindTensor("output.weight") != nullptr ? "output.weight" : "token_embd.weight";
  HEARTH_RETURN_IF_ERROR(ReadHeadIds());
  const auto head_rows = head_ids_.empty() ? h.vocab_size : static_cast<int>(head_ids_.size());
  HEARTH_RETURN_IF_ERROR(find.Need(head_name, head_rows, h.hidden_size, &head_));
  HEARTH_RETURN_IF_ERROR(find.RefuseUnknown(h.architecture));

  HEARTH_ASSIGN_OR_RETURN(image_,
                          WeightImage::Open(*file_, find.matrices(), *pool_, options_.image));
  for (size_t i = 0; i < find.targets().size(); ++i) *find.targets()[i] = image_.matrix(i);
  if (options_.max_head_rows > 0) head_.num_rows = std::min(head_.num_rows, options_.max_head_rows);

  inverse_frequencies_ =
      InverseFrequencies(h.rope_theta, h.rope_dim, h.rope_linear_factor, spec_.rope_factors);
  const float local_theta = spec_.local_rope_theta > 0 ? spec_.local_rope_theta : h.rope_theta;
  local_inverse_frequencies_ = InverseFrequencies(local_theta, h.rope_dim, 1, {});
  return {};
}

// Errors: kCorrupt for a table that is missing or does not fit.
Status Decoder::FindEmbedding() {
  const HParams& h = spec_.hparams;
  embedding_ = file_->FindTensor("token_embd.weight");
  if (embedding_ == nullptr && options_.embedding_file != nullptr)
    embedding_ = options_.embedding_file->FindTensor("token_embd.weight");
  if (embedding_ == nullptr)
    return MakeError(ErrorCode::kCorrupt, "tensor token_embd.weight is missing");
  if (embedding_->num_columns() != static_cast<uint64_t>(h.hidden_size) ||
      embedding_->num_rows() < static_cast<uint64_t>(h.vocab_size)) {
    return MakeError(ErrorCode::kCorrupt, "tensor token_embd.weight has shape " +
                                              ShapeText(embedding_->shape) + ", expected [" +
                                              std::to_string(h.hidden_size) + ", " +
                                              std::to_string(h.vocab_size) + "]");
  }
  return {};
}

// Errors: kCorrupt for a key of the wrong type or an id outside the vocabulary.
Status Decoder::ReadHeadIds() {
  constexpr const char* kKey = "hearth.draft.token_ids";
  if (!file_->Has(kKey)) return {};
  HEARTH_ASSIGN_OR_RETURN(const std::vector<int64_t>* ids, file_->GetIntArray(kKey));
  for (const int64_t id : *ids) {
    if (id < 0 || id >= spec_.hparams.vocab_size) {
      return MakeError(ErrorCode::kCorrupt, std::string(kKey) + " names token " +
                                                std::to_string(id) + " of " +
                                                std::to_string(spec_.hparams.vocab_size));
    }
    head_ids_.push_back(static_cast<TokenId>(id));
  }
  if (head_ids_.empty()) return MakeError(ErrorCode::kCorrupt, std::string(kKey) + " is empty");
  return {};
}

void Decoder::Reserve() {
  const HParams& h = spec_.hparams;
  const size_t tokens = options_.max_batch_tokens;
  const int q_size = h.num_heads * h.head_dim, kv_size = h.num_kv_heads * h.head_dim;
  hidden_.resize(tokens * h.hidden_size);
  query_out_.resize(tokens * q_size);
  key_out_.resize(tokens * kv_size);
  value_out_.resize(tokens * kv_size);
  projected_.resize(tokens * h.hidden_size);
  rope_.resize(tokens * h.rope_dim * 2);
  local_rope_.resize(spec_.global_every > 0 ? tokens * h.rope_dim * 2 : 0);
  outputs_.resize(tokens * h.hidden_size);
  raw_outputs_.resize(tokens * h.hidden_size);
  logits_.resize(static_cast<size_t>(options_.max_logits) * head_.padded_rows());
  normed_.Reserve(options_.max_batch_tokens, h.hidden_size, options_.integer_activations);
  attended_.Reserve(options_.max_batch_tokens, q_size, options_.integer_activations);
  const bool floats_after_gate =
      !options_.integer_activations ||
      std::ranges::any_of(layers_, [](const Layer& layer) { return layer.down.is_float(); });
  ffn_.Reserve(options_.max_batch_tokens, h.ffn_size, options_.integer_activations,
               floats_after_gate);
  head_in_.Reserve(options_.max_logits, h.hidden_size, options_.integer_activations);
  scratch_ =
      std::make_unique<MatmulScratch>(pool_->size(), std::max({h.hidden_size, q_size, h.ffn_size}),
                                      h.ffn_size, options_.max_batch_tokens);
}

template <typename Visit>
void Decoder::ForEachMatrix(Visit visit) const {
  for (const Layer& layer : layers_) {
    for (const Matrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate,
                                 &layer.up, &layer.down}) {
      visit(*matrix);
    }
  }
  visit(head_);
}

int64_t Decoder::weight_bytes() const {
  int64_t bytes = 0;
  ForEachMatrix(
      [&](const Matrix& m) { bytes += static_cast<int64_t>(m.strip_bytes) * m.num_strips(); });
  return bytes;
}

int64_t Decoder::macs_per_token() const {
  int64_t macs = 0;
  ForEachMatrix([&](const Matrix& m) { macs += static_cast<int64_t>(m.num_rows) * m.num_columns; });
  return macs;
}

KvShape Decoder::kv_shape(KvStorage storage) const {
  const HParams& h = spec_.hparams;
  return {h.num_layers, h.num_kv_heads, h.head_dim, storage};
}

}  // namespace hearth
