// Any bytes parse to an error or to pieces of a known type.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "kit/sentencepiece_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto model = hearth::ParseSentencePieceModel(std::as_bytes(std::span(data, size)));
  if (!model) {
    HEARTH_CHECK(!model.error().message.empty());
    return 0;
  }
  HEARTH_CHECK(!model->pieces.empty());
  for (const auto& piece : model->pieces) {
    HEARTH_CHECK(static_cast<int>(piece.type) >= 1 && static_cast<int>(piece.type) <= 6);
    HEARTH_CHECK(piece.text.size() <= size);
  }
  return 0;
}
