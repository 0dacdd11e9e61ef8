#include "runtime/ops/matmul.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "runtime/kernels/strip_format.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

// A product of few tiles is over so soon that reading the next strip shows; with more of them the
// memory has time enough.
constexpr int kMostTilesToReadAhead = 4;

// Chunks small enough that a worker which was held up does not keep the others waiting.
constexpr int kChunksPerWorker = 8;

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

void FloatStrip(const Matrix& w, const std::byte* strip, const Activations& x, float* out,
                size_t out_stride, PanelBlock* scratch) {
  const auto* panel = reinterpret_cast<const float*>(strip);
  if (w.type != TensorType::kF32) {
    auto* unpacked = reinterpret_cast<float*>(scratch);
    DequantizeStripToPanel(w, strip, unpacked);
    panel = unpacked;
  }
  Kernels().float_matmul(panel, w.num_columns, x.row(0), x.num_inputs(), x.num_tokens(), out,
                         out_stride);
}

// What a worker takes at once: strips of one job that follow each other.
struct Piece {
  const MatmulJob* job;
  int first_strip;
  int num_strips;

  const Matrix& weights() const { return *job->weights; }
  const std::byte* strip(int index) const {
    return weights().strips + static_cast<size_t>(first_strip + index) * weights().strip_bytes;
  }
  float* out(int index = 0) const { return job->out + (first_strip + index) * kStripRows; }
};

int PiecesOf(const MatmulJob& job, int strips_per_piece) {
  return (job.weights->num_strips() + strips_per_piece - 1) / strips_per_piece;
}

Piece FindPiece(std::span<const MatmulJob> jobs, int strips_per_piece, int64_t index) {
  const MatmulJob* job = jobs.data();
  while (index >= PiecesOf(*job, strips_per_piece)) index -= PiecesOf(*job++, strips_per_piece);
  const int first = static_cast<int>(index) * strips_per_piece;
  return {job, first, std::min(strips_per_piece, job->weights->num_strips() - first)};
}

// The first tile reads the strip from memory, further ones from a cache.
void FewColumns(const Piece& piece, const Activations& x) {
  const Matrix& w = piece.weights();
  const MatmulKernels& kernels = Kernels().matmul[static_cast<int>(StripFormatOf(w.type))];
  for (int i = 0; i < piece.num_strips; ++i) {
    for (int tile = 0; tile < x.num_tiles(); ++tile) {
      const int column = tile * x.tile_columns();
      kernels.few(piece.strip(i), w.num_columns / 32, x.tile(tile),
                  std::min(x.tile_columns(), x.num_tokens() - column),
                  piece.out(i) + static_cast<size_t>(column) * piece.job->out_stride,
                  piece.job->out_stride);
    }
  }
}

void ManyColumns(const Piece& piece, const Activations& x, int first_tile, int end_tile,
                 Upcoming upcoming, PanelBlock* panels) {
  const Matrix& w = piece.weights();
  const MatmulKernels& kernels = Kernels().matmul[static_cast<int>(StripFormatOf(w.type))];
  const int num_blocks = w.num_columns / 32;
  for (int i = 0; i < piece.num_strips; ++i) {
    kernels.unpack(piece.strip(i), num_blocks, panels + static_cast<size_t>(i) * num_blocks);
  }
  const int first_column = first_tile * x.tile_columns();
  kernels.many(panels, piece.num_strips, num_blocks, x.tile(first_tile),
               std::min(end_tile * x.tile_columns(), x.num_tokens()) - first_column,
               piece.out() + static_cast<size_t>(first_column) * piece.job->out_stride,
               piece.job->out_stride, upcoming);
}

}  // namespace

void Activations::Reserve(int max_tokens, int max_inputs, bool integer) {
  integer_ = integer;
  floats_.resize(static_cast<size_t>(max_tokens) * max_inputs);
  if (integer) blocks_.resize(static_cast<size_t>(max_tokens) * max_inputs / 32);
}

void Activations::Quantize(int token, int first, int count) {
  if (!integer_) return;
  const int column = token % tile_columns_, first_of_tile = token - column;
  const int columns = std::min(tile_columns_, num_tokens_ - first_of_tile);
  ActBlock* out = blocks_.data() + static_cast<size_t>(first_of_tile) * num_inputs_ / 32 +
                  static_cast<size_t>(first / 32) * columns + column;
  Kernels().quantize(row(token) + first, count / 32, out, columns);
}

MatmulScratch::MatmulScratch(int num_workers, int max_inputs) : panels_(num_workers) {
  // The float path needs 64 bytes per input, the integer path kMaxPanels times sizeof(PanelBlock) =
  // 768 per 32 inputs: 48.
  const size_t bytes = static_cast<size_t>(max_inputs) * kStripRows * sizeof(float);
  for (auto& panel : panels_) panel.resize((bytes + sizeof(PanelBlock) - 1) / sizeof(PanelBlock));
}

void RunMatmuls(Worker& worker, std::span<const MatmulJob> jobs, const Activations& x,
                MatmulScratch& scratch) {
  if (x.num_tokens() == 0) return;
  const bool few = x.few();
  const int strips_per_piece = few ? 1 : kMaxPanels;
  int64_t total_pieces = 0;
  for (const MatmulJob& job : jobs) {
    HEARTH_DCHECK(job.weights->num_columns == x.num_inputs());
    total_pieces += PiecesOf(job, strips_per_piece);
  }
  const size_t tile_bytes =
      static_cast<size_t>(x.tile_columns()) * x.num_inputs() / 32 * sizeof(ActBlock);
  int tiles_per_group = x.num_tiles();
  if (!few) {
    tiles_per_group =
        std::clamp(static_cast<int>(Kernels().tile_group_bytes / tile_bytes), 1, x.num_tiles());
  }
  const int num_groups = (x.num_tiles() + tiles_per_group - 1) / tiles_per_group;
  const bool reads_ahead = !few && tiles_per_group <= kMostTilesToReadAhead;
  PanelBlock* panels = scratch.panels(worker.index());
  const int64_t items = total_pieces * num_groups;
  const int64_t chunk =
      std::max<int64_t>(1, items / (static_cast<int64_t>(worker.count()) * kChunksPerWorker));

  const auto run = [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      // groups outermost: activations stay, strips stream by
      const int group = static_cast<int>(item / total_pieces);
      const Piece piece = FindPiece(jobs, strips_per_piece, item % total_pieces);
      const Matrix& w = piece.weights();
      if (w.is_float() || !x.integer()) {
        for (int i = 0; group == 0 && i < piece.num_strips; ++i)
          FloatStrip(w, piece.strip(i), x, piece.out(i), piece.job->out_stride, panels);
        continue;
      }
      if (few) {
        FewColumns(piece, x);
        continue;
      }
      Upcoming upcoming;
      if (item + 1 < end && reads_ahead) {
        const Piece next = FindPiece(jobs, strips_per_piece, (item + 1) % total_pieces);
        upcoming = {next.strip(0), next.num_strips * next.weights().strip_bytes};
      }
      ManyColumns(piece, x, group * tiles_per_group,
                  std::min((group + 1) * tiles_per_group, x.num_tiles()), upcoming, panels);
    }
  };
  if (few) {
    worker.ForEachInOrder(items, chunk, run);
  } else {
    worker.ForEach(items, chunk, run);
  }
}

}  // namespace hearth
