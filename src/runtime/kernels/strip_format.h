#pragma once
// What the integer product of each strip format looks like. Compile-time constants only: safe to
// include in ISA folders.
//
// A new format, step by step:
//   1. quant/: its TensorType with block and bytes (tensor_type), dequantiser and quantiser, where
//   its fields go in a strip
//      (LayoutOf, TakeApart, PutHeader and UnpackScale in strip.cc). A changed layout of an old
//      format also changes kStripLayoutVersion.
//   2. StripFormat in kernels.h, TraitsOf and TensorTypeOf here. The scalar kernels then work, for
//   they unpack with quant/strip.
//   3. Each ISA folder: one file named for the format (the nearest relative is the best start:
//   q4_0.cc for a header per 32
//      inputs, q4_k.cc for one per 256), its kernels in formats.h, in table.cc and in the folder's
//      list in CMakeLists.txt. A folder may leave it out and take the scalar functions.
//   4. matmul_kernels_test.cc: RandomRows must know where the format's f16 fields are; everything
//   else there goes over all formats.

#include "runtime/kernels/kernels.h"

namespace hearth {

struct FormatTraits {
  bool scale_per_16;  // else one scale per 32
  bool has_min;
  int offset_log2;  // codes stand for code - 2^offset_log2; -1: no offset
};

constexpr FormatTraits TraitsOf(StripFormat format) {
  switch (format) {
    case StripFormat::kQ4_0:
      return {false, false, 3};
    case StripFormat::kQ4_1:
      return {false, true, -1};
    case StripFormat::kQ5_0:
      return {false, false, 4};
    case StripFormat::kQ5_1:
      return {false, true, -1};
    case StripFormat::kQ8_0:
      return {false, false, 7};
    case StripFormat::kIQ4_NL:
      return {false, false, 7};
    case StripFormat::kQ2_K:
      return {true, true, -1};
    case StripFormat::kQ3_K:
      return {true, false, 2};
    case StripFormat::kQ4_K:
      return {false, true, -1};
    case StripFormat::kQ5_K:
      return {false, true, -1};
    case StripFormat::kQ6_K:
      return {true, false, 5};
    case StripFormat::kCount:
      break;
  }
  return {};
}

constexpr TensorType TensorTypeOf(StripFormat format) {
  constexpr TensorType kTypes[] = {TensorType::kQ4_0, TensorType::kQ4_1, TensorType::kQ5_0,
                                   TensorType::kQ5_1, TensorType::kQ8_0, TensorType::kIQ4_NL,
                                   TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kQ4_K,
                                   TensorType::kQ5_K, TensorType::kQ6_K};
  return kTypes[static_cast<int>(format)];
}

// kCount for float types, which have float kernels instead.
constexpr StripFormat StripFormatOf(TensorType type) {
  for (int i = 0; i < kNumStripFormats; ++i) {
    if (TensorTypeOf(static_cast<StripFormat>(i)) == type) return static_cast<StripFormat>(i);
  }
  return StripFormat::kCount;
}

}  // namespace hearth
