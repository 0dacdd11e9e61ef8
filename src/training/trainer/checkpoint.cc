#include "training/trainer/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "base/atomic_file.h"
#include "base/mapped_file.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little);

constexpr const char* kFormat = "hearth-checkpoint";
constexpr int kVersion = 1;
constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kUnfinished = ".unfinished";
constexpr int64_t kPieceElements = int64_t{1} << 24;
constexpr std::array<const char*, 3> kBufferNames = {"master", "moment1", "moment2"};

std::array<Tensor, 3> BuffersOf(const FlatAdamW& optimizer) {
  return {optimizer.master(), optimizer.moment1(), optimizer.moment2()};
}

// A few GB/s on one core, and sees any changed word; buffers are whole numbers of 8 bytes.
class Hash {
 public:
  void Add(std::span<const std::byte> bytes) {
    for (size_t at = 0; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      state_ = std::rotl(state_ ^ word, 29) * 0x9E3779B97F4A7C15ull;
    }
  }
  std::string Text() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(state_));
    return text;
  }

 private:
  uint64_t state_ = 0x243F6A8885A308D3ull;
};

std::string BufferPath(const std::string& folder, const char* name) {
  return folder + "/" + name + ".f32";
}

Error IoError(const std::string& path, const std::error_code& code) {
  return {code == std::errc::permission_denied   ? ErrorCode::kPermission
          : code == std::errc::no_space_on_device ? ErrorCode::kResourceExhausted
                                                  : ErrorCode::kIo,
          path + ": " + code.message()};
}

Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good = fd >= 0 && fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) close(fd);
  if (good) return {};
  return tl::unexpected(IoError(folder, std::error_code(code, std::generic_category())));
}

// The step that a folder's name says; nothing for others.
std::optional<int64_t> StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, code] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (code != std::errc() || stop != end) return std::nullopt;
  return step;
}

Result<std::string> WriteBuffer(const std::string& path, const Tensor& buffer) {
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  Hash hash;
  for (int64_t begin = 0; begin < buffer.numel(); begin += kPieceElements) {
    const int64_t count = std::min(kPieceElements, buffer.numel() - begin);
    const Tensor piece = buffer.narrow(0, begin, count).to(at::kCPU).contiguous();
    const auto bytes = std::as_bytes(
        std::span(piece.data_ptr<float>(), static_cast<size_t>(count)));
    hash.Add(bytes);
    HEARTH_RETURN_IF_ERROR(file.Write(bytes));
  }
  HEARTH_RETURN_IF_ERROR(file.Commit());
  return hash.Text();
}

Status ReadBuffer(const std::string& path, const std::string& hash_text, Tensor buffer) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const size_t expected = static_cast<size_t>(buffer.numel()) * sizeof(float);
  if (file.bytes().size() != expected) {
    return MakeError(ErrorCode::kCorrupt, path + ": " + std::to_string(file.bytes().size()) +
                                              " bytes, not " + std::to_string(expected));
  }
  Hash hash;
  hash.Add(file.bytes());
  if (hash.Text() != hash_text) {
    return MakeError(ErrorCode::kCorrupt, path + ": its hash is " + hash.Text() +
                                              ", state.json says " + hash_text);
  }
  for (int64_t begin = 0; begin < buffer.numel(); begin += kPieceElements) {
    const int64_t count = std::min(kPieceElements, buffer.numel() - begin);
    // Only read from.
    auto* data = const_cast<std::byte*>(file.bytes().data()) +
                 static_cast<size_t>(begin) * sizeof(float);
    buffer.narrow(0, begin, count).copy_(at::from_blob(data, {count}, at::kFloat));
  }
  return {};
}

void RemoveOld(const std::string& checkpoints, int keep) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(checkpoints, code)) {
    const std::string name = entry.path().filename().string();
    if (const auto step = StepOf(name)) {
      found.emplace_back(*step, entry.path());
    } else if (name.starts_with(kPrefix) && name.ends_with(kUnfinished)) {
      fs::remove_all(entry.path(), code);
    }
  }
  std::sort(found.begin(), found.end());
  const size_t kept = static_cast<size_t>(std::max(keep, 1));
  for (size_t i = 0; i + kept < found.size(); ++i) fs::remove_all(found[i].second, code);
}

Json StateJson(const TrainState& state, const Facts& facts, const FlatAdamW& optimizer,
               const std::array<std::string, 3>& hashes) {
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"step", state.step},
               {"updates", state.updates},
               {"watchdog", state.watchdog},
               {"best_step", state.best_step},
               {"facts", facts},
               {"layout", optimizer.layout()},
               {"size", optimizer.size()}};
  json["best_held_out_loss"] =
      state.best_held_out_loss ? Json(*state.best_held_out_loss) : Json();
  for (size_t i = 0; i < hashes.size(); ++i) json["hashes"][kBufferNames[i]] = hashes[i];
  return json;
}

Status CheckSameRun(const std::string& checkpoint, const Json& json, const Facts& facts,
                    const FlatAdamW& optimizer) {
  std::string difference = DifferenceOf(json.at("facts").get<Facts>(), facts);
  if (difference.empty()) {
    const auto then = json.at("layout").get<std::vector<std::string>>();
    const auto& now = optimizer.layout();
    for (size_t i = 0; i < std::max(then.size(), now.size()) && difference.empty(); ++i) {
      const std::string was = i < then.size() ? then[i] : "none";
      const std::string is = i < now.size() ? now[i] : "none";
      if (was != is) difference = "parameter " + std::to_string(i) + " was " + was + ", now " + is;
    }
  }
  if (difference.empty()) return {};
  return MakeError(ErrorCode::kInvalidArgument,
                   checkpoint + ": " + difference +
                       "; a run resumes only with what it began with, or begins anew where there "
                       "is no checkpoint");
}

}  // namespace

std::string DifferenceOf(const Facts& then, const Facts& now) {
  const auto value_in = [](const Facts& facts, const std::string& name) -> const std::string* {
    for (const auto& [known, value] : facts) {
      if (known == name) return &value;
    }
    return nullptr;
  };
  for (const auto& [name, value] : now) {
    const std::string* was = value_in(then, name);
    if (was == nullptr) return name + " was not there, now " + value;
    if (*was != value) return name + " was " + *was + ", now " + value;
  }
  for (const auto& [name, value] : then) {
    if (value_in(now, name) == nullptr) return name + " was " + value + ", now not there";
  }
  return "";
}

Status SaveCheckpoint(const std::string& checkpoints, const TrainState& state, const Facts& facts,
                      const FlatAdamW& optimizer, int keep) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(state.step));
  const std::string folder = checkpoints + "/" + name;
  const std::string unfinished = folder + std::string(kUnfinished);
  std::error_code code;
  fs::remove_all(unfinished, code);
  fs::create_directories(unfinished, code);
  if (code) return tl::unexpected(IoError(unfinished, code));
  std::array<std::string, 3> hashes;
  const auto buffers = BuffersOf(optimizer);
  for (size_t i = 0; i < buffers.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(hashes[i],
                            WriteBuffer(BufferPath(unfinished, kBufferNames[i]), buffers[i]));
  }
  HEARTH_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(unfinished + "/state.json"));
  const std::string text =
      StateJson(state, facts, optimizer, hashes)
          .dump(1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) +
      "\n";
  HEARTH_RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(text))));
  HEARTH_RETURN_IF_ERROR(file.Commit());
  HEARTH_RETURN_IF_ERROR(SyncFolder(unfinished));
  // One of the same step (a run that was begun anew) makes way.
  fs::remove_all(folder, code);
  fs::rename(unfinished, folder, code);
  if (code) return tl::unexpected(IoError(folder, code));
  HEARTH_RETURN_IF_ERROR(SyncFolder(checkpoints));
  RemoveOld(checkpoints, keep);
  return {};
}

std::optional<std::string> NewestCheckpoint(const std::string& checkpoints) {
  std::optional<std::string> newest;
  int64_t newest_step = -1;
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(checkpoints, code)) {
    const auto step = StepOf(entry.path().filename().string());
    if (!step || *step <= newest_step) continue;
    newest_step = *step;
    newest = entry.path().string();
  }
  return newest;
}

Result<TrainState> LoadCheckpoint(const std::string& checkpoint, const Facts& facts,
                                  FlatAdamW& optimizer) {
  const std::string path = checkpoint + "/state.json";
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  TrainState state;
  std::array<std::string, 3> hashes;
  try {
    const Json json = Json::parse(text, text + file.bytes().size());
    if (json.at("format") != kFormat || json.at("version") != kVersion) {
      return MakeError(ErrorCode::kUnsupported, path + ": format " + json.at("format").dump() +
                                                    ", version " + json.at("version").dump());
    }
    state.step = json.at("step");
    state.updates = json.at("updates");
    state.watchdog = json.at("watchdog").get<Watchdog::State>();
    state.best_step = json.at("best_step");
    if (!json.at("best_held_out_loss").is_null())
      state.best_held_out_loss = json.at("best_held_out_loss").get<double>();
    for (size_t i = 0; i < hashes.size(); ++i) hashes[i] = json.at("hashes").at(kBufferNames[i]);
    HEARTH_RETURN_IF_ERROR(CheckSameRun(checkpoint, json, facts, optimizer));
  } catch (const Json::exception& error) {
    return MakeError(ErrorCode::kCorrupt, path + ": " + error.what());
  }
  const auto buffers = BuffersOf(optimizer);
  for (size_t i = 0; i < buffers.size(); ++i) {
    HEARTH_RETURN_IF_ERROR(
        ReadBuffer(BufferPath(checkpoint, kBufferNames[i]), hashes[i], buffers[i]));
  }
  optimizer.WriteParameters();
  return state;
}

}  // namespace hearth::forge
