#pragma once
// What a stage made: a folder that is named by what it was made from, with the outputs, the stage's
// log and artifact.json, which tells all of it. A folder under its name is complete: it takes the
// name by a rename.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/recipe/stage.h"

namespace hearth::forge {

// Where an input came from: an artifact's output, or a file or folder.
struct ArtifactInput {
  std::string key;       // of the stage
  std::string artifact;  // its key; "" for a file
  std::string output;    // of that artifact
  std::string path;      // of a file
  std::string sha256;    // of a file: its bytes; of a folder: HashOfPath
  int64_t size_bytes = 0;
  std::string licence, source;  // of a file, as the recipe says
};

struct ArtifactOutput {
  std::string name;
  std::string file;
  std::string content;
  std::string sha256;
  int64_t size_bytes = 0;
};

struct Artifact {
  std::string key;  // ArtifactKey
  std::string kind;
  int version = 1;
  std::string parameters;      // CanonicalParameters
  std::string all_parameters;  // for people: also those without effect on the result
  std::optional<int64_t> seed;
  std::vector<ArtifactInput> inputs;
  std::vector<ArtifactOutput> outputs;
  std::vector<StageFigure> figures;
  double created_at = 0;  // seconds since 1970
  double seconds = 0;     // of work, those of interrupted attempts included
  std::string device;
  int num_devices = 0;
  std::string host;
  std::string program;  // "hearth-forge 0.1.0"

  const ArtifactOutput* FindOutput(std::string_view name) const;
};

// KIND-HASH: equal for equal kind, version, parameters and contents of inputs, else different.
// Where the inputs lie, and what they and the stage are called, does not matter.
std::string ArtifactKey(const StageDeclaration& kind, std::string_view canonical_parameters,
                        const std::vector<ArtifactInput>& inputs);

// The text of artifact.json, and back. Errors: kCorrupt.
std::string ToJson(const Artifact& artifact);
Result<Artifact> ArtifactFromJson(std::string_view json);

// What a path holds: the hash of a file's bytes, or of the names and hashes of all files of a
// folder. `hash_file` is asked for each file.
struct PathContent {
  std::string sha256;
  int64_t size_bytes = 0;
};
using FileHasher = std::function<Result<std::string>(const std::string& path)>;
Result<PathContent> HashPath(const std::string& path, const FileHasher& hash_file);

// The size of a file, or of all files of a folder. Errors: kNotFound.
Result<int64_t> SizeOfPath(const std::string& path);

}  // namespace hearth::forge
