#pragma once
// Whole models out: GGUF files and Hugging Face folders. What the weights do not say (tokenizer,
// chat template, names) comes from the model that the decoder was loaded from.
// Threads: one at a time.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/quant/tensor_type.h"
#include "training/model/decoder.h"

namespace hearth::forge {

struct GgufSaveOptions {
  // Of the matrices; none: each as the source has it, and rows that training did not change keep
  // their very bytes. Where rows do not divide into the type's blocks: F16. Vectors are F32.
  std::optional<TensorType> type;
  std::optional<TensorType> head_type;  // of the embedding and the head; none: as `type`
  std::function<void(double)> on_progress;  // 0 to 1
};
// `source`: a GGUF file or a Hugging Face folder of the same sizes; empty: none, the file then has
// neither tokenizer nor names. Errors: those of the files; kInvalidArgument for a source of another
// shape (naming the difference), an adapter that is attached still, values that are not finite;
// kUnsupported for a source with tensors that the decoder does not have.
Status SaveGguf(const Decoder& decoder, const std::string& source, const std::string& path,
                const GgufSaveOptions& options = {});

struct FolderSaveOptions {
  TensorType type = TensorType::kBF16;  // F32, F16 or BF16, of everything
  uint64_t max_file_bytes = uint64_t{5} << 30;
  std::function<void(double)> on_progress;  // 0 to 1
};
struct SavedFolder {
  std::vector<std::string> files;  // names in the folder
  std::vector<std::string> notes;  // what it lacks, and why
};
// As transformers loads it: weights, config.json, and the tokenizer's files, copied from a source
// that is such a folder, made of the tables of one that is a GGUF file. Where those cannot be made
// (SentencePiece) the folder goes without, and a note says so. Makes the folder if need be;
// config.json goes first and comes last, so that what lies there in between is no model.
// Errors: as SaveGguf.
Result<SavedFolder> SaveFolder(const Decoder& decoder, const std::string& source,
                               const std::string& folder, const FolderSaveOptions& options = {});

}  // namespace hearth::forge
