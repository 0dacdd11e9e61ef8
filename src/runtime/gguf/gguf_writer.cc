#include "runtime/gguf/gguf_writer.h"

#include <algorithm>
#include <limits>
#include <memory>

#include "base/atomic_file.h"
#include "base/check.h"

namespace hearth {
namespace {

constexpr uint64_t kAlignment = 32;

uint64_t AlignUp(uint64_t value) { return (value + kAlignment - 1) / kAlignment * kAlignment; }

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void AppendString(std::string& out, std::string_view text) {
  Append(out, static_cast<uint64_t>(text.size()));
  out.append(text);
}

template <typename T>
void AppendNarrowed(std::string& out, int64_t value) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    HEARTH_CHECK(value >= 0);
  } else {
    HEARTH_CHECK(value >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
                 value <= static_cast<int64_t>(std::numeric_limits<T>::max()));
  }
  Append(out, static_cast<T>(value));
}

void AppendInteger(std::string& out, GgufValueType type, int64_t value) {
  switch (type) {
    case GgufValueType::kUint8:
      return AppendNarrowed<uint8_t>(out, value);
    case GgufValueType::kInt8:
      return AppendNarrowed<int8_t>(out, value);
    case GgufValueType::kUint16:
      return AppendNarrowed<uint16_t>(out, value);
    case GgufValueType::kInt16:
      return AppendNarrowed<int16_t>(out, value);
    case GgufValueType::kUint32:
      return AppendNarrowed<uint32_t>(out, value);
    case GgufValueType::kInt32:
      return AppendNarrowed<int32_t>(out, value);
    case GgufValueType::kUint64:
      return AppendNarrowed<uint64_t>(out, value);
    case GgufValueType::kInt64:
      return Append(out, value);
    case GgufValueType::kBool:
      return Append(out, static_cast<uint8_t>(value != 0));
    default:
      HEARTH_CHECK(false);
  }
}

void AppendReal(std::string& out, GgufValueType type, double value) {
  if (type == GgufValueType::kFloat64) {
    Append(out, value);
  } else {
    Append(out, static_cast<float>(value));
  }
}

struct ValueAppender {
  std::string& out;
  GgufValueType type;

  void operator()(int64_t value) const { AppendInteger(out, type, value); }
  void operator()(double value) const { AppendReal(out, type, value); }
  void operator()(bool value) const { Append(out, static_cast<uint8_t>(value)); }
  void operator()(const std::string& text) const { AppendString(out, text); }
  void operator()(const GgufArray& array) const {
    Append(out, static_cast<uint32_t>(array.element_type));
    Append(out, static_cast<uint64_t>(array.size()));
    std::visit(
        [&](const auto& elements) {
          for (const auto& element : elements) ValueAppender{out, array.element_type}(element);
        },
        array.values);
  }
};

GgufValue ArrayValue(GgufValueType element_type, decltype(GgufArray::values) values) {
  return {GgufValueType::kArray, GgufArray{element_type, std::move(values)}};
}

}  // namespace

void GgufWriter::Set(std::string key, GgufValue value) {
  HEARTH_CHECK(key != "general.alignment");
  for (auto& [known, old_value] : metadata_) {
    if (known == key) {
      old_value = std::move(value);
      return;
    }
  }
  metadata_.emplace_back(std::move(key), std::move(value));
}

void GgufWriter::SetUint32(std::string key, uint32_t value) {
  Set(std::move(key), {GgufValueType::kUint32, static_cast<int64_t>(value)});
}
void GgufWriter::SetFloat32(std::string key, float value) {
  Set(std::move(key), {GgufValueType::kFloat32, static_cast<double>(value)});
}
void GgufWriter::SetBool(std::string key, bool value) {
  Set(std::move(key), {GgufValueType::kBool, value});
}
void GgufWriter::SetString(std::string key, std::string value) {
  Set(std::move(key), {GgufValueType::kString, std::move(value)});
}
void GgufWriter::SetStringArray(std::string key, std::vector<std::string> values) {
  Set(std::move(key), ArrayValue(GgufValueType::kString, std::move(values)));
}
void GgufWriter::SetInt32Array(std::string key, std::vector<int64_t> values) {
  Set(std::move(key), ArrayValue(GgufValueType::kInt32, std::move(values)));
}
void GgufWriter::SetFloat32Array(std::string key, std::vector<double> values) {
  Set(std::move(key), ArrayValue(GgufValueType::kFloat32, std::move(values)));
}

void GgufWriter::AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                           TensorSource source) {
  HEARTH_CHECK(!shape.empty() && shape.size() <= 4);
  const TensorTypeInfo& info = InfoOf(type);
  HEARTH_CHECK(shape[0] % info.block_size == 0);
  HEARTH_CHECK(std::none_of(tensors_.begin(), tensors_.end(),
                            [&](const Tensor& t) { return t.name == name; }));
  uint64_t size_bytes = info.block_bytes;
  for (const uint64_t extent : shape) size_bytes *= extent;
  size_bytes /= info.block_size;
  HEARTH_CHECK(size_bytes > 0);
  tensors_.push_back({std::move(name), type, std::move(shape), size_bytes, std::move(source)});
}

void GgufWriter::AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                           std::span<const std::byte> data) {
  auto copy = std::make_shared<const std::vector<std::byte>>(data.begin(), data.end());
  AddTensor(std::move(name), type, std::move(shape),
            [copy](const TensorSink& sink) { return sink(*copy); });
}

std::string GgufWriter::Header() const {
  std::string out = "GGUF";
  Append(out, uint32_t{3});
  Append(out, static_cast<uint64_t>(tensors_.size()));
  Append(out, static_cast<uint64_t>(metadata_.size()));
  for (const auto& [key, value] : metadata_) {
    AppendString(out, key);
    Append(out, static_cast<uint32_t>(value.type));
    std::visit(ValueAppender{out, value.type}, value.value);
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    AppendString(out, tensor.name);
    Append(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const uint64_t extent : tensor.shape) Append(out, extent);
    Append(out, static_cast<uint32_t>(tensor.type));
    Append(out, offset);
    offset = AlignUp(offset + tensor.size_bytes);
  }
  return out;
}

Status GgufWriter::Write(const std::string& path,
                         const std::function<void(double)>& on_progress) const {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  const std::string header = Header();
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(header))));
  HEARTH_RETURN_IF_ERROR(file.PadTo(kAlignment));
  uint64_t total_bytes = 0, done_bytes = 0;
  for (const Tensor& tensor : tensors_) total_bytes += tensor.size_bytes;
  for (const Tensor& tensor : tensors_) {
    const auto wrong_size = [&](const char* relation) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "tensor " + tensor.name + ": " + relation + " than the " +
                           std::to_string(tensor.size_bytes) + " bytes of its shape");
    };
    uint64_t written = 0;
    HEARTH_RETURN_IF_ERROR(tensor.source([&](std::span<const std::byte> piece) -> Status {
      written += piece.size();
      if (written > tensor.size_bytes) return wrong_size("more");
      if (on_progress)
        on_progress(static_cast<double>(done_bytes + written) / static_cast<double>(total_bytes));
      return file.Write(piece);
    }));
    if (written != tensor.size_bytes) return wrong_size("fewer");
    done_bytes += written;
    HEARTH_RETURN_IF_ERROR(file.PadTo(kAlignment));
  }
  return file.Commit();
}

}  // namespace hearth
