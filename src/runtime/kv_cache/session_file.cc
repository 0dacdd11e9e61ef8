#include "runtime/kv_cache/session_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/checked_math.h"
#include "runtime/quant/strip.h"

namespace hearth {
namespace {

constexpr std::array<char, 8> kMagic = {'H', 'E', 'A', 'R', 'T', 'H', 'K', 'V'};
constexpr uint32_t kVersion = 1;
// The layout of a block (kernels.h). A change of it changes this number.
constexpr uint32_t kKvLayoutVersion = 2;
// No model comes near; a larger shape is a damaged file.
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxKvHeads = 4096;

struct FileHeader {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t num_blocks;
  uint64_t block_bytes;
  uint64_t checksum;  // of header and table, this field zero
  std::array<char, 32> model;
  std::array<char, 64> adapter;
  std::array<char, 16> kernels;
  uint32_t strip_layout_version;
  uint32_t kv_layout_version;
  uint32_t kv_storage;
  uint32_t integer_activations;
  uint32_t num_layers;
  uint32_t num_kv_heads;
  uint32_t head_dim;
  uint32_t block_tokens;
  std::array<char, 80> reserved;
};
static_assert(sizeof(FileHeader) == kKvSessionHeaderBytes);

struct FileBlock {
  int32_t parent;
  uint32_t reserved;
  uint64_t checksum;
  std::array<int32_t, kKvBlockTokens> tokens;
};
static_assert(sizeof(FileBlock) == 16 + 4 * kKvBlockTokens);

tl::unexpected<Error> Corrupt(const std::string& what) {
  return MakeError(ErrorCode::kCorrupt, "no saved KV: " + what);
}

template <size_t N>
void PutText(const std::string& text, std::array<char, N>* field) {
  HEARTH_CHECK(text.size() <= N);
  std::ranges::copy(text, field->begin());
}

// Up to the first zero byte; printable ASCII, for it comes back in messages.
template <size_t N>
std::optional<std::string> TakeText(const std::array<char, N>& field) {
  const std::string text(field.begin(), std::ranges::find(field, '\0'));
  const bool printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127; });
  return printable ? std::optional(text) : std::nullopt;
}

FileHeader HeaderOf(std::span<const std::byte> bytes) {
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

uint64_t HeadChecksum(std::span<const std::byte> head) {
  FileHeader header = HeaderOf(head);
  header.checksum = 0;
  const std::span<const std::byte> table = head.subspan(sizeof header);
  return XXH3_64bits_withSeed(table.data(), table.size(), XXH3_64bits(&header, sizeof header));
}

// The block's bytes are scattered over the layers; a layer's heads are adjacent.
template <typename F>
void ForEachPiece(const KvCacheStorage& kv, BlockId block, F&& piece) {
  const KvShape& shape = kv.shape();
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    const KvStorage storage = shape.storage_of(layer);
    const size_t size =
        KeyBlockBytes(storage, shape.head_dim) + ValueBlockBytes(storage, shape.head_dim);
    for (int head = 0; head < shape.num_kv_heads; ++head) piece(kv.keys(layer, block, head), size);
  }
}

const char* StorageName(KvStorage storage) {
  switch (storage) {
    case KvStorage::kF16:
      return "f16";
    case KvStorage::kInt8:
      return "int8";
    case KvStorage::kInt8Int4:
      return "int8-int4";
    case KvStorage::kInt4:
      return "int4";
  }
  return "unknown";
}

std::string AdapterText(const std::string& adapter) {
  return adapter.empty() ? "no adapter" : "adapter " + adapter;
}

}  // namespace

Status CheckSameKey(const KvSessionKey& saved, const KvSessionKey& ours) {
  const auto differs = [](const std::string& theirs, const std::string& mine) {
    return MakeError(ErrorCode::kInvalidArgument,
                     "the saved KV is of " + theirs + ", this is " + mine);
  };
  if (saved.model != ours.model) return differs("another model (" + saved.model + ")", ours.model);
  if (saved.adapter != ours.adapter)
    return differs(AdapterText(saved.adapter), AdapterText(ours.adapter));
  const KvShape &a = saved.shape, &b = ours.shape;
  if (a.storage != b.storage)
    return differs(std::string("KV type ") + StorageName(a.storage), StorageName(b.storage));
  if (saved.integer_activations != ours.integer_activations) {
    return differs(saved.integer_activations ? "int8 activations" : "f32 activations",
                   ours.integer_activations ? "int8" : "f32");
  }
  if (saved.kernels != ours.kernels)
    return differs("a machine with " + saved.kernels + " kernels", ours.kernels);
  if (a.num_layers != b.num_layers || a.num_kv_heads != b.num_kv_heads || a.head_dim != b.head_dim)
    return differs("another shape", "not that");
  return {};
}

Result<uint64_t> KvSessionHeadBytes(std::span<const std::byte> bytes, uint64_t file_bytes) {
  if (bytes.size() < sizeof(FileHeader) || file_bytes < sizeof(FileHeader))
    return Corrupt("it is too short");
  const FileHeader header = HeaderOf(bytes);
  if (header.magic != kMagic) return Corrupt("it does not begin with HEARTHKV");
  if (header.version != kVersion) {
    return MakeError(ErrorCode::kUnsupported,
                     "saved KV of format version " + std::to_string(header.version) +
                         ", this program reads version " + std::to_string(kVersion));
  }
  if (header.strip_layout_version != kStripLayoutVersion ||
      header.kv_layout_version != kKvLayoutVersion || header.block_tokens != kKvBlockTokens) {
    return MakeError(ErrorCode::kUnsupported, "KV saved by a version with another layout");
  }
  if (header.num_blocks > kMaxKvSessionBlocks)
    return Corrupt("it names " + std::to_string(header.num_blocks) + " blocks");
  const auto data = CheckedMul<uint64_t>(header.num_blocks, header.block_bytes);
  const uint64_t head = sizeof(FileHeader) + uint64_t{header.num_blocks} * sizeof(FileBlock);
  const auto expected = data ? CheckedAdd<uint64_t>(*data, head) : std::nullopt;
  if (!expected || *expected != file_bytes) {
    return Corrupt("it has " + std::to_string(file_bytes) + " bytes, which " +
                   std::to_string(header.num_blocks) + " blocks of " +
                   std::to_string(header.block_bytes) + " do not make");
  }
  return head;
}

Result<KvSessionHead> ParseKvSessionHead(std::span<const std::byte> bytes) {
  const FileHeader header = HeaderOf(bytes);
  HEARTH_CHECK(bytes.size() == sizeof header + header.num_blocks * sizeof(FileBlock));
  if (header.checksum != HeadChecksum(bytes)) return Corrupt("its head is damaged");
  const auto model = TakeText(header.model);
  const auto adapter = TakeText(header.adapter);
  const auto kernels = TakeText(header.kernels);
  if (!model || !adapter || !kernels) return Corrupt("its key is no text");
  if (header.kv_storage > static_cast<uint32_t>(KvStorage::kInt4))
    return Corrupt("KV type " + std::to_string(header.kv_storage));
  const bool sane = header.num_layers > 0 && header.num_layers <= kMaxLayers &&
                    header.num_kv_heads > 0 && header.num_kv_heads <= kMaxKvHeads &&
                    header.head_dim > 0 && header.head_dim <= kMaxHeadDim &&
                    header.head_dim % 32 == 0;
  if (!sane) return Corrupt("its shape is none of a model");
  KvSessionHead head;
  head.key = {*model, *adapter, *kernels, header.integer_activations != 0, {}};
  head.key.shape = {static_cast<int>(header.num_layers), static_cast<int>(header.num_kv_heads),
                    static_cast<int>(header.head_dim), static_cast<KvStorage>(header.kv_storage)};
  if (static_cast<uint64_t>(head.key.shape.bytes_per_block()) != header.block_bytes)
    return Corrupt("blocks of " + std::to_string(header.block_bytes) + " bytes");
  head.blocks.resize(header.num_blocks);
  for (size_t i = 0; i < head.blocks.size(); ++i) {
    FileBlock block;
    std::memcpy(&block, bytes.data() + sizeof header + i * sizeof block, sizeof block);
    if (block.parent < -1 || block.parent >= static_cast<int64_t>(i))
      return Corrupt("block " + std::to_string(i) + " follows block " +
                     std::to_string(block.parent));
    head.blocks[i] = {block.parent, block.tokens, block.checksum};
  }
  return head;
}

void SealKvSessionHead(std::span<std::byte> head) {
  FileHeader header = HeaderOf(head);
  header.checksum = HeadChecksum(head);
  std::memcpy(head.data(), &header, sizeof header);
}

Result<KvSessionReader> KvSessionReader::Open(const std::string& path) {
  KvSessionReader reader;
  reader.path_ = path;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status))
    return MakeError(ErrorCode::kNotFound, path + ": no such file");
  // a FIFO would keep us waiting
  if (!std::filesystem::is_regular_file(status))
    return MakeError(ErrorCode::kIo, path + " is no regular file");
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  reader.file_.open(path, std::ios::binary);
  if (error || !reader.file_) return MakeError(ErrorCode::kIo, path + " cannot be read");
  const auto failed = [&path](const Error& inner) {
    return MakeError(inner.code, path + ": " + inner.message);
  };
  const auto read = [&reader](std::vector<std::byte>& bytes, size_t from) {
    return reader.file_.read(reinterpret_cast<char*>(bytes.data() + from),
                             static_cast<std::streamsize>(bytes.size() - from)) &&
           true;
  };
  std::vector<std::byte> head(std::min<uint64_t>(kKvSessionHeaderBytes, file_bytes));
  if (!read(head, 0)) return MakeError(ErrorCode::kIo, path + " cannot be read");
  const Result<uint64_t> head_bytes = KvSessionHeadBytes(head, file_bytes);
  if (!head_bytes) return failed(head_bytes.error());
  head.resize(*head_bytes);  // no more than the file has
  if (!read(head, kKvSessionHeaderBytes))
    return MakeError(ErrorCode::kIo, path + " cannot be read");
  Result<KvSessionHead> parsed = ParseKvSessionHead(head);
  if (!parsed) return failed(parsed.error());
  reader.head_ = std::move(*parsed);
  return reader;
}

Status KvSessionReader::ReadNext(KvCacheStorage& kv, BlockId block) {
  HEARTH_CHECK(next_ < head_.blocks.size());
  const size_t index = next_++;
  buffer_.resize(static_cast<size_t>(kv.shape().bytes_per_block()));
  if (!file_.read(reinterpret_cast<char*>(buffer_.data()),
                  static_cast<std::streamsize>(buffer_.size())))
    return MakeError(ErrorCode::kIo, path_ + " cannot be read");
  if (XXH3_64bits(buffer_.data(), buffer_.size()) != head_.blocks[index].checksum) {
    return MakeError(ErrorCode::kCorrupt,
                     path_ + ": block " + std::to_string(index) + " is damaged");
  }
  const std::byte* from = buffer_.data();
  ForEachPiece(kv, block, [&](std::byte* to, size_t size) {
    std::memcpy(to, from, size);
    from += size;
  });
  return {};
}

void KvSessionReader::Skip() {
  ++next_;
  file_.seekg(head_.key.shape.bytes_per_block(), std::ios::cur);
}

Status WriteKvSession(const std::string& path, const KvSessionKey& key, const KvCacheStorage& kv,
                      std::span<const PublishedBlock> blocks) {
  const KvShape& shape = kv.shape();
  FileHeader header{};
  header.magic = kMagic;
  header.version = kVersion;
  header.num_blocks = static_cast<uint32_t>(blocks.size());
  header.block_bytes = static_cast<uint64_t>(shape.bytes_per_block());
  PutText(key.model, &header.model);
  PutText(key.adapter, &header.adapter);
  PutText(key.kernels, &header.kernels);
  header.strip_layout_version = kStripLayoutVersion;
  header.kv_layout_version = kKvLayoutVersion;
  header.kv_storage = static_cast<uint32_t>(shape.storage);
  header.integer_activations = key.integer_activations ? 1 : 0;
  header.num_layers = static_cast<uint32_t>(shape.num_layers);
  header.num_kv_heads = static_cast<uint32_t>(shape.num_kv_heads);
  header.head_dim = static_cast<uint32_t>(shape.head_dim);
  header.block_tokens = kKvBlockTokens;

  std::vector<std::byte> block_bytes(header.block_bytes);
  const auto gather = [&](BlockId block) {
    std::byte* to = block_bytes.data();
    ForEachPiece(kv, block, [&](const std::byte* from, size_t size) {
      std::memcpy(to, from, size);
      to += size;
    });
  };
  std::vector<std::byte> head(sizeof header + blocks.size() * sizeof(FileBlock));
  for (size_t i = 0; i < blocks.size(); ++i) {
    gather(blocks[i].id);
    FileBlock block{blocks[i].parent, 0, XXH3_64bits(block_bytes.data(), block_bytes.size()), {}};
    HEARTH_CHECK(blocks[i].tokens.size() == kKvBlockTokens);
    std::ranges::copy(blocks[i].tokens, block.tokens.begin());
    std::memcpy(head.data() + sizeof header + i * sizeof block, &block, sizeof block);
  }
  std::memcpy(head.data(), &header, sizeof header);
  SealKvSessionHead(head);

  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(head));
  for (const PublishedBlock& block : blocks) {
    gather(block.id);
    HEARTH_RETURN_IF_ERROR(file.Write(block_bytes));
  }
  return file.Commit();
}

}  // namespace hearth
