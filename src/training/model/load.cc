// Decoder::Load: weights of a GGUF file or of a Hugging Face folder, into the decoder's own tensors
// one after the other, so that no more than one is in memory twice.

#include <ATen/Parallel.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "kit/safetensors.h"
#include "runtime/gguf/gguf.h"
#include "runtime/quant/quant.h"
#include "training/model/decoder.h"
#include "training/model/gguf_tensor.h"

namespace hearth::forge {
namespace {

// Hugging Face's name of a part of a layer, and GGUF's.
constexpr std::array<std::pair<const char*, const char*>, 9> kParts = {{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
}};

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// A tensor's values as FP32, rows where they lie in the file.
struct Source {
  TensorType type = TensorType::kF32;
  std::vector<int64_t> shape;  // slowest first
  std::span<const std::byte> data;
};

Tensor Dequantized(const Source& source) {
  const int64_t columns = source.shape.back();
  Tensor wide = at::empty(source.shape, at::TensorOptions().dtype(at::kFloat));
  const int64_t rows = wide.numel() / columns;
  const size_t row_bytes = source.data.size() / static_cast<size_t>(rows);
  float* out = wide.data_ptr<float>();
  at::parallel_for(0, rows, /*grain_size=*/64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      DequantizeRow(source.type,
                    source.data.subspan(static_cast<size_t>(row) * row_bytes, row_bytes),
                    {out + row * columns, static_cast<size_t>(columns)});
    }
  });
  return wide;
}

// llama's queries and keys lie in GGUF files with the two halves of each head interleaved.
Tensor Unpermuted(const Tensor& tensor, int64_t head_dim) {
  std::vector<int64_t> split = {tensor.size(0) / head_dim, head_dim / 2, 2};
  if (tensor.dim() == 2) split.push_back(tensor.size(1));
  return tensor.view(split).transpose(1, 2).reshape(tensor.sizes());
}

Status CopyInto(const std::string& name, const Source& source, bool permuted, int64_t head_dim,
                const Tensor& target) {
  if (target.sizes() != at::IntArrayRef(source.shape))
    return MakeError(ErrorCode::kCorrupt, "tensor " + name + " is " + ShapeText(source.shape) +
                                              ", expected " + ShapeText(target.sizes().vec()));
  const Tensor wide = Dequantized(source);
  target.copy_(permuted ? Unpermuted(wide, head_dim) : wide);
  return {};
}

// A weight that the decoder would leave out (a bias, a norm of another architecture's) makes
// another model. What is refused lies in layers: `layers` is how their names begin, `derived` how
// those end that follow from the configuration.
Status RefuseUnknown(const std::string& name, const std::set<std::string>& known,
                     const std::string& layers, const std::string& derived,
                     const std::string& architecture) {
  if (!name.starts_with(layers) || name.ends_with(derived) || known.contains(name)) return {};
  return MakeError(ErrorCode::kUnsupported,
                   "tensor " + name + " has no place in a model of type " + architecture);
}

}  // namespace

std::string GgufNameOf(const std::string& name) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  const std::string prefix = "model.layers.";
  const size_t dot = name.find('.', prefix.size()), last = name.rfind('.');
  if (!name.starts_with(prefix) || dot == std::string::npos || last <= dot) return "";
  const std::string layer = name.substr(prefix.size(), dot - prefix.size());
  const std::string part = name.substr(dot + 1, last - dot - 1);
  for (const auto& [ours, theirs] : kParts) {
    if (part == ours) return "blk." + layer + "." + theirs + name.substr(last);
  }
  return "";
}

Result<Tensor> ReadGgufTensor(const GgufFile& file, const std::string& name, at::IntArrayRef shape,
                              int64_t interleaved_head_dim) {
  const GgufTensor* tensor = file.FindTensor(name);
  if (tensor == nullptr)
    return MakeError(ErrorCode::kCorrupt, file.path() + ": tensor " + name + " is missing");
  const Source source = {
      tensor->type, {tensor->shape.rbegin(), tensor->shape.rend()}, tensor->data};
  const Tensor result = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  HEARTH_RETURN_IF_ERROR(
      CopyInto(name, source, interleaved_head_dim != 0, interleaved_head_dim, result));
  return result;
}

Result<Decoder> Decoder::Load(const std::string& path, const DecoderOptions& options) {
  struct stat info {};
  const bool is_folder = stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  Decoder decoder;
  const Status status = CatchTorch(path, [&]() -> Status {
    return is_folder ? decoder.LoadFolder(path, options) : decoder.LoadGguf(path, options);
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return decoder;
}

Status Decoder::LoadFolder(const std::string& path, const DecoderOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(config_, ConfigFromFolder(path));
  HEARTH_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(path));
  Allocate(options);
  std::set<std::string> known;
  for (const NamedTensor& parameter : Parameters()) known.insert(parameter.name);
  for (const auto& [name, tensor] : checkpoint.tensors())
    HEARTH_RETURN_IF_ERROR(
        RefuseUnknown(name, known, "model.layers.", ".rotary_emb.inv_freq", config_.architecture));
  for (const NamedTensor& parameter : Parameters()) {
    const auto found = checkpoint.tensors().find(parameter.name);
    if (found == checkpoint.tensors().end())
      return MakeError(ErrorCode::kCorrupt, path + ": tensor " + parameter.name + " is missing");
    const SafeTensor& tensor = found->second;
    HEARTH_RETURN_IF_ERROR(CopyInto(
        parameter.name, {tensor.type, {tensor.shape.begin(), tensor.shape.end()}, tensor.data},
        /*permuted=*/false, config_.head_dim, parameter.tensor));
  }
  return {};
}

Status Decoder::LoadGguf(const std::string& path, const DecoderOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  HEARTH_ASSIGN_OR_RETURN(config_, ConfigFromGguf(file));
  Allocate(options);
  std::set<std::string> known;
  for (const NamedTensor& parameter : Parameters()) known.insert(GgufNameOf(parameter.name));
  for (const GgufTensor& tensor : file.tensors())
    HEARTH_RETURN_IF_ERROR(
        RefuseUnknown(tensor.name, known, "blk.", ".attn_rot_embd.weight", config_.architecture));
  for (const NamedTensor& parameter : Parameters()) {
    const bool permuted =
        config_.architecture == "llama" && (parameter.name.find("q_proj") != std::string::npos ||
                                            parameter.name.find("k_proj") != std::string::npos);
    HEARTH_ASSIGN_OR_RETURN(const Tensor values, ReadGgufTensor(file, GgufNameOf(parameter.name),
                                                                parameter.tensor.sizes(),
                                                                permuted ? config_.head_dim : 0));
    parameter.tensor.copy_(values);
  }
  return {};
}

}  // namespace hearth::forge
