#include "kit/safetensors_writer.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/atomic_file.h"
#include "base/check.h"
#include "kit/json_file.h"

namespace hearth {
namespace {

constexpr size_t kHeaderAlignment = 8;
constexpr const char* kIndexName = "model.safetensors.index.json";

std::string ShardName(size_t shard, size_t num_shards) {
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", shard + 1, num_shards);
  return name;
}

// Weights of a model folder by the names that are read from there.
bool IsWeightsName(const std::string& name) {
  return name == kIndexName || name == "model.safetensors" ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

}  // namespace

void SafetensorsWriter::AddTensor(std::string name, TensorType type, std::vector<uint64_t> shape,
                                  TensorSource source) {
  HEARTH_CHECK(InfoOf(type).block_size == 1);
  HEARTH_CHECK(std::none_of(tensors_.begin(), tensors_.end(),
                            [&](const Tensor& t) { return t.name == name; }));
  uint64_t size_bytes = InfoOf(type).block_bytes;
  for (const uint64_t extent : shape) size_bytes *= extent;
  total_bytes_ += size_bytes;
  tensors_.push_back({std::move(name), type, std::move(shape), size_bytes, std::move(source)});
}

Status SafetensorsWriter::WriteSome(const std::string& path, std::vector<const Tensor*> tensors,
                                    const std::function<void(uint64_t)>& on_bytes) const {
  std::ranges::stable_sort(tensors, std::ranges::greater{},
                           [](const Tensor* t) { return InfoOf(t->type).block_bytes; });
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const Tensor* tensor : tensors) {
    header[tensor->name] = {{"dtype", InfoOf(tensor->type).name},
                            {"shape", tensor->shape},
                            {"data_offsets", {offset, offset + tensor->size_bytes}}};
    offset += tensor->size_bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const uint64_t header_bytes = text.size();
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(&header_bytes, 1))));
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  for (const Tensor* tensor : tensors) {
    const auto wrong_size = [&](const char* relation) {
      return MakeError(ErrorCode::kInvalidArgument,
                       "tensor " + tensor->name + ": " + relation + " than the " +
                           std::to_string(tensor->size_bytes) + " bytes of its shape");
    };
    uint64_t written = 0;
    HEARTH_RETURN_IF_ERROR(tensor->source([&](std::span<const std::byte> piece) -> Status {
      written += piece.size();
      if (written > tensor->size_bytes) return wrong_size("more");
      on_bytes(piece.size());
      return file.Write(piece);
    }));
    if (written != tensor->size_bytes) return wrong_size("fewer");
  }
  return file.Commit();
}

Status SafetensorsWriter::Write(const std::string& path,
                                const std::function<void(double)>& on_progress) const {
  std::vector<const Tensor*> all;
  for (const Tensor& tensor : tensors_) all.push_back(&tensor);
  uint64_t done_bytes = 0;
  return WriteSome(path, std::move(all), [&](uint64_t bytes) {
    done_bytes += bytes;
    if (on_progress)
      on_progress(static_cast<double>(done_bytes) / static_cast<double>(total_bytes_));
  });
}

Result<std::vector<std::string>> SafetensorsWriter::WriteFolder(
    const std::string& folder, uint64_t max_file_bytes,
    const std::function<void(double)>& on_progress) const {
  std::vector<std::vector<const Tensor*>> shards(1);
  uint64_t shard_bytes = 0;
  for (const Tensor& tensor : tensors_) {
    if (!shards.back().empty() && shard_bytes + tensor.size_bytes > max_file_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    shards.back().push_back(&tensor);
    shard_bytes += tensor.size_bytes;
  }
  uint64_t done_bytes = 0;
  const auto on_bytes = [&](uint64_t bytes) {
    done_bytes += bytes;
    if (on_progress)
      on_progress(static_cast<double>(done_bytes) / static_cast<double>(total_bytes_));
  };
  std::vector<std::string> names;
  Json weight_map = Json::object();
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    names.push_back(shards.size() == 1 ? "model.safetensors" : ShardName(shard, shards.size()));
    for (const Tensor* tensor : shards[shard]) weight_map[tensor->name] = names.back();
    HEARTH_RETURN_IF_ERROR(WriteSome(folder + "/" + names.back(), shards[shard], on_bytes));
  }
  if (shards.size() > 1) {
    const Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", weight_map}};
    const std::string text = index.dump(2) + "\n";
    names.push_back(kIndexName);
    HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(folder + "/" + kIndexName));
    HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
    HEARTH_RETURN_IF_ERROR(file.Commit());
  }
  const std::set<std::string> ours(names.begin(), names.end());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (IsWeightsName(name) && !ours.contains(name)) std::filesystem::remove(entry.path(), ignored);
  }
  return names;
}

}  // namespace hearth
