#include "runtime/model/hparams.h"

namespace hearth {
namespace {

// Far above any model there is, far below what would overflow an int product of two of them.
constexpr int64_t kMaxSize = 1 << 22;

class Reader {
 public:
  Reader(const GgufFile& file, const std::string& architecture)
      : file_(file), prefix_(architecture + ".") {}

  Result<int> Size(const std::string& key, int64_t least = 1, int64_t most = kMaxSize) const {
    HEARTH_ASSIGN_OR_RETURN(const int64_t value, file_.GetInt(prefix_ + key));
    return Checked(key, value, least, most);
  }
  Result<int> SizeOr(const std::string& key, int64_t fallback, int64_t least = 0,
                     int64_t most = kMaxSize) const {
    HEARTH_ASSIGN_OR_RETURN(const int64_t value, file_.GetIntOr(prefix_ + key, fallback));
    return Checked(key, value, least, most);
  }
  Result<float> FloatOr(const std::string& key, double fallback, double least, double most) const {
    HEARTH_ASSIGN_OR_RETURN(const double value, file_.GetFloatOr(prefix_ + key, fallback));
    if (!(value >= least && value <= most)) {
      return MakeError(ErrorCode::kCorrupt, prefix_ + key + " is " + std::to_string(value) +
                                                ", expected " + std::to_string(least) + " to " +
                                                std::to_string(most));
    }
    return static_cast<float>(value);
  }

 private:
  Result<int> Checked(const std::string& key, int64_t value, int64_t least, int64_t most) const {
    if (value < least || value > most) {
      return MakeError(ErrorCode::kCorrupt, prefix_ + key + " is " + std::to_string(value) +
                                                ", expected " + std::to_string(least) + " to " +
                                                std::to_string(most));
    }
    return static_cast<int>(value);
  }

  const GgufFile& file_;
  std::string prefix_;
};

Status ReadRopeScaling(const GgufFile& file, const std::string& prefix, const Reader& reader,
                       HParams* hparams) {
  std::string type;
  if (file.Has(prefix + "rope.scaling.type")) {
    HEARTH_ASSIGN_OR_RETURN(type, file.GetString(prefix + "rope.scaling.type"));
  }
  if (type.empty() || type == "none") return {};
  if (type != "linear") {
    return MakeError(ErrorCode::kUnsupported,
                     prefix + "rope.scaling.type '" + type + "' is not supported");
  }
  HEARTH_ASSIGN_OR_RETURN(hparams->rope_linear_factor,
                          reader.FloatOr("rope.scaling.factor", 1, 1e-3, 1e6));
  return {};
}

}  // namespace

Result<HParams> ReadHParams(const GgufFile& file) {
  HParams h;
  HEARTH_ASSIGN_OR_RETURN(h.architecture, file.GetString("general.architecture"));
  const Reader reader(file, h.architecture);
  const std::string prefix = h.architecture + ".";
  HEARTH_ASSIGN_OR_RETURN(const int num_experts, reader.SizeOr("expert_count", 0));
  if (num_experts > 0) {
    return MakeError(ErrorCode::kUnsupported, prefix + "expert_count is " +
                                                  std::to_string(num_experts) +
                                                  ": mixture-of-experts models are not supported");
  }
  for (const char* key :
       {"attention.head_count", "attention.head_count_kv", "feed_forward_length"}) {
    if (file.GetArray(prefix + key)) {
      return MakeError(ErrorCode::kUnsupported,
                       prefix + key + " differs from layer to layer: not supported");
    }
  }
  HEARTH_ASSIGN_OR_RETURN(h.num_layers, reader.Size("block_count", 1, 4096));
  HEARTH_ASSIGN_OR_RETURN(h.hidden_size, reader.Size("embedding_length"));
  HEARTH_ASSIGN_OR_RETURN(h.num_heads, reader.Size("attention.head_count", 1, 4096));
  HEARTH_ASSIGN_OR_RETURN(h.num_kv_heads,
                          reader.SizeOr("attention.head_count_kv", h.num_heads, 1, h.num_heads));
  HEARTH_ASSIGN_OR_RETURN(h.head_dim,
                          reader.SizeOr("attention.key_length", h.hidden_size / h.num_heads, 1));
  HEARTH_ASSIGN_OR_RETURN(const int value_dim,
                          reader.SizeOr("attention.value_length", h.head_dim, 1));
  HEARTH_ASSIGN_OR_RETURN(h.ffn_size, reader.Size("feed_forward_length"));
  HEARTH_ASSIGN_OR_RETURN(h.context_length, reader.Size("context_length", 1, 1 << 30));
  HEARTH_ASSIGN_OR_RETURN(h.norm_eps,
                          reader.FloatOr("attention.layer_norm_rms_epsilon", 1e-6, 0, 1));
  HEARTH_ASSIGN_OR_RETURN(h.rope_theta, reader.FloatOr("rope.freq_base", 10000, 1, 1e12));
  HEARTH_ASSIGN_OR_RETURN(h.rope_dim, reader.SizeOr("rope.dimension_count", h.head_dim, 2));
  HEARTH_ASSIGN_OR_RETURN(h.sliding_window,
                          reader.SizeOr("attention.sliding_window", 0, 0, 1 << 30));
  HEARTH_RETURN_IF_ERROR(ReadRopeScaling(file, prefix, reader, &h));

  if (h.num_heads % h.num_kv_heads != 0) {
    return MakeError(ErrorCode::kCorrupt, std::to_string(h.num_heads) + " heads cannot share " +
                                              std::to_string(h.num_kv_heads) + " KV heads evenly");
  }
  if (value_dim != h.head_dim) {
    return MakeError(ErrorCode::kUnsupported,
                     prefix + "attention.value_length " + std::to_string(value_dim) +
                         " differs from key_length " + std::to_string(h.head_dim));
  }
  if (h.head_dim % 32 != 0 || h.head_dim > 256) {
    return MakeError(ErrorCode::kUnsupported,
                     "heads of " + std::to_string(h.head_dim) +
                         " dimensions: only multiples of 32 up to 256 are supported");
  }
  if (h.hidden_size % 32 != 0 || h.ffn_size % 32 != 0) {
    return MakeError(ErrorCode::kUnsupported,
                     "layers of " + std::to_string(h.hidden_size) + " and " +
                         std::to_string(h.ffn_size) +
                         " dimensions: only multiples of 32 are supported");
  }
  if (h.rope_dim > h.head_dim || h.rope_dim % 2 != 0) {
    return MakeError(ErrorCode::kCorrupt, prefix + "rope.dimension_count is " +
                                              std::to_string(h.rope_dim) + ", heads have " +
                                              std::to_string(h.head_dim) + " dimensions");
  }
  const GgufTensor* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    // A draft's file may leave its embeddings to the base's.
    if (!file.Has(prefix + "vocab_size"))
      return MakeError(ErrorCode::kCorrupt, "tensor token_embd.weight is missing");
    HEARTH_ASSIGN_OR_RETURN(h.vocab_size, reader.SizeOr("vocab_size", 0, 1));
    return h;
  }
  if (embedding->num_rows() > static_cast<uint64_t>(kMaxSize)) {
    return MakeError(ErrorCode::kCorrupt,
                     "token_embd.weight has " + std::to_string(embedding->num_rows()) + " rows");
  }
  h.vocab_size = static_cast<int>(embedding->num_rows());
  return h;
}

}  // namespace hearth
