#include "runtime/engine/describe.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "runtime/model/bert.h"
#include "runtime/model/decoder.h"

namespace hearth {

Result<ModelDescription> DescribeModel(const GgufFile& file, KvType kv_type) {
  ModelDescription d;
  d.path = file.path();
  d.name = std::filesystem::path(file.path()).stem().string();
  if (auto name = file.GetString("general.name")) d.name = *name;
  d.file_bytes = static_cast<int64_t>(file.file().bytes().size());
  std::map<std::string, int64_t> by_type;
  for (const GgufTensor& tensor : file.tensors()) {
    by_type[std::string(InfoOf(tensor.type).name)] += static_cast<int64_t>(tensor.data.size());
    d.num_parameters += static_cast<int64_t>(tensor.num_columns() * tensor.num_rows());
  }
  d.bytes_by_type.assign(by_type.begin(), by_type.end());
  std::ranges::stable_sort(d.bytes_by_type,
                           [](const auto& a, const auto& b) { return a.second > b.second; });

  HEARTH_ASSIGN_OR_RETURN(d.architecture, file.GetString("general.architecture"));
  HParams h;
  if (d.architecture == "bert") {
    HEARTH_ASSIGN_OR_RETURN(h, ReadBertHParams(file));
    d.is_embedding_model = true;
  } else {
    HEARTH_ASSIGN_OR_RETURN(const DecoderSpec spec, ReadDecoderSpec(file));
    h = spec.hparams;
    d.kv_type = kv_type;
    const KvShape shape{h.num_layers, h.num_kv_heads, h.head_dim, StorageOf(kv_type)};
    d.kv_bytes_per_token = shape.bytes_per_token();
    d.kv_bytes_per_open_block = shape.bytes_per_open_block();
  }
  d.num_layers = h.num_layers;
  d.hidden_size = h.hidden_size;
  d.num_heads = h.num_heads;
  d.num_kv_heads = h.num_kv_heads;
  d.head_dim = h.head_dim;
  d.ffn_size = h.ffn_size;
  d.vocab_size = h.vocab_size;
  d.context_length = h.context_length;
  if (file.Has("tokenizer.chat_template")) {
    HEARTH_ASSIGN_OR_RETURN(d.chat_template, file.GetString("tokenizer.chat_template"));
  }
  return d;
}

}  // namespace hearth
