#pragma once
// The kernels' weight layout. A matrix is cut into strips of 16 output rows; within a strip, for
// every group of four inputs the four codes of row 0, of row 1, ... of row 15 are adjacent. One
// 64-byte vector then is 16 rows x 4 inputs, an activation dword is broadcast against it, and a
// result is 16 neighbouring outputs with no horizontal sum. A strip takes exactly the bytes that
// its 16 rows take in the file. docs/formats/strips.md draws the layout of every type.
//
// Strips of one matrix follow each other; a matrix whose row count is no multiple of 16 ends in a
// strip padded with zero weights.
// Thread-safe: pure functions.

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/quant/tensor_type.h"

namespace hearth {

inline constexpr int kStripRows = 16;

// Changes whenever the bytes of any strip change: images written with another version are not read.
inline constexpr uint32_t kStripLayoutVersion = 1;

// Bytes of one strip of `num_columns` inputs. Requires a multiple of the type's block size.
size_t StripBytes(TensorType type, size_t num_columns);

inline size_t NumStrips(size_t num_rows) { return (num_rows + kStripRows - 1) / kStripRows; }

// Re-lays up to 16 rows, as they stand in the file, into one strip.
// Requires: rows.size() == num_rows * RowBytes(type, num_columns), 1 <= num_rows <= 16,
// strip.size() == StripBytes(...).
void PackStrip(TensorType type, std::span<const std::byte> rows, int num_rows, size_t num_columns,
               std::span<std::byte> strip);

// One block of 32 inputs of a strip, unpacked to what the integer products work on: unsigned codes,
// of which the type's offset is yet to be subtracted, and the scales and mins that the format
// multiplies out to.
struct alignas(64) StripBlock {
  uint8_t codes[8][64];  // [group of four inputs][row * 4 + input]
  float scale[2][16];    // [half of the block][row]; types with one scale per 32 inputs use [0]
  float min[2][16];      // added per input: -(dmin * m) for K-quants, m for Q4_1 and Q5_1, else 0
};

// Unpacks a whole quantised strip into num_columns / 32 blocks. The readable truth of what kernels
// do in registers.
void UnpackStrip(TensorType type, std::span<const std::byte> strip, size_t num_columns,
                 StripBlock* blocks);

// Dequantises one row of a strip, giving the very floats DequantizeRow gives for the file's row:
// for embedding look-ups.
// Requires: 0 <= row < 16, out.size() == num_columns.
void DequantizeStripRow(TensorType type, std::span<const std::byte> strip, int row,
                        std::span<float> out);

}  // namespace hearth
