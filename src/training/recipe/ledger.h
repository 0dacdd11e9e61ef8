#pragma once
// The ledger of a working folder, in SQLite: which runs there were, what became of their stages,
// which artifacts they made from what, every figure, time and machine. It also remembers hashes of
// files, so that a model is read once and not on every run. Threads: one at a time; processes: many
// readers beside one writer.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "training/recipe/artifact.h"
#include "training/recipe/database.h"

namespace hearth::forge {

// Of a stage within a run; of a run: kRunning, kDone, kFailed, kStopped.
enum class RunState {
  kWaiting,  // its turn did not come yet
  kRunning,
  kDone,
  kReused,   // its artifact was there already
  kSkipped,  // not asked for (--only)
  kFailed,
  kStopped,  // by Ctrl-C or a signal; goes on with the next `run`
};
std::string_view RunStateName(RunState state);

struct RunRecord {
  int64_t id = 0;
  std::string name;
  std::string identity;  // the same for the same recipe over the same inputs
  std::string description;
  std::string recipe_path;
  std::string recipe_text;
  std::string overrides;  // one a line
  std::string targets;    // JSON, for reports
  RunState state = RunState::kRunning;
  double started_at = 0;  // of its first attempt, seconds since 1970
  double ended_at = 0;    // 0: not yet
  int attempts = 0;
  std::string host;
  std::string program;
};

struct StageRecord {
  int64_t run = 0;
  int position = 0;
  std::string name;
  std::string kind;
  std::string artifact;         // key, also before it is made
  std::vector<int> reads_from;  // positions
  RunState state = RunState::kWaiting;
  double progress = 0;  // 0 to 1
  std::string doing;
  std::string error;
  double started_at = 0;  // of this attempt
  double ended_at = 0;
  double seconds = 0;  // of work, all attempts together; 0 for a reused artifact
};

class Ledger {
 public:
  // The file ledger.db of a working folder. Errors: those of Database::Open.
  static Result<Ledger> Open(const std::string& workdir, bool create);

  // The SHA-256 of a file. Read again when its size, its time of change or its inode is another
  // than when it was read last, or when it had changed just before: its time may not tell then.
  Result<std::string> HashOfFile(const std::string& path);

  // The run of that identity, new or again. Its stages are replaced; those that it made already
  // stay done, the others keep their seconds so far.
  Result<int64_t> BeginRun(const RunRecord& run, const std::vector<StageRecord>& stages);
  Status EndRun(int64_t run, RunState state, double ended_at);
  Status UpdateStage(const StageRecord& stage);

  // Replaces one of the same key.
  Status PutArtifact(const Artifact& artifact);
  Result<std::optional<Artifact>> FindArtifact(std::string_view key);
  Status DropArtifact(std::string_view key);

  // The newest first.
  Result<std::vector<RunRecord>> Runs();
  Result<std::optional<RunRecord>> FindRun(int64_t id);
  // In order.
  Result<std::vector<StageRecord>> Stages(int64_t run);

 private:
  explicit Ledger(Database database) : database_(std::move(database)) {}

  Database database_;
};

// Seconds since 1970, now.
double UnixSeconds();

}  // namespace hearth::forge
