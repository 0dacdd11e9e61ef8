#include "training/recipe/artifact.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/sha256.h"

namespace hearth::forge {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Enough that no two meet by chance, short enough to read: 80 bits.
constexpr size_t kKeyDigits = 20;
constexpr size_t kMaxFiles = 100000;

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json JsonOf(const StageFigure& figure) {
  Json json = {{"name", figure.name}, {"value", figure.value}};
  if (figure.low) json["low"] = *figure.low;
  if (figure.high) json["high"] = *figure.high;
  if (!figure.unit.empty()) json["unit"] = figure.unit;
  return json;
}

// A figure that is no number is null.
double NumberOr(const Json& json, const char* name, double otherwise) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number() ? found->get<double>() : otherwise;
}

std::optional<double> MaybeNumber(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

// The files below a folder as relative path and full path, sorted; links are followed.
Result<std::vector<std::pair<std::string, std::string>>> FilesOf(const std::string& folder) {
  std::vector<std::pair<std::string, std::string>> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    std::error_code status_error;
    if (!it->is_regular_file(status_error)) continue;
    files.emplace_back(it->path().lexically_relative(folder).generic_string(), it->path().string());
    if (files.size() > kMaxFiles) {
      return MakeError(ErrorCode::kResourceExhausted,
                       folder + " holds more than " + std::to_string(kMaxFiles) + " files");
    }
  }
  if (error) return MakeError(ErrorCode::kIo, folder + ": " + error.message());
  std::ranges::sort(files);
  return files;
}

tl::unexpected<Error> NotThere(const std::string& path) {
  return MakeError(ErrorCode::kNotFound, "there is no file " + path);
}

}  // namespace

const ArtifactOutput* Artifact::FindOutput(std::string_view name) const {
  const auto found = std::ranges::find(outputs, name, &ArtifactOutput::name);
  return found == outputs.end() ? nullptr : &*found;
}

std::string ArtifactKey(const StageDeclaration& kind, std::string_view canonical_parameters,
                        const std::vector<ArtifactInput>& inputs) {
  Json json = {
      {"kind", kind.name}, {"version", kind.version}, {"parameters", canonical_parameters}};
  Json contents = Json::array();
  for (const ArtifactInput& input : inputs) {
    if (input.artifact.empty()) {
      contents.push_back({input.key, input.sha256});
    } else {
      contents.push_back({input.key, input.artifact, input.output});
    }
  }
  json["inputs"] = std::move(contents);
  return kind.name + "-" + Sha256Of(Dump(json, -1)).substr(0, kKeyDigits);
}

std::string ToJson(const Artifact& artifact) {
  Json json = {{"key", artifact.key}, {"kind", artifact.kind}, {"version", artifact.version}};
  json["parameters"] = artifact.parameters;
  json["all_parameters"] = artifact.all_parameters;
  if (artifact.seed) json["seed"] = *artifact.seed;
  json["inputs"] = Json::array();
  for (const ArtifactInput& input : artifact.inputs) {
    Json entry = {{"key", input.key}};
    if (!input.artifact.empty()) {
      entry["artifact"] = input.artifact;
      entry["output"] = input.output;
    } else {
      entry["path"] = input.path;
      entry["sha256"] = input.sha256;
      entry["size_bytes"] = input.size_bytes;
      if (!input.licence.empty()) entry["licence"] = input.licence;
      if (!input.source.empty()) entry["source"] = input.source;
    }
    json["inputs"].push_back(std::move(entry));
  }
  json["outputs"] = Json::array();
  for (const ArtifactOutput& output : artifact.outputs) {
    json["outputs"].push_back({{"name", output.name},
                               {"file", output.file},
                               {"content", output.content},
                               {"sha256", output.sha256},
                               {"size_bytes", output.size_bytes}});
  }
  json["figures"] = Json::array();
  for (const StageFigure& figure : artifact.figures) json["figures"].push_back(JsonOf(figure));
  json["created_at"] = artifact.created_at;
  json["seconds"] = artifact.seconds;
  json["device"] = artifact.device;
  json["num_devices"] = artifact.num_devices;
  json["host"] = artifact.host;
  json["program"] = artifact.program;
  return Dump(json, 1) + "\n";
}

Result<Artifact> ArtifactFromJson(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    Artifact artifact;
    artifact.key = json.at("key").get<std::string>();
    artifact.kind = json.at("kind").get<std::string>();
    artifact.version = json.at("version").get<int>();
    artifact.parameters = json.at("parameters").get<std::string>();
    artifact.all_parameters = json.at("all_parameters").get<std::string>();
    if (json.contains("seed")) artifact.seed = json.at("seed").get<int64_t>();
    for (const Json& entry : json.at("inputs")) {
      ArtifactInput input;
      input.key = entry.at("key").get<std::string>();
      input.artifact = entry.value("artifact", "");
      input.output = entry.value("output", "");
      input.path = entry.value("path", "");
      input.sha256 = entry.value("sha256", "");
      input.size_bytes = entry.value("size_bytes", int64_t{0});
      input.licence = entry.value("licence", "");
      input.source = entry.value("source", "");
      artifact.inputs.push_back(std::move(input));
    }
    for (const Json& entry : json.at("outputs")) {
      ArtifactOutput output;
      output.name = entry.at("name").get<std::string>();
      output.file = entry.at("file").get<std::string>();
      output.content = entry.at("content").get<std::string>();
      output.sha256 = entry.at("sha256").get<std::string>();
      output.size_bytes = entry.at("size_bytes").get<int64_t>();
      artifact.outputs.push_back(std::move(output));
    }
    for (const Json& entry : json.at("figures")) {
      StageFigure figure;
      figure.name = entry.at("name").get<std::string>();
      figure.value = NumberOr(entry, "value", std::nan(""));
      figure.low = MaybeNumber(entry, "low");
      figure.high = MaybeNumber(entry, "high");
      figure.unit = entry.value("unit", "");
      artifact.figures.push_back(std::move(figure));
    }
    artifact.created_at = json.at("created_at").get<double>();
    artifact.seconds = json.at("seconds").get<double>();
    artifact.device = json.at("device").get<std::string>();
    artifact.num_devices = json.at("num_devices").get<int>();
    artifact.host = json.at("host").get<std::string>();
    artifact.program = json.at("program").get<std::string>();
    return artifact;
  } catch (const nlohmann::json::exception& error) {
    return MakeError(ErrorCode::kCorrupt, std::string("artifact.json: ") + error.what());
  }
}

Result<PathContent> HashPath(const std::string& path, const FileHasher& hash_file) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_regular_file(status)) {
    HEARTH_ASSIGN_OR_RETURN(std::string hash, hash_file(path));
    const auto size = fs::file_size(path, error);
    if (error) return MakeError(ErrorCode::kIo, path + ": " + error.message());
    return PathContent{std::move(hash), static_cast<int64_t>(size)};
  }
  if (!fs::is_directory(status)) return NotThere(path);
  HEARTH_ASSIGN_OR_RETURN(const auto files, FilesOf(path));
  Sha256 all;
  PathContent content;
  for (const auto& [relative, full] : files) {
    HEARTH_ASSIGN_OR_RETURN(const std::string hash, hash_file(full));
    all.Update(hash + "  " + relative + "\n");
    const auto size = fs::file_size(full, error);
    if (error) return MakeError(ErrorCode::kIo, full + ": " + error.message());
    content.size_bytes += static_cast<int64_t>(size);
  }
  content.sha256 = all.Finish();
  return content;
}

Result<int64_t> SizeOfPath(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return NotThere(path);
  if (!fs::is_directory(status)) {
    const auto size = fs::file_size(path, error);
    if (error) return MakeError(ErrorCode::kIo, path + ": " + error.message());
    return static_cast<int64_t>(size);
  }
  HEARTH_ASSIGN_OR_RETURN(const auto files, FilesOf(path));
  int64_t total = 0;
  for (const auto& [relative, full] : files) {
    const auto size = fs::file_size(full, error);
    if (!error) total += static_cast<int64_t>(size);
  }
  return total;
}

}  // namespace hearth::forge
