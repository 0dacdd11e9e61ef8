#include "runtime/gguf/gguf_parser.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/checked_math.h"

static_assert(std::endian::native == std::endian::little,
              "GGUF files are read as they lie in memory");

namespace hearth {
namespace {

// Far above any real model (a vocabulary has 262,144 entries in three arrays), low enough that
// widened elements stay below a gigabyte.
constexpr uint64_t kMaxArrayElements = 16 << 20;
constexpr uint64_t kMaxNameBytes = 1024;
constexpr uint64_t kMaxDimensions = 4;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;

// The fewest bytes an entry can take: what bounds a count before anything is reserved for it.
constexpr uint64_t kMinKeyBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;

Error Corrupt(std::string message) { return {ErrorCode::kCorrupt, std::move(message)}; }

class Parser {
 public:
  explicit Parser(std::span<const std::byte> bytes) : bytes_(bytes) {}

  Result<GgufContents> Parse() {
    HEARTH_RETURN_IF_ERROR(ParseHeader());
    for (uint64_t i = 0; i < num_keys_; ++i) HEARTH_RETURN_IF_ERROR(ParseKey(i));
    HEARTH_RETURN_IF_ERROR(RefuseSplitFile());
    HEARTH_RETURN_IF_ERROR(ReadAlignment());
    for (uint64_t i = 0; i < num_tensors_; ++i) HEARTH_RETURN_IF_ERROR(ParseTensor(i));
    HEARTH_RETURN_IF_ERROR(PlaceTensors());
    return std::move(contents_);
  }

 private:
  size_t remaining() const { return bytes_.size() - position_; }

  Error Truncated(const std::string& what) const {
    return Corrupt("the file ends within " + what + " (byte " + std::to_string(position_) + " of " +
                   std::to_string(bytes_.size()) + ")");
  }

  template <typename T>
  Result<T> Read(const std::string& what) {
    if (remaining() < sizeof(T)) return tl::unexpected(Truncated(what));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  Result<std::string> ReadString(const std::string& what) {
    HEARTH_ASSIGN_OR_RETURN(const uint64_t size, Read<uint64_t>(what));
    if (size > remaining()) {
      return tl::unexpected(Corrupt(what + " claims " + std::to_string(size) +
                                    " bytes, the file has " + std::to_string(remaining()) +
                                    " left"));
    }
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
    position_ += size;
    return text;
  }

  Result<std::string> ReadName(const std::string& what) {
    HEARTH_ASSIGN_OR_RETURN(std::string name, ReadString(what));
    if (name.empty() || name.size() > kMaxNameBytes) {
      return tl::unexpected(Corrupt(what + " has " + std::to_string(name.size()) + " bytes"));
    }
    return name;
  }

  Status ParseHeader() {
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      return tl::unexpected(Corrupt("not a GGUF file (it does not begin with \"GGUF\")"));
    }
    position_ = 4;
    HEARTH_ASSIGN_OR_RETURN(contents_.version, Read<uint32_t>("the header"));
    if ((contents_.version & 0xffff) == 0 && contents_.version != 0) {
      return MakeError(ErrorCode::kUnsupported, "a big-endian GGUF file");
    }
    if (contents_.version != 2 && contents_.version != 3) {
      return MakeError(
          ErrorCode::kUnsupported,
          "GGUF version " + std::to_string(contents_.version) + "; versions 2 and 3 are read");
    }
    HEARTH_ASSIGN_OR_RETURN(num_tensors_, Read<uint64_t>("the header"));
    HEARTH_ASSIGN_OR_RETURN(num_keys_, Read<uint64_t>("the header"));
    if (num_keys_ > remaining() / kMinKeyBytes) {
      return tl::unexpected(Corrupt("the header claims " + std::to_string(num_keys_) +
                                    " keys, too many for the file"));
    }
    if (num_tensors_ > remaining() / kMinTensorBytes) {
      return tl::unexpected(Corrupt("the header claims " + std::to_string(num_tensors_) +
                                    " tensors, too many for the file"));
    }
    return {};
  }

  Status ParseKey(uint64_t index) {
    HEARTH_ASSIGN_OR_RETURN(std::string key, ReadName("the name of key " + std::to_string(index)));
    const std::string what = "key " + QuoteName(key);
    HEARTH_ASSIGN_OR_RETURN(const GgufValueType type, ReadType(what));
    HEARTH_ASSIGN_OR_RETURN(GgufValue value, ReadValue(type, what));
    if (!contents_.metadata.try_emplace(std::move(key), std::move(value)).second) {
      return tl::unexpected(Corrupt(what + " occurs twice"));
    }
    return {};
  }

  Result<GgufValueType> ReadType(const std::string& what) {
    HEARTH_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(what));
    if (type > static_cast<uint32_t>(GgufValueType::kFloat64)) {
      return tl::unexpected(Corrupt(what + " has the unknown value type " + std::to_string(type)));
    }
    return static_cast<GgufValueType>(type);
  }

  Result<GgufValue> ReadValue(GgufValueType type, const std::string& what) {
    GgufValue value;
    value.type = type;
    switch (type) {
      case GgufValueType::kString: {
        HEARTH_ASSIGN_OR_RETURN(value.value, ReadString(what));
        break;
      }
      case GgufValueType::kArray: {
        HEARTH_ASSIGN_OR_RETURN(value.value, ReadArray(what));
        break;
      }
      case GgufValueType::kBool: {
        HEARTH_ASSIGN_OR_RETURN(const int64_t bit, ReadInteger(type, what));
        value.value = bit != 0;
        break;
      }
      case GgufValueType::kFloat32:
      case GgufValueType::kFloat64: {
        HEARTH_ASSIGN_OR_RETURN(value.value, ReadReal(type, what));
        break;
      }
      default: {
        HEARTH_ASSIGN_OR_RETURN(value.value, ReadInteger(type, what));
        break;
      }
    }
    return value;
  }

  template <typename T>
  Result<int64_t> ReadIntegerOf(const std::string& what) {
    HEARTH_ASSIGN_OR_RETURN(const T value, Read<T>(what));
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return tl::unexpected(
            Corrupt(what + " has the value " + std::to_string(value) + ", above 2^63"));
      }
    }
    return static_cast<int64_t>(value);
  }

  Result<int64_t> ReadInteger(GgufValueType type, const std::string& what) {
    switch (type) {
      case GgufValueType::kUint8:
        return ReadIntegerOf<uint8_t>(what);
      case GgufValueType::kInt8:
        return ReadIntegerOf<int8_t>(what);
      case GgufValueType::kUint16:
        return ReadIntegerOf<uint16_t>(what);
      case GgufValueType::kInt16:
        return ReadIntegerOf<int16_t>(what);
      case GgufValueType::kUint32:
        return ReadIntegerOf<uint32_t>(what);
      case GgufValueType::kInt32:
        return ReadIntegerOf<int32_t>(what);
      case GgufValueType::kUint64:
        return ReadIntegerOf<uint64_t>(what);
      case GgufValueType::kInt64:
        return ReadIntegerOf<int64_t>(what);
      default:
        break;
    }
    HEARTH_ASSIGN_OR_RETURN(const uint8_t bit, Read<uint8_t>(what));
    if (bit > 1)
      return tl::unexpected(Corrupt(what + " is a BOOL of value " + std::to_string(bit)));
    return static_cast<int64_t>(bit);
  }

  Result<double> ReadReal(GgufValueType type, const std::string& what) {
    if (type == GgufValueType::kFloat64) return Read<double>(what);
    HEARTH_ASSIGN_OR_RETURN(const float value, Read<float>(what));
    return static_cast<double>(value);
  }

  static uint64_t MinElementBytes(GgufValueType type) {
    switch (type) {
      case GgufValueType::kUint8:
      case GgufValueType::kInt8:
      case GgufValueType::kBool:
        return 1;
      case GgufValueType::kUint16:
      case GgufValueType::kInt16:
        return 2;
      case GgufValueType::kUint32:
      case GgufValueType::kInt32:
      case GgufValueType::kFloat32:
        return 4;
      default:
        return 8;
    }
  }

  Result<GgufArray> ReadArray(const std::string& what) {
    GgufArray array;
    HEARTH_ASSIGN_OR_RETURN(array.element_type, ReadType(what));
    HEARTH_ASSIGN_OR_RETURN(const uint64_t count, Read<uint64_t>(what));
    if (array.element_type == GgufValueType::kArray) {
      return MakeError(ErrorCode::kUnsupported, what + " is an array of arrays");
    }
    if (count > remaining() / MinElementBytes(array.element_type)) {
      return tl::unexpected(
          Corrupt(what + " claims " + std::to_string(count) + " elements, too many for the file"));
    }
    num_array_elements_ += count;
    if (num_array_elements_ > kMaxArrayElements) {
      return tl::unexpected(
          Corrupt(what + " brings the arrays to " + std::to_string(num_array_elements_) +
                  " elements, the limit is " + std::to_string(kMaxArrayElements)));
    }
    switch (array.element_type) {
      case GgufValueType::kString: {
        HEARTH_RETURN_IF_ERROR(ReadElements<std::string>(
            count, array, [&] { return ReadString("an element of " + what); }));
        break;
      }
      case GgufValueType::kFloat32:
      case GgufValueType::kFloat64: {
        HEARTH_RETURN_IF_ERROR(
            ReadElements<double>(count, array, [&] { return ReadReal(array.element_type, what); }));
        break;
      }
      default: {
        HEARTH_RETURN_IF_ERROR(ReadElements<int64_t>(
            count, array, [&] { return ReadInteger(array.element_type, what); }));
        break;
      }
    }
    return array;
  }

  template <typename T, typename ReadOne>
  Status ReadElements(uint64_t count, GgufArray& array, ReadOne read_one) {
    std::vector<T> elements;
    elements.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      HEARTH_ASSIGN_OR_RETURN(T element, read_one());
      elements.push_back(std::move(element));
    }
    array.values = std::move(elements);
    return {};
  }

  Result<std::optional<int64_t>> FindInt(const char* key) const {
    const auto found = contents_.metadata.find(key);
    if (found == contents_.metadata.end()) return std::nullopt;
    if (const auto* value = std::get_if<int64_t>(&found->second.value)) return *value;
    return tl::unexpected(Corrupt(std::string("key ") + key + " is not an integer"));
  }

  Status RefuseSplitFile() const {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> count, FindInt("split.count"));
    if (count.value_or(1) > 1) {
      return MakeError(ErrorCode::kUnsupported, "one part of a model split into " +
                                                    std::to_string(*count) +
                                                    " files (split.count); merge them first");
    }
    return {};
  }

  Status ReadAlignment() {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<int64_t> value, FindInt("general.alignment"));
    if (!value) return {};
    if (*value < 8 || *value > static_cast<int64_t>(kMaxAlignment) ||
        !std::has_single_bit(static_cast<uint64_t>(*value))) {
      return tl::unexpected(Corrupt("general.alignment is " + std::to_string(*value) +
                                    ", expected a power of two from 8 to " +
                                    std::to_string(kMaxAlignment)));
    }
    alignment_ = static_cast<uint64_t>(*value);
    return {};
  }

  Status ParseTensor(uint64_t index) {
    GgufTensor tensor;
    HEARTH_ASSIGN_OR_RETURN(tensor.name, ReadName("the name of tensor " + std::to_string(index)));
    const std::string what = "tensor " + QuoteName(tensor.name);
    HEARTH_ASSIGN_OR_RETURN(const uint32_t num_dimensions, Read<uint32_t>(what));
    if (num_dimensions < 1 || num_dimensions > kMaxDimensions) {
      return tl::unexpected(
          Corrupt(what + " has " + std::to_string(num_dimensions) + " dimensions"));
    }
    for (uint32_t dim = 0; dim < num_dimensions; ++dim) {
      HEARTH_ASSIGN_OR_RETURN(const uint64_t extent, Read<uint64_t>(what));
      tensor.shape.push_back(extent);
    }
    HEARTH_ASSIGN_OR_RETURN(const uint32_t type, Read<uint32_t>(what));
    const TensorTypeInfo* info = FindTensorType(type);
    if (info == nullptr) {
      return MakeError(ErrorCode::kUnsupported,
                       what + " is of type " + std::string(GgmlTypeName(type)) + " (" +
                           std::to_string(type) + "), which Hearth does not have");
    }
    tensor.type = info->type;
    HEARTH_ASSIGN_OR_RETURN(const uint64_t size_bytes, SizeBytes(tensor, *info, what));
    HEARTH_ASSIGN_OR_RETURN(const uint64_t offset, Read<uint64_t>(what));
    if (offset % alignment_ != 0) {
      return tl::unexpected(Corrupt(what + " lies at offset " + std::to_string(offset) +
                                    ", no multiple of " + std::to_string(alignment_)));
    }
    extents_.push_back({offset, size_bytes});
    if (!contents_.tensor_index.try_emplace(tensor.name, contents_.tensors.size()).second) {
      return tl::unexpected(Corrupt(what + " occurs twice"));
    }
    contents_.tensors.push_back(std::move(tensor));
    return {};
  }

  static Result<uint64_t> SizeBytes(const GgufTensor& tensor, const TensorTypeInfo& info,
                                    const std::string& what) {
    std::optional<uint64_t> num_elements = 1;
    std::string shape;
    for (const uint64_t extent : tensor.shape) {
      if (num_elements) num_elements = CheckedMul(*num_elements, extent);
      shape += (shape.empty() ? "[" : ", ") + std::to_string(extent);
    }
    shape += "]";
    if (num_elements == 0u) return tl::unexpected(Corrupt(what + " is empty: " + shape));
    if (!num_elements ||
        *num_elements > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 8) {
      return tl::unexpected(Corrupt(what + " is too large: " + shape));
    }
    if (tensor.shape[0] % info.block_size != 0) {
      return tl::unexpected(Corrupt(what + " has rows of " + std::to_string(tensor.shape[0]) +
                                    ", no multiple of the " + std::to_string(info.block_size) +
                                    " of " + std::string(info.name)));
    }
    // At most 2^60 elements of at most 4 bytes: no overflow.
    return *num_elements / info.block_size * info.block_bytes;
  }

  // Turns offsets into views, now that the length of the metadata is known.
  Status PlaceTensors() {
    if (contents_.tensors.empty()) return {};
    const uint64_t data_begin = (position_ + alignment_ - 1) / alignment_ * alignment_;
    for (size_t i = 0; i < extents_.size(); ++i) {
      GgufTensor& tensor = contents_.tensors[i];
      const auto begin = CheckedAdd(data_begin, extents_[i].offset);
      const auto end = begin ? CheckedAdd(*begin, extents_[i].size_bytes) : std::nullopt;
      if (!end || *end > bytes_.size()) {
        return tl::unexpected(
            Corrupt("tensor " + QuoteName(tensor.name) + " of " +
                    std::to_string(extents_[i].size_bytes) + " bytes at offset " +
                    std::to_string(extents_[i].offset) + " reaches beyond the file's end (" +
                    std::to_string(bytes_.size()) + " bytes): the file is cut short or damaged"));
      }
      tensor.file_offset = *begin;
      tensor.data = bytes_.subspan(*begin, extents_[i].size_bytes);
    }
    return RefuseOverlaps();
  }

  Status RefuseOverlaps() const {
    std::vector<const GgufTensor*> in_file_order;
    for (const GgufTensor& tensor : contents_.tensors) in_file_order.push_back(&tensor);
    std::sort(
        in_file_order.begin(), in_file_order.end(),
        [](const GgufTensor* a, const GgufTensor* b) { return a->file_offset < b->file_offset; });
    for (size_t i = 1; i < in_file_order.size(); ++i) {
      const GgufTensor& before = *in_file_order[i - 1];
      if (before.file_offset + before.data.size() > in_file_order[i]->file_offset) {
        return tl::unexpected(Corrupt("tensors " + QuoteName(before.name) + " and " +
                                      QuoteName(in_file_order[i]->name) + " overlap"));
      }
    }
    return {};
  }

  struct Extent {
    uint64_t offset;  // from the start of the data section
    uint64_t size_bytes;
  };

  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  uint64_t num_keys_ = 0;
  uint64_t num_tensors_ = 0;
  uint64_t num_array_elements_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<Extent> extents_;  // of contents_.tensors
  GgufContents contents_;
};

}  // namespace

std::string QuoteName(std::string_view name) {
  constexpr size_t kShown = 80;
  std::string quoted = "\"";
  for (const char c : name.substr(0, kShown)) {
    if (c >= 0x20 && c < 0x7f) {
      quoted += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<unsigned char>(c));
      quoted += escaped;
    }
  }
  return quoted + (name.size() > kShown ? "...\"" : "\"");
}

Result<GgufContents> ParseGguf(std::span<const std::byte> bytes) { return Parser(bytes).Parse(); }

}  // namespace hearth
