#include "training/recipe/stages/processes.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "training/trainer/launcher.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

int RankHere() {
  const char* rank = std::getenv("RANK");
  return rank != nullptr ? std::atoi(rank) : 0;
}

bool IsCopy() { return std::getenv("WORLD_SIZE") != nullptr; }

// The files by which a stage and its copies speak, in the scratch folder.
struct Files {
  explicit Files(const std::string& scratch)
      : stage(scratch + "/copies.json"),
        result(scratch + "/copies.result.json"),
        log(scratch + "/copies.log"),
        progress(scratch + "/copies.progress") {}
  std::string stage, result, log, progress;
};

Json ToJson(const KeyValue& value) {
  if (const auto* datasets = std::get_if<std::vector<DatasetEntry>>(&value)) {
    Json list = Json::array();
    for (const DatasetEntry& entry : *datasets)
      list.push_back({{"path", entry.path}, {"type", entry.type}});
    return list;
  }
  return std::visit(
      [](const auto& one) -> Json {
        if constexpr (std::is_same_v<std::decay_t<decltype(one)>, std::vector<DatasetEntry>>) {
          return nullptr;
        } else {
          return one;
        }
      },
      value);
}

KeyValue FromJson(const Json& json, KeyType type) {
  switch (type) {
    case KeyType::kBool:
      return json.get<bool>();
    case KeyType::kInt:
      return json.get<int64_t>();
    case KeyType::kFloat:
      return json.get<double>();
    case KeyType::kString:
    case KeyType::kChoice:
    case KeyType::kInput:
      return json.get<std::string>();
    case KeyType::kStrings:
    case KeyType::kInputs:
      return json.get<std::vector<std::string>>();
    case KeyType::kDatasets: {
      std::vector<DatasetEntry> entries;
      for (const Json& entry : json)
        entries.push_back(
            {entry.at("path").get<std::string>(), entry.at("type").get<std::string>()});
      return entries;
    }
  }
  return KeyValue();
}

Status WriteText(const std::string& path, const std::string& text) {
  {
    std::ofstream file(path + ".part", std::ios::binary);
    file << text;
    file.close();
    if (!file) return MakeError(ErrorCode::kIo, path + " cannot be written");
  }
  std::error_code error;
  fs::rename(path + ".part", path, error);
  if (error) return MakeError(ErrorCode::kIo, path + ": " + error.message());
  return {};
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json DescribeStage(const StageContext& context) {
  const StageDeclaration& declaration = context.declaration();
  Json json = {{"kind", declaration.name},
               {"output_folder", context.output_folder()},
               {"scratch_folder", context.scratch_folder()},
               {"parameters", Json::object()},
               {"inputs", Json::object()}};
  for (const auto& [key, value] : context.parameters().values())
    json["parameters"][key] = ToJson(value);
  for (const KeySpec& key : declaration.keys)
    if (key.is_input()) json["inputs"][key.name] = context.Inputs(key.name);
  return json;
}

Json ToJson(const Result<StageResult>& result) {
  if (!result)
    return {{"code", static_cast<int>(result.error().code)}, {"error", result.error().message}};
  Json figures = Json::array();
  for (const StageFigure& figure : result->figures)
    figures.push_back({{"name", figure.name}, {"value", figure.value}, {"unit", figure.unit}});
  return {{"figures", figures}, {"device", result->device}, {"num_devices", result->num_devices}};
}

Result<StageResult> ReadResult(const std::string& path) {
  const Json json = Json::parse(ReadText(path), nullptr, false);
  if (!json.is_object()) return MakeError(ErrorCode::kCorrupt, path + " is no result of a stage");
  if (json.contains("error"))
    return MakeError(static_cast<ErrorCode>(json.at("code").get<int>()),
                     json.at("error").get<std::string>());
  StageResult result;
  for (const Json& figure : json.at("figures"))
    result.figures.push_back({figure.at("name").get<std::string>(),
                              figure.at("value").get<double>(),
                              {},
                              {},
                              figure.at("unit").get<std::string>()});
  result.device = json.at("device").get<std::string>();
  result.num_devices = json.at("num_devices").get<int>();
  return result;
}

// Tells a stage's listeners what copy 0 says of itself.
class Watcher {
 public:
  Watcher(const StageContext& context, std::string path)
      : context_(context), path_(std::move(path)), thread_([this] { Watch(); }) {}
  ~Watcher() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

 private:
  void Watch() {
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, std::chrono::seconds(1), [this] { return ends_; })) {
      const std::string text = ReadText(path_);
      const size_t space = text.find(' ');
      if (space == std::string::npos) continue;
      context_.Progress(std::atof(text.c_str()), text.substr(space + 1));
    }
  }

  const StageContext& context_;
  std::string path_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;
};

std::atomic<bool> stop_requested = false;
void RequestStop(int signal) {
  stop_requested = true;
  std::signal(signal, SIG_DFL);
}

StageContext::Options OptionsOf(const Json& json, const StageKind& kind, const Files& files) {
  StageContext::Options options;
  options.declaration = &kind.declaration();
  for (const auto& [name, value] : json.at("parameters").items()) {
    const KeySpec* key = options.declaration->FindKey(name);
    if (key != nullptr) options.parameters.Set(name, FromJson(value, key->type));
  }
  for (const auto& [name, paths] : json.at("inputs").items())
    options.inputs[name] = paths.get<std::vector<std::string>>();
  options.output_folder = json.at("output_folder").get<std::string>();
  options.scratch_folder = json.at("scratch_folder").get<std::string>();
  options.cancelled = &stop_requested;
  if (const int rank = RankHere(); rank > 0) {
    options.scratch_folder += "/copy-" + std::to_string(rank);
    options.output_folder = options.scratch_folder + "/output";
    fs::create_directories(options.output_folder);
    return options;
  }
  options.on_log = [&files](std::string_view line) {
    std::ofstream(files.log, std::ios::app) << line << "\n";
  };
  options.on_progress = [&files, last = std::chrono::steady_clock::time_point()](
                            double done, std::string_view what) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(500)) return;
    last = now;
    // A progress that cannot be written ends nothing.
    static_cast<void>(WriteText(files.progress, std::to_string(done) + " " + std::string(what)));
  };
  return options;
}

}  // namespace

bool StartsCopies(const StageContext& context) {
  return context.parameters().Int("num_processes") > 1 && !IsCopy();
}

Result<StageResult> RunInCopies(const StageKind& kind, const StageContext& context) {
  if (context.copy_command().empty()) {
    return MakeError(ErrorCode::kUnsupported,
                     "num_processes: nobody said which program its processes are");
  }
  const std::string& name = kind.declaration().name;
  const Files files(context.scratch_folder());
  std::error_code ignored;
  for (const std::string& path : {files.result, files.log, files.progress})
    fs::remove(path, ignored);
  HEARTH_RETURN_IF_ERROR(WriteText(files.stage, DescribeStage(context).dump(1)));
  LaunchOptions options;
  options.num_processes = context.parameters().SmallInt("num_processes");
  options.command = context.copy_command();
  options.command.push_back(files.stage);
  context.Log(name + " in " + std::to_string(options.num_processes) + " processes");
  Status launched;
  {
    const Watcher watcher(context, files.progress);
    launched = Launch(options);
  }
  std::istringstream log(ReadText(files.log));
  for (std::string line; std::getline(log, line);) context.Log(line);
  // What copy 0 says of a failure tells more than that it failed.
  if (fs::exists(files.result, ignored)) {
    Result<StageResult> result = ReadResult(files.result);
    if (!result || launched) return result;
  }
  HEARTH_RETURN_IF_ERROR(launched);
  return MakeError(ErrorCode::kInternal, name + ": its processes left no result");
}

Status RunStageCopy(const StageKinds& kinds, const std::string& path) {
  const Json json = Json::parse(ReadText(path), nullptr, false);
  const StageKind* kind =
      json.is_object() ? FindKind(kinds, json.value("kind", std::string())) : nullptr;
  if (kind == nullptr) return MakeError(ErrorCode::kCorrupt, path + " describes no stage");
  std::signal(SIGINT, RequestStop);
  std::signal(SIGTERM, RequestStop);
  const Files files(json.value("scratch_folder", std::string()));
  const Result<StageResult> result = [&]() -> Result<StageResult> {
    try {
      return kind->Run(StageContext(OptionsOf(json, *kind, files)));
    } catch (const std::bad_alloc&) {
      return MakeError(ErrorCode::kResourceExhausted, "out of memory");
    } catch (const std::exception& error) {
      return MakeError(ErrorCode::kInternal, error.what());
    }
  }();
  if (RankHere() == 0) HEARTH_RETURN_IF_ERROR(WriteText(files.result, ToJson(result).dump()));
  // A stop is no failure, for which the others would be ended.
  if (!result && result.error().code != ErrorCode::kCancelled)
    return tl::unexpected(result.error());
  return {};
}

}  // namespace hearth::forge
