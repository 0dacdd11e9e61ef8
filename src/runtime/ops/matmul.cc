#include "runtime/ops/matmul.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

// Chunks small enough that a worker which was held up does not keep the others waiting; where
// weights stream by, large enough that reading ahead is seldom in vain.
constexpr int kChunksPerWorker = 8, kFewChunksPerWorker = 4;
constexpr size_t kMostFewBytes = size_t{256} << 10;

void DequantizeStripToPanel(const Matrix& w, const std::byte* strip, float* panel) {
  const auto count = static_cast<size_t>(w.num_columns) * kStripRows;
  switch (w.type) {
    case TensorType::kF16:
      Kernels().unpack_f16(strip, count, panel);
      return;
    case TensorType::kBF16:
      Kernels().unpack_bf16(strip, count, panel);
      return;
    default:
      break;
  }
  std::vector<float> row_values(w.num_columns);
  for (int row = 0; row < kStripRows; ++row) {
    DequantizeStripRow(w.type, {strip, w.strip_bytes}, row, row_values);
    for (int k = 0; k < w.num_columns; ++k)
      panel[static_cast<size_t>(k) * kStripRows + row] = row_values[k];
  }
}

// Strips of a matrix that follow each other.
struct Strips {
  const Matrix* weights;
  int first;
  int count;

  const std::byte* at(int index) const {
    return weights->strips + static_cast<size_t>(first + index) * weights->strip_bytes;
  }
  Upcoming ahead() const { return {at(0), count * weights->strip_bytes}; }
  const MatmulKernels& kernels() const {
    return Kernels().matmul[static_cast<int>(StripFormatOf(weights->type))];
  }
};

// Where the outputs of some strips and tokens go: [token][stride], from the first strip's first row
// and the first token on.
struct Output {
  float* at;
  size_t stride;
};

// Columns of the activations, by tiles.
struct TileRange {
  int first_tile, end_tile;
  int first_token, num_tokens;
};

void FloatProduct(const Strips& strips, const Activations& x, const TileRange& tiles, Output out,
                  PanelBlock* scratch) {
  const Matrix& w = *strips.weights;
  for (int i = 0; i < strips.count; ++i) {
    const auto* panel = reinterpret_cast<const float*>(strips.at(i));
    if (w.type != TensorType::kF32) {
      auto* unpacked = reinterpret_cast<float*>(scratch);
      DequantizeStripToPanel(w, strips.at(i), unpacked);
      panel = unpacked;
    }
    Kernels().float_matmul(panel, w.num_columns, x.row(tiles.first_token), x.num_inputs(),
                           tiles.num_tokens, out.at + i * kStripRows, out.stride);
  }
}

// The first tile reads the strip from memory, further ones from a cache.
void FewColumns(const Strips& strips, const Activations& x, const TileRange& tiles, Output out) {
  for (int i = 0; i < strips.count; ++i) {
    for (int tile = tiles.first_tile; tile < tiles.end_tile; ++tile) {
      const int column = (tile - tiles.first_tile) * x.tile_columns();
      strips.kernels().few(strips.at(i), x.num_inputs() / 32, x.tile(tile),
                           std::min(x.tile_columns(), tiles.num_tokens - column),
                           out.at + i * kStripRows + static_cast<size_t>(column) * out.stride,
                           out.stride);
    }
  }
}

void ManyColumns(const Strips& strips, const Activations& x, const TileRange& tiles, Output out,
                 Upcoming upcoming, PanelBlock* panels) {
  const int num_blocks = x.num_inputs() / 32;
  for (int i = 0; i < strips.count; ++i) {
    strips.kernels().unpack(strips.at(i), num_blocks, panels + static_cast<size_t>(i) * num_blocks);
  }
  strips.kernels().many(panels, strips.count, num_blocks, x.tile(tiles.first_tile),
                        tiles.num_tokens, out.at, out.stride, upcoming);
}

void Multiply(const Strips& strips, const Activations& x, const TileRange& tiles, Output out,
              Upcoming upcoming, PanelBlock* panels) {
  HEARTH_DCHECK(strips.weights->num_columns == x.num_inputs());
  if (strips.weights->is_float() || !x.integer()) {
    FloatProduct(strips, x, tiles, out, panels);
  } else if (x.few()) {
    FewColumns(strips, x, tiles, out);
  } else {
    ManyColumns(strips, x, tiles, out, upcoming, panels);
  }
}

// The work of a stage: pieces of the weights times groups of tiles, groups outermost: activations
// stay, strips stream by.
struct Work {
  const Activations& x;
  int64_t num_pieces;
  int tiles_per_group, num_groups;
  int64_t most_few_pieces;

  // piece_bytes: of the weights.
  Work(const Activations& activations, int64_t pieces, size_t piece_bytes)
      : x(activations), num_pieces(pieces) {
    const size_t tile_bytes =
        static_cast<size_t>(x.tile_columns()) * x.num_inputs() / 32 * sizeof(ActBlock);
    tiles_per_group = x.num_tiles();
    if (!x.few()) {
      tiles_per_group =
          std::clamp(static_cast<int>(Kernels().tile_group_bytes / tile_bytes), 1, x.num_tiles());
    }
    num_groups = (x.num_tiles() + tiles_per_group - 1) / tiles_per_group;
    most_few_pieces = std::max<int64_t>(1, static_cast<int64_t>(kMostFewBytes / piece_bytes));
  }

  TileRange TilesOf(int64_t item) const {
    const int first = static_cast<int>(item / num_pieces) * tiles_per_group,
              end = std::min(first + tiles_per_group, x.num_tiles());
    const int first_token = first * x.tile_columns();
    return {first, end, first_token,
            std::min(end * x.tile_columns(), x.num_tokens()) - first_token};
  }

  // run(begin, end) over items; item % num_pieces is its piece.
  template <typename Run>
  void Share(Worker& worker, const Run& run) const {
    const int64_t items = num_pieces * num_groups, workers = worker.count();
    if (x.few()) {
      const int64_t chunk = std::min(items / (workers * kFewChunksPerWorker), most_few_pieces);
      worker.ForEachInOrder(items, std::max<int64_t>(1, chunk), run);
    } else {
      worker.ForEach(items, std::max<int64_t>(1, items / (workers * kChunksPerWorker)), run);
    }
  }
};

// A piece of one of several jobs.
struct Piece {
  const MatmulJob* job;
  Strips strips;
};

int PiecesOf(const MatmulJob& job, int strips_per_piece) {
  return (job.weights->num_strips() + strips_per_piece - 1) / strips_per_piece;
}

Piece FindPiece(std::span<const MatmulJob> jobs, int strips_per_piece, int64_t index) {
  const MatmulJob* job = jobs.data();
  while (index >= PiecesOf(*job, strips_per_piece)) index -= PiecesOf(*job++, strips_per_piece);
  const int first = static_cast<int>(index) * strips_per_piece;
  return {job,
          {job->weights, first, std::min(strips_per_piece, job->weights->num_strips() - first)}};
}

// Rows of a gated FFN that are worked on together: a block of what follows.
constexpr int kGatedRows = 32;
constexpr int kGatedStrips = kGatedRows / kStripRows;
static_assert(kGatedStrips <= kMaxPanels);

// Rows [first, first + rows) of the inner activations of the tokens, from gate and up
// [token][rows], token by token. Uses gate up.
void ActivateRows(const GatedJob& job, int first, int rows, const TileRange& tiles, float* gate,
                  const float* up) {
  Activations& out = *job.out;
  for (int i = 0; i < tiles.num_tokens; ++i) {
    const int token = tiles.first_token + i;
    float* to = out.keeps_floats() ? out.row(token) + first : gate;
    job.activate(gate, up, rows, to);
    out.Quantize(token, first, rows, to);
    gate += rows;
    up += rows;
  }
}

// The same for one block of rows, tile by tile.
void ActivateBlock(const GatedJob& job, int first, const TileRange& tiles, const float* gate,
                   const float* up) {
  Activations& out = *job.out;
  alignas(64) float values[kMaxTileColumns * kGatedRows];
  for (int token = 0; token < tiles.num_tokens; token += out.tile_columns()) {
    const int columns = std::min(out.tile_columns(), tiles.num_tokens - token);
    const size_t at = static_cast<size_t>(token) * kGatedRows;
    job.activate(gate + at, up + at, columns * kGatedRows, values);
    out.QuantizeColumns(tiles.first_token + token, columns, first / 32, values);
  }
}

}  // namespace

void Activations::Reserve(int max_tokens, int max_inputs, bool integer, bool keeps_floats) {
  HEARTH_CHECK(integer || keeps_floats);
  integer_ = integer;
  keeps_floats_ = keeps_floats;
  if (keeps_floats) floats_.resize(static_cast<size_t>(max_tokens) * max_inputs);
  if (integer) blocks_.resize(static_cast<size_t>(max_tokens) * max_inputs / 32);
}

ActBlock* Activations::BlockOf(int token, int block, int* stride) {
  const int column = token % tile_columns_, first_of_tile = token - column;
  *stride = std::min(tile_columns_, num_tokens_ - first_of_tile);
  return blocks_.data() + static_cast<size_t>(first_of_tile) * num_inputs_ / 32 +
         static_cast<size_t>(block) * *stride + column;
}

void Activations::Quantize(int token, int first, int count, const float* x) {
  if (!integer_) return;
  int stride = 0;
  ActBlock* out = BlockOf(token, first / 32, &stride);
  Kernels().quantize(x, count / 32, out, stride);
}

void Activations::QuantizeColumns(int first_token, int count, int block, const float* x) {
  int stride = 0;
  Kernels().quantize(x, count, BlockOf(first_token, block, &stride), 1);
}

MatmulScratch::MatmulScratch(int num_workers, int max_inputs, int max_gated_rows, int max_tokens)
    : panels_(num_workers), gated_(num_workers) {
  // Of few tokens a worker may take all rows at once, of many a block.
  const size_t few = std::min(max_tokens, Kernels().most_few_columns);
  gated_floats_ = std::max(few * max_gated_rows, static_cast<size_t>(max_tokens) * kGatedRows);
  // The float path needs 64 bytes per input, the integer path kMaxPanels times sizeof(PanelBlock) =
  // 768 per 32 inputs: 48.
  const size_t bytes = static_cast<size_t>(max_inputs) * kStripRows * sizeof(float);
  for (auto& panel : panels_) panel.resize((bytes + sizeof(PanelBlock) - 1) / sizeof(PanelBlock));
  for (auto& gated : gated_) gated.resize(2 * gated_floats_);
}

void RunMatmuls(Worker& worker, std::span<const MatmulJob> jobs, const Activations& x,
                MatmulScratch& scratch) {
  if (x.num_tokens() == 0) return;
  const int strips_per_piece = x.few() ? 1 : kMaxPanels;
  int64_t num_pieces = 0;
  for (const MatmulJob& job : jobs) num_pieces += PiecesOf(job, strips_per_piece);
  const Work work(x, num_pieces, strips_per_piece * jobs[0].weights->strip_bytes);
  PanelBlock* panels = scratch.panels(worker.index());
  work.Share(worker, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const auto [job, strips] = FindPiece(jobs, strips_per_piece, item % num_pieces);
      const TileRange tiles = work.TilesOf(item);
      Upcoming upcoming;
      if (item + 1 < end)
        upcoming = FindPiece(jobs, strips_per_piece, (item + 1) % num_pieces).strips.ahead();
      float* out = job->out + static_cast<size_t>(tiles.first_token) * job->out_stride +
                   strips.first * kStripRows;
      Multiply(strips, x, tiles, {out, job->out_stride}, upcoming, panels);
    }
  });
}

void RunGated(Worker& worker, const GatedJob& job, const Activations& x, MatmulScratch& scratch) {
  if (x.num_tokens() == 0) return;
  HEARTH_DCHECK(job.gate->num_rows == job.up->num_rows && job.gate->num_rows % kGatedRows == 0);
  const Work work(x, job.gate->num_rows / kGatedRows,
                  kGatedStrips * (job.gate->strip_bytes + job.up->strip_bytes));
  PanelBlock* panels = scratch.panels(worker.index());
  float *gate_out = scratch.gate(worker.index()), *up_out = scratch.up(worker.index());
  const auto multiply = [&](int64_t piece, int pieces, const TileRange& tiles, Upcoming next_up,
                            Upcoming next_gate) {
    const int first = static_cast<int>(piece) * kGatedStrips, count = pieces * kGatedStrips;
    const auto stride = static_cast<size_t>(pieces) * kGatedRows;
    Multiply({job.gate, first, count}, x, tiles, {gate_out, stride}, next_up, panels);
    Multiply({job.up, first, count}, x, tiles, {up_out, stride}, next_gate, panels);
  };
  work.Share(worker, [&](int64_t begin, int64_t end) {
    const auto pieces = static_cast<int>(end - begin);
    if (x.few()) {  // all of the gate, then all of the other, each in the order of memory
      const TileRange tiles = work.TilesOf(begin);
      multiply(begin, pieces, tiles, {}, {});
      ActivateRows(job, static_cast<int>(begin) * kGatedRows, pieces * kGatedRows, tiles, gate_out,
                   up_out);
      return;
    }
    for (int64_t item = begin; item < end; ++item) {
      const int64_t piece = item % work.num_pieces;
      const TileRange tiles = work.TilesOf(item);
      const auto strips_of = [](const Matrix* w, int64_t of_piece) {
        return Strips{w, static_cast<int>(of_piece) * kGatedStrips, kGatedStrips};
      };
      Upcoming next_gate;
      if (item + 1 < end) next_gate = strips_of(job.gate, (item + 1) % work.num_pieces).ahead();
      multiply(piece, 1, tiles, strips_of(job.up, piece).ahead(), next_gate);
      const int first = static_cast<int>(piece) * kGatedRows;
      if (job.out->keeps_floats()) {
        ActivateRows(job, first, kGatedRows, tiles, gate_out, up_out);
      } else {
        ActivateBlock(job, first, tiles, gate_out, up_out);
      }
    }
  });
}

}  // namespace hearth
