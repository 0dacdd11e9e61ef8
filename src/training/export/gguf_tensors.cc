#include "training/export/gguf_tensors.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "runtime/quant/quant.h"

namespace hearth::forge {
namespace {

// Rows are taken in pieces of about this many values: 8 MB as FP32.
constexpr int64_t kValuesAtOnce = 1 << 21;
constexpr float kMaxFloat = std::numeric_limits<float>::max(), kMaxHalf = 65504;

Status Wrong(const std::string& name, const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "tensor " + name + " " + what);
}

std::string ShapeText(at::IntArrayRef sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

// [heads, 2, half, ...] -> [heads, half, 2, ...].
Tensor Interleaved(const Tensor& tensor, int64_t head_dim) {
  std::vector<int64_t> split = {tensor.size(0) / head_dim, 2, head_dim / 2};
  if (tensor.dim() == 2) split.push_back(tensor.size(1));
  return tensor.reshape(split).transpose(1, 2).reshape(tensor.sizes());
}

// Rows of one tensor on their way into a file.
class RowWriter {
 public:
  RowWriter(const std::string& name, int64_t columns, const GgufTensorOptions& options)
      : name_(name), columns_(columns), options_(options) {
    row_bytes_ = RowBytes(options.type, static_cast<size_t>(columns));
  }

  // FP32 values of `rows` rows, one after the other, the first of them being `first_row`.
  Status Write(const float* values, int64_t first_row, int64_t rows,
               const GgufWriter::TensorSink& sink) {
    bytes_.resize(static_cast<size_t>(rows) * row_bytes_);
    std::vector<int64_t> broken(static_cast<size_t>(rows), -1);  // columns of the not finite
    const int64_t grain = std::max<int64_t>(1, (1 << 14) / columns_);
    at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        broken[static_cast<size_t>(row)] =
            WriteRow({values + row * columns_, static_cast<size_t>(columns_)},
                     static_cast<size_t>(first_row + row), static_cast<size_t>(row));
    });
    for (size_t row = 0; row < broken.size(); ++row) {
      if (broken[row] < 0) continue;
      const float value = values[static_cast<int64_t>(row) * columns_ + broken[row]];
      return Wrong(name_, "has the value " + std::to_string(value) + " at row " +
                              std::to_string(first_row + static_cast<int64_t>(row)) + ", column " +
                              std::to_string(broken[row]) + ", which " +
                              std::string(InfoOf(options_.type).name) + " does not hold");
    }
    return sink(bytes_);
  }

 private:
  // -> the column of a value that the type does not hold, or -1.
  int64_t WriteRow(std::span<const float> source, size_t row, size_t row_of_piece) {
    const float limit = options_.type == TensorType::kF16 ? kMaxHalf : kMaxFloat;
    const auto bad = std::find_if(source.begin(), source.end(),
                                  [limit](float v) { return !(std::abs(v) <= limit); });
    if (bad != source.end()) return bad - source.begin();
    const std::span<std::byte> target(bytes_.data() + row_of_piece * row_bytes_, row_bytes_);
    if (!options_.stored_before.empty()) {
      const auto stored = options_.stored_before.subspan(row * row_bytes_, row_bytes_);
      std::vector<float> before(source.size());
      DequantizeRow(options_.type, stored, before);
      if (std::equal(before.begin(), before.end(), source.begin())) {
        std::copy(stored.begin(), stored.end(), target.begin());
        return -1;
      }
    }
    QuantizeRow(options_.type, source, target);
    return -1;
  }

  const std::string& name_;
  const int64_t columns_;
  const GgufTensorOptions& options_;
  size_t row_bytes_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace

TensorType GgufTypeOf(at::IntArrayRef sizes, TensorType wanted) {
  if (sizes.size() != 2) return TensorType::kF32;
  return sizes[1] % InfoOf(wanted).block_size == 0 ? wanted : TensorType::kF16;
}

Status AddGgufTensor(GgufWriter& writer, const std::string& name, const Tensor& tensor,
                     const GgufTensorOptions& options) {
  if (!tensor.defined() || tensor.numel() == 0) return Wrong(name, "has no values");
  if (!tensor.is_floating_point()) return Wrong(name, "is not of a floating type");
  if (tensor.dim() != 1 && tensor.dim() != 2)
    return Wrong(name, "of shape " + ShapeText(tensor.sizes()) + " is neither vector nor matrix");
  const int64_t head_dim = options.interleaved_head_dim;
  if (head_dim != 0 && (head_dim < 2 || head_dim % 2 != 0 || tensor.size(0) % head_dim != 0))
    return Wrong(name, "of shape " + ShapeText(tensor.sizes()) + " does not consist of heads of " +
                           std::to_string(head_dim));
  GgufTensorOptions stored = options;
  stored.type = GgufTypeOf(tensor.sizes(), options.type);
  const int64_t columns = tensor.size(-1), rows = tensor.numel() / columns;
  const size_t size_bytes = static_cast<size_t>(rows) * RowBytes(stored.type, columns);
  if (stored.stored_before.size() != size_bytes) stored.stored_before = {};  // of another type
  std::vector<uint64_t> shape = {static_cast<uint64_t>(columns)};
  if (tensor.dim() == 2) shape.push_back(static_cast<uint64_t>(rows));
  writer.AddTensor(name, stored.type, std::move(shape), StoredRows(name, tensor, stored));
  return {};
}

GgufWriter::TensorSource StoredRows(const std::string& name, const Tensor& tensor,
                                    const GgufTensorOptions& options) {
  return [name, values = tensor.detach(), options](const GgufWriter::TensorSink& sink) {
    return CatchTorch("tensor " + name, [&]() -> Status {
      const at::NoGradGuard no_gradients;
      const int64_t columns = values.size(-1), rows = values.numel() / columns;
      const int64_t head_dim = options.interleaved_head_dim;
      const Tensor ordered = head_dim != 0 ? Interleaved(values, head_dim) : values;
      const Tensor matrix = ordered.reshape({rows, columns});
      const int64_t rows_at_once = std::max<int64_t>(1, kValuesAtOnce / columns);
      RowWriter row_writer(name, columns, options);
      for (int64_t row = 0; row < rows; row += rows_at_once) {
        const int64_t count = std::min(rows_at_once, rows - row);
        const Tensor piece = matrix.narrow(0, row, count).to(at::kCPU, at::kFloat).contiguous();
        HEARTH_RETURN_IF_ERROR(row_writer.Write(piece.data_ptr<float>(), row, count, sink));
      }
      return {};
    });
  };
}

void SetGgufFileType(GgufWriter& writer, TensorType type) {
  // llama.cpp's llama_ftype. K-quants have no number for files of one type alone: these are the
  // numbers of the mixtures closest to it.
  static constexpr std::pair<TensorType, uint32_t> kFileTypes[] = {
      {TensorType::kF32, 0},   {TensorType::kF16, 1},   {TensorType::kQ4_0, 2},
      {TensorType::kQ4_1, 3},  {TensorType::kQ8_0, 7},  {TensorType::kQ5_0, 8},
      {TensorType::kQ5_1, 9},  {TensorType::kQ2_K, 10}, {TensorType::kQ3_K, 11},
      {TensorType::kQ4_K, 14}, {TensorType::kQ5_K, 16}, {TensorType::kQ6_K, 18},
      {TensorType::kIQ4_NL, 25}, {TensorType::kBF16, 32}};
  for (const auto& [known, number] : kFileTypes) {
    if (known == type) writer.SetUint32("general.file_type", number);
  }
  writer.SetUint32("general.quantization_version", 2);
}

}  // namespace hearth::forge
