#include "kit/sentencepiece_model.h"

#include <cstring>
#include <optional>
#include <string_view>

namespace hearth {
namespace {

constexpr size_t kMaxPieces = 1 << 22;

tl::unexpected<Error> Corrupt() {
  return MakeError(ErrorCode::kCorrupt, "the SentencePiece model is damaged");
}

// One field of a message after the other (protocol buffers' wire format).
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}

  struct Field {
    uint64_t number = 0;
    uint64_t value = 0;      // of an integer, or the bits of a fixed one
    std::string_view bytes;  // of a string or message
  };
  // Nothing at the end.
  Result<std::optional<Field>> Next() {
    if (bytes_.empty()) return std::nullopt;
    Field field;
    HEARTH_ASSIGN_OR_RETURN(const uint64_t key, Varint());
    field.number = key >> 3;
    switch (key & 7) {
      case 0: {
        HEARTH_ASSIGN_OR_RETURN(field.value, Varint());
        return field;
      }
      case 1:
        return Fixed(8, field);
      case 2: {
        HEARTH_ASSIGN_OR_RETURN(const uint64_t size, Varint());
        if (size > bytes_.size()) return Corrupt();
        field.bytes = bytes_.substr(0, size);
        bytes_.remove_prefix(size);
        return field;
      }
      case 5:
        return Fixed(4, field);
      default:
        return Corrupt();
    }
  }

 private:
  Result<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return Corrupt();
  }
  Result<std::optional<Field>> Fixed(size_t size, Field field) {
    if (bytes_.size() < size) return Corrupt();
    std::memcpy(&field.value, bytes_.data(), size);
    bytes_.remove_prefix(size);
    return field;
  }

  std::string_view bytes_;
};

// Calls visit(field) for each field of a message.
template <typename Visit>
Status ForEachField(std::string_view message, Visit visit) {
  FieldReader reader(message);
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<FieldReader::Field> field, reader.Next());
    if (!field) return {};
    HEARTH_RETURN_IF_ERROR(visit(*field));
  }
}

Result<SentencePieceModel::Piece> ParsePiece(std::string_view message) {
  SentencePieceModel::Piece piece;
  HEARTH_RETURN_IF_ERROR(ForEachField(message, [&](const FieldReader::Field& field) -> Status {
    if (field.number == 1) piece.text = std::string(field.bytes);
    if (field.number == 2) {
      const auto bits = static_cast<uint32_t>(field.value);
      std::memcpy(&piece.score, &bits, sizeof(bits));
    }
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) return Corrupt();
      piece.type = static_cast<SentencePieceModel::Type>(field.value);
    }
    return {};
  }));
  return piece;
}

}  // namespace

Result<SentencePieceModel> ParseSentencePieceModel(std::span<const std::byte> bytes) {
  SentencePieceModel model;
  const std::string_view whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  HEARTH_RETURN_IF_ERROR(ForEachField(whole, [&](const FieldReader::Field& field) -> Status {
    if (field.number == 1) {  // pieces
      HEARTH_ASSIGN_OR_RETURN(SentencePieceModel::Piece piece, ParsePiece(field.bytes));
      model.pieces.push_back(std::move(piece));
      if (model.pieces.size() > kMaxPieces) return Corrupt();
    } else if (field.number == 2) {  // trainer_spec
      return ForEachField(field.bytes, [&](const FieldReader::Field& inner) -> Status {
        if (inner.number == 3) model.model_type = static_cast<int64_t>(inner.value);
        return {};
      });
    } else if (field.number == 3) {  // normalizer_spec
      return ForEachField(field.bytes, [&](const FieldReader::Field& inner) -> Status {
        if (inner.number == 3) model.add_dummy_prefix = inner.value != 0;
        return {};
      });
    }
    return {};
  }));
  if (model.pieces.empty())
    return MakeError(ErrorCode::kCorrupt, "the SentencePiece model has no pieces");
  return model;
}

}  // namespace hearth
