#include "kit/convert.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <set>
#include <vector>

#include "kit/json_file.h"
#include "kit/model_keys.h"
#include "kit/safetensors.h"
#include "kit/tokenizer_keys.h"
#include "runtime/gguf/gguf_writer.h"
#include "runtime/quant/quant.h"

namespace hearth {
namespace {

// Row of the source that becomes `row` of the target. Hugging Face keeps a head's halves apart,
// GGUF's llama interleaves them.
uint64_t SourceRow(uint64_t row, uint64_t head_dim, bool permuted) {
  if (!permuted) return row;
  const uint64_t head = row / head_dim, in_head = row % head_dim;
  return head * head_dim + in_head % 2 * (head_dim / 2) + in_head / 2;
}

// 1 mean, 2 CLS: as sentence-transformers wrote it beside the model.
Result<int> ReadPooling(const std::string& folder) {
  HEARTH_ASSIGN_OR_RETURN(const Json pooling,
                          ReadOptionalJsonObject(folder + "/1_Pooling/config.json"));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> cls,
                          JsonBool(pooling, "pooling_mode_cls_token"));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> mean,
                          JsonBool(pooling, "pooling_mode_mean_tokens"));
  if (cls.value_or(false)) return 2;
  if (mean.value_or(true)) return 1;
  return MakeError(ErrorCode::kUnsupported,
                   folder + "/1_Pooling/config.json: only mean and CLS pooling are supported");
}

// Where sentence-transformers cuts texts off: as it wrote it beside the model, else as the
// tokenizer's authors did; nothing: neither says. The marks around a text are counted.
Result<std::optional<double>> ReadMaxTokens(const std::string& folder) {
  HEARTH_ASSIGN_OR_RETURN(const Json sentence,
                          ReadOptionalJsonObject(folder + "/sentence_bert_config.json"));
  HEARTH_ASSIGN_OR_RETURN(std::optional<double> most, JsonNumber(sentence, "max_seq_length"));
  if (!most) {
    HEARTH_ASSIGN_OR_RETURN(const Json tokenizer,
                            ReadOptionalJsonObject(folder + "/tokenizer_config.json"));
    HEARTH_ASSIGN_OR_RETURN(most, JsonNumber(tokenizer, "model_max_length"));
  }
  if (most && !(*most >= 3 && std::floor(*most) == *most)) {  // [CLS], a token, [SEP]
    return MakeError(ErrorCode::kCorrupt,
                     folder + ": a maximum of " + std::to_string(*most) + " tokens");
  }
  return most;
}

class Converter {
 public:
  explicit Converter(const ConvertOptions& options) : options_(options) {}

  Status Run() {
    const std::string& folder = options_.input_dir;
    HEARTH_ASSIGN_OR_RETURN(const Json config, ReadJsonObject(folder + "/config.json"));
    if (JsonChild(config, "quantization_config") != nullptr) {
      return MakeError(
          ErrorCode::kUnsupported,
          folder + " holds quantised weights (quantization_config); convert the original");
    }
    SentenceSettings sentence;
    HEARTH_ASSIGN_OR_RETURN(sentence.pooling, ReadPooling(folder));
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type,
                            JsonString(config, "model_type"));
    if (type == "bert") {
      HEARTH_ASSIGN_OR_RETURN(sentence.max_tokens, ReadMaxTokens(folder));
    }
    HEARTH_ASSIGN_OR_RETURN(model_, SetHyperparameters(config, sentence, writer_));
    writer_.SetString("general.name",
                      std::filesystem::weakly_canonical(folder).filename().string());
    HEARTH_ASSIGN_OR_RETURN(checkpoint_, Checkpoint::Open(folder));
    for (const auto& [name, tensor] : checkpoint_.tensors())
      HEARTH_RETURN_IF_ERROR(AddTensor(tensor));
    if (num_rows_ == 0) return MakeError(ErrorCode::kCorrupt, folder + " has no token embedding");
    if (!model_.rope_factors.empty()) {
      writer_.AddTensor("rope_freqs.weight", TensorType::kF32, {model_.rope_factors.size()},
                        std::as_bytes(std::span(model_.rope_factors)));
    }
    HEARTH_RETURN_IF_ERROR(SetTokenizer(folder, model_.architecture == "bert", num_rows_, writer_));
    return writer_.Write(options_.output_path, options_.on_progress);
  }

 private:
  Status AddTensor(const SafeTensor& tensor) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<TensorPlan> plan, PlanTensor(model_, tensor.name));
    if (!plan) return {};
    if (tensor.shape.empty() || tensor.shape.size() > 2 || tensor.data.empty()) {
      return MakeError(ErrorCode::kCorrupt, "tensor \"" + tensor.name + "\" has " +
                                                std::to_string(tensor.shape.size()) +
                                                " dimensions or none of its values");
    }
    if (!names_.insert(plan->name).second) {
      return MakeError(ErrorCode::kCorrupt, "tensor \"" + tensor.name + "\" would be " +
                                                plan->name + ", which is there already");
    }
    const bool is_matrix = tensor.shape.size() == 2;
    const uint64_t num_rows = is_matrix ? tensor.shape[0] : 1, num_columns = tensor.shape.back();
    if (plan->name == "token_embd.weight") num_rows_ = static_cast<int64_t>(num_rows);
    const bool permuted = plan->change == TensorPlan::Change::kPermuteQuery ||
                          plan->change == TensorPlan::Change::kPermuteKey;
    const auto head_dim = static_cast<uint64_t>(model_.head_dim);
    if (permuted && ((is_matrix ? num_rows : num_columns) % head_dim != 0 || head_dim % 2 != 0)) {
      return MakeError(ErrorCode::kCorrupt, "tensor \"" + tensor.name +
                                                "\" does not consist of heads of " +
                                                std::to_string(head_dim));
    }
    const TensorType type = is_matrix ? MatrixType(tensor.type, num_columns) : TensorType::kF32;
    const float added = plan->change == TensorPlan::Change::kAddOne ? 1.0f : 0.0f;
    std::vector<uint64_t> shape = {num_columns};
    if (is_matrix) shape.push_back(num_rows);
    // The tensor's bytes stay mapped as long as the checkpoint, which outlives the writing.
    writer_.AddTensor(
        plan->name, type, std::move(shape),
        [source = &tensor, type, num_rows, num_columns, permuted, is_matrix, head_dim,
         added](const GgufWriter::TensorSink& sink) -> Status {
          const size_t source_bytes = RowBytes(source->type, num_columns);
          std::vector<float> values(num_columns),
              reordered(permuted && !is_matrix ? num_columns : 0);
          std::vector<std::byte> row_bytes(RowBytes(type, num_columns));
          for (uint64_t row = 0; row < num_rows; ++row) {
            const uint64_t from = is_matrix ? SourceRow(row, head_dim, permuted) : row;
            const auto stored = source->data.subspan(from * source_bytes, source_bytes);
            if (type == source->type && added == 0 && (is_matrix || !permuted)) {
              HEARTH_RETURN_IF_ERROR(sink(stored));
              continue;
            }
            DequantizeRow(source->type, stored, values);
            for (float& value : values) value += added;
            if (!reordered.empty()) {
              for (uint64_t i = 0; i < num_columns; ++i)
                reordered[i] = values[SourceRow(i, head_dim, true)];
            }
            QuantizeRow(type, reordered.empty() ? values : reordered, row_bytes);
            HEARTH_RETURN_IF_ERROR(sink(row_bytes));
          }
          return {};
        });
    return {};
  }

  TensorType MatrixType(TensorType stored, uint64_t num_columns) const {
    const TensorType wanted = options_.type.value_or(stored);
    return num_columns % InfoOf(wanted).block_size == 0 ? wanted : TensorType::kF16;
  }

  const ConvertOptions& options_;
  ModelConfig model_;
  Checkpoint checkpoint_;
  GgufWriter writer_;
  std::set<std::string> names_;
  int64_t num_rows_ = 0;  // of the embedding
};

}  // namespace

Status ConvertHuggingFace(const ConvertOptions& options) {
  Converter converter(options);
  return converter.Run();
}

}  // namespace hearth
