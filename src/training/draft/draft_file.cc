// Draft::Save and Draft::Load: the format of docs/formats/draft_head.md.

#include <algorithm>
#include <string>
#include <utility>

#include "runtime/gguf/gguf.h"
#include "runtime/gguf/gguf_writer.h"
#include "training/draft/draft.h"
#include "training/export/gguf_tensors.h"
#include "training/model/gguf_tensor.h"

namespace hearth::forge {
namespace {

constexpr const char* kTapLayers = "hearth.head.tap_layers";
constexpr const char* kTokenIds = "hearth.draft.token_ids";

void SetConfig(const DecoderConfig& c, GgufWriter& writer) {
  const std::string prefix = c.architecture + ".";
  const auto set = [&](const char* key, int64_t value) {
    writer.SetUint32(prefix + key, static_cast<uint32_t>(value));
  };
  writer.SetString("general.architecture", c.architecture);
  set("block_count", c.num_layers);
  set("context_length", c.context_length);
  set("embedding_length", c.hidden_size);
  set("feed_forward_length", c.ffn_size);
  set("attention.head_count", c.num_heads);
  set("attention.head_count_kv", c.num_kv_heads);
  set("attention.key_length", c.head_dim);
  set("attention.value_length", c.head_dim);
  set("rope.dimension_count", c.head_dim);
  set("vocab_size", c.vocab_size);
  writer.SetFloat32(prefix + "attention.layer_norm_rms_epsilon", static_cast<float>(c.norm_eps));
  writer.SetFloat32(prefix + "rope.freq_base", static_cast<float>(c.rope_theta));
  if (c.rope_linear_factor != 1) {
    writer.SetString(prefix + "rope.scaling.type", "linear");
    writer.SetFloat32(prefix + "rope.scaling.factor", static_cast<float>(c.rope_linear_factor));
  }
}

bool IsQueryOrKey(const std::string& name) {
  return name.find(".attn_q.") != std::string::npos || name.find(".attn_k.") != std::string::npos;
}

// Not 0 where GGUF has the rows of a head interleaved.
int64_t InterleavedHeadDim(const DecoderConfig& config, const std::string& name) {
  return config.architecture == "llama" && IsQueryOrKey(name) ? config.head_dim : 0;
}

Result<std::vector<int32_t>> ReadInts(const GgufFile& file, const char* key, int64_t end) {
  HEARTH_ASSIGN_OR_RETURN(const auto* values, file.GetIntArray(key));
  std::vector<int32_t> ints;
  for (const int64_t value : *values) {
    if (value < 0 || value >= end)
      return MakeError(ErrorCode::kCorrupt, file.path() + ": " + key + " holds " +
                                                std::to_string(value) + ", the base has " +
                                                std::to_string(end));
    ints.push_back(static_cast<int32_t>(value));
  }
  return ints;
}

// A key that must be the base's.
Status CheckKey(const GgufFile& file, const std::string& key, int64_t expected) {
  HEARTH_ASSIGN_OR_RETURN(const int64_t value, file.GetInt(key));
  if (value == expected) return {};
  return MakeError(ErrorCode::kCorrupt, file.path() + ": " + key + " is " + std::to_string(value) +
                                            ", the base's is " + std::to_string(expected));
}

Result<int64_t> ReadSize(const GgufFile& file, const std::string& key, int64_t most) {
  HEARTH_ASSIGN_OR_RETURN(const int64_t value, file.GetInt(key));
  if (value >= 1 && value <= most) return value;
  return MakeError(ErrorCode::kCorrupt, file.path() + ": " + key + " is " + std::to_string(value));
}

}  // namespace

Status Draft::Save(const std::string& path, const DraftTypes& types) const {
  GgufWriter writer;
  SetConfig(config, writer);
  SetGgufFileType(writer, types.layers);
  if (is_head()) writer.SetInt32Array(kTapLayers, {taps.begin(), taps.end()});
  writer.SetInt32Array(kTokenIds, {token_ids.begin(), token_ids.end()});
  if (!config.rope_factors.empty()) {
    HEARTH_RETURN_IF_ERROR(
        AddGgufTensor(writer, "rope_freqs.weight", at::tensor(config.rope_factors, at::kFloat)));
  }
  for (const NamedTensor& parameter : const_cast<Draft*>(this)->Parameters()) {
    GgufTensorOptions options;
    options.type = parameter.name == "output.weight" ? types.head : types.layers;
    options.interleaved_head_dim = InterleavedHeadDim(config, parameter.name);
    HEARTH_RETURN_IF_ERROR(AddGgufTensor(writer, parameter.name, parameter.tensor, options));
  }
  return writer.Write(path);
}

Result<Draft> Draft::Load(const std::string& path, const Decoder& base) {
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  const DecoderConfig& c = base.config();
  HEARTH_ASSIGN_OR_RETURN(const std::string architecture, file.GetString("general.architecture"));
  if (architecture != c.architecture)
    return MakeError(ErrorCode::kCorrupt, path + ": of architecture " + architecture +
                                              ", the base is " + c.architecture);
  const std::string prefix = architecture + ".";
  HEARTH_RETURN_IF_ERROR(CheckKey(file, prefix + "embedding_length", c.hidden_size));
  HEARTH_RETURN_IF_ERROR(CheckKey(file, prefix + "attention.head_count", c.num_heads));
  HEARTH_RETURN_IF_ERROR(CheckKey(file, prefix + "attention.head_count_kv", c.num_kv_heads));
  Draft draft;
  draft.config = c;
  draft.config.tied_head = false;
  HEARTH_ASSIGN_OR_RETURN(draft.config.num_layers, ReadSize(file, prefix + "block_count", 64));
  HEARTH_ASSIGN_OR_RETURN(draft.config.ffn_size,
                          ReadSize(file, prefix + "feed_forward_length", 1 << 20));
  if (file.Has(kTapLayers)) {
    HEARTH_ASSIGN_OR_RETURN(draft.taps, ReadInts(file, kTapLayers, c.num_layers));
  }
  HEARTH_ASSIGN_OR_RETURN(draft.token_ids, ReadInts(file, kTokenIds, c.vocab_size));

  const at::TensorOptions like = base.final_norm().options().requires_grad(false);
  const int64_t hidden = c.hidden_size, ffn = draft.config.ffn_size;
  const auto empty = [&](at::IntArrayRef shape) { return at::empty(shape, like); };
  const auto linear = [&](int64_t outputs, int64_t inputs, bool bias) {
    return Linear{empty({outputs, inputs}), bias ? empty({outputs}) : Tensor(), std::nullopt};
  };
  if (draft.is_head()) {
    draft.fuse = empty({hidden, static_cast<int64_t>(draft.taps.size()) * hidden});
    draft.join = empty({hidden, 2 * hidden});
    draft.token_norm = empty({hidden});
    draft.state_norm = empty({hidden});
  }
  for (int64_t layer = 0; layer < draft.config.num_layers; ++layer) {
    draft.layers.push_back(
        {empty({hidden}), empty({hidden}), linear(c.query_size(), hidden, c.qkv_bias),
         linear(c.kv_size(), hidden, c.qkv_bias), linear(c.kv_size(), hidden, c.qkv_bias),
         linear(hidden, c.query_size(), false), linear(ffn, hidden, false),
         linear(ffn, hidden, false), linear(hidden, ffn, false)});
  }
  draft.output_norm = empty({hidden});
  draft.head = empty({static_cast<int64_t>(draft.token_ids.size()), hidden});
  const Status status = CatchTorch(path, [&]() -> Status {
    for (const NamedTensor& parameter : draft.Parameters()) {
      HEARTH_ASSIGN_OR_RETURN(const Tensor values,
                              ReadGgufTensor(file, parameter.name, parameter.tensor.sizes(),
                                             InterleavedHeadDim(draft.config, parameter.name)));
      parameter.tensor.copy_(values);
    }
    return {};
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return draft;
}

}  // namespace hearth::forge
