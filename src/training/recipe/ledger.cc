#include "training/recipe/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/sha256.h"

namespace hearth::forge {
namespace {

// One entry per schema version; never changed, only added to.
constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE file_hashes (
  path TEXT PRIMARY KEY, device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, identity TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
  recipe_path TEXT NOT NULL, recipe_text TEXT NOT NULL, overrides TEXT NOT NULL,
  targets TEXT NOT NULL, state TEXT NOT NULL, started_at REAL NOT NULL, ended_at REAL NOT NULL,
  attempts INTEGER NOT NULL, host TEXT NOT NULL, program TEXT NOT NULL);
CREATE TABLE stages (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, position INTEGER NOT NULL,
  name TEXT NOT NULL, kind TEXT NOT NULL, artifact TEXT NOT NULL, reads_from TEXT NOT NULL,
  state TEXT NOT NULL, progress REAL NOT NULL, doing TEXT NOT NULL, error TEXT NOT NULL,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, seconds REAL NOT NULL,
  PRIMARY KEY (run, position));
CREATE TABLE artifacts (
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL, parameters TEXT NOT NULL,
  all_parameters TEXT NOT NULL, seed INTEGER, created_at REAL NOT NULL, seconds REAL NOT NULL,
  device TEXT NOT NULL, num_devices INTEGER NOT NULL, host TEXT NOT NULL, program TEXT NOT NULL);
CREATE TABLE inputs (
  artifact TEXT NOT NULL REFERENCES artifacts(key) ON DELETE CASCADE, position INTEGER NOT NULL,
  key TEXT NOT NULL, from_artifact TEXT NOT NULL, from_output TEXT NOT NULL, path TEXT NOT NULL,
  sha256 TEXT NOT NULL, size INTEGER NOT NULL, licence TEXT NOT NULL, source TEXT NOT NULL,
  PRIMARY KEY (artifact, position));
CREATE TABLE outputs (
  artifact TEXT NOT NULL REFERENCES artifacts(key) ON DELETE CASCADE, position INTEGER NOT NULL,
  name TEXT NOT NULL, file TEXT NOT NULL, content TEXT NOT NULL, sha256 TEXT NOT NULL,
  size INTEGER NOT NULL, PRIMARY KEY (artifact, position));
CREATE TABLE figures (
  artifact TEXT NOT NULL REFERENCES artifacts(key) ON DELETE CASCADE, position INTEGER NOT NULL,
  name TEXT NOT NULL, value REAL, low REAL, high REAL, unit TEXT NOT NULL,
  PRIMARY KEY (artifact, position));
)sql"};

constexpr RunState kStates[] = {RunState::kWaiting, RunState::kRunning, RunState::kDone,
                                RunState::kReused,  RunState::kSkipped, RunState::kFailed,
                                RunState::kStopped};

RunState StateFrom(std::string_view name) {
  for (const RunState state : kStates)
    if (RunStateName(state) == name) return state;
  return RunState::kFailed;
}

std::string PositionsText(const std::vector<int>& positions) {
  std::string text;
  for (const int position : positions) text += (text.empty() ? "" : ",") + std::to_string(position);
  return text;
}

std::vector<int> PositionsFrom(const std::string& text) {
  std::vector<int> positions;
  const nlohmann::json json = nlohmann::json::parse("[" + text + "]", nullptr, false);
  for (const auto& entry : json)
    if (entry.is_number_integer()) positions.push_back(entry.get<int>());
  return positions;
}

constexpr const char* kRunColumns =
    "id, name, identity, description, recipe_path, recipe_text, overrides, targets, state, "
    "started_at, ended_at, attempts, host, program";

RunRecord RunFrom(const Statement& row) {
  RunRecord run;
  run.id = row.Int(0);
  run.name = row.Text(1);
  run.identity = row.Text(2);
  run.description = row.Text(3);
  run.recipe_path = row.Text(4);
  run.recipe_text = row.Text(5);
  run.overrides = row.Text(6);
  run.targets = row.Text(7);
  run.state = StateFrom(row.Text(8));
  run.started_at = row.Float(9);
  run.ended_at = row.Float(10);
  run.attempts = static_cast<int>(row.Int(11));
  run.host = row.Text(12);
  run.program = row.Text(13);
  return run;
}

}  // namespace

std::string_view RunStateName(RunState state) {
  switch (state) {
    case RunState::kWaiting:
      return "waiting";
    case RunState::kRunning:
      return "running";
    case RunState::kDone:
      return "done";
    case RunState::kReused:
      return "reused";
    case RunState::kSkipped:
      return "skipped";
    case RunState::kFailed:
      return "failed";
    case RunState::kStopped:
      return "stopped";
  }
  return "failed";
}

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<Ledger> Ledger::Open(const std::string& workdir, bool create) {
  HEARTH_ASSIGN_OR_RETURN(Database database,
                          Database::Open(workdir + "/ledger.db", create, kMigrations));
  return Ledger(std::move(database));
}

Result<std::string> Ledger::HashOfFile(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) {
    return MakeError(errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo,
                     path + ": " + std::strerror(errno));
  }
  const int64_t mtime_ns = status.st_mtim.tv_sec * int64_t{1000000000} + status.st_mtim.tv_nsec;
  {
    HEARTH_ASSIGN_OR_RETURN(
        Statement known,
        database_.Prepare("SELECT sha256 FROM file_hashes WHERE path = ? AND device = ? AND "
                          "inode = ? AND size = ? AND mtime_ns = ?"));
    known.Bind(path)
        .Bind(static_cast<int64_t>(status.st_dev))
        .Bind(static_cast<int64_t>(status.st_ino))
        .Bind(static_cast<int64_t>(status.st_size))
        .Bind(mtime_ns);
    HEARTH_ASSIGN_OR_RETURN(const bool found, known.Step());
    if (found) return known.Text(0);
  }
  HEARTH_ASSIGN_OR_RETURN(std::string hash, Sha256OfFile(path));
  // A file written twice within the clock's grain would look unchanged.
  constexpr double kGrainSeconds = 2;
  if (UnixSeconds() - static_cast<double>(mtime_ns) / 1e9 < kGrainSeconds) return hash;
  HEARTH_ASSIGN_OR_RETURN(
      Statement put,
      database_.Prepare("INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?, ?, ?, ?)"));
  put.Bind(path)
      .Bind(static_cast<int64_t>(status.st_dev))
      .Bind(static_cast<int64_t>(status.st_ino))
      .Bind(static_cast<int64_t>(status.st_size))
      .Bind(mtime_ns)
      .Bind(hash);
  HEARTH_RETURN_IF_ERROR(put.Run());
  return hash;
}

Result<int64_t> Ledger::BeginRun(const RunRecord& run, const std::vector<StageRecord>& stages) {
  HEARTH_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database_));
  int64_t id = 0;
  {
    HEARTH_ASSIGN_OR_RETURN(Statement find,
                            database_.Prepare("SELECT id FROM runs WHERE identity = ?"));
    HEARTH_ASSIGN_OR_RETURN(const bool found, find.Bind(run.identity).Step());
    if (found) id = find.Int(0);
  }
  std::vector<StageRecord> before;
  if (id == 0) {
    HEARTH_ASSIGN_OR_RETURN(
        Statement insert,
        database_.Prepare("INSERT INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?, ?)"));
    HEARTH_RETURN_IF_ERROR(insert.Bind(run.name)
                               .Bind(run.identity)
                               .Bind(run.description)
                               .Bind(run.recipe_path)
                               .Bind(run.recipe_text)
                               .Bind(run.overrides)
                               .Bind(run.targets)
                               .Bind(RunStateName(RunState::kRunning))
                               .Bind(run.started_at)
                               .Bind(run.host)
                               .Bind(run.program)
                               .Run());
    id = database_.LastId();
  } else {
    HEARTH_ASSIGN_OR_RETURN(before, Stages(id));
    HEARTH_ASSIGN_OR_RETURN(
        Statement update,
        database_.Prepare("UPDATE runs SET description = ?, recipe_path = ?, recipe_text = ?, "
                          "overrides = ?, targets = ?, state = ?, ended_at = 0, "
                          "attempts = attempts + 1, host = ?, program = ? WHERE id = ?"));
    HEARTH_RETURN_IF_ERROR(update.Bind(run.description)
                               .Bind(run.recipe_path)
                               .Bind(run.recipe_text)
                               .Bind(run.overrides)
                               .Bind(run.targets)
                               .Bind(RunStateName(RunState::kRunning))
                               .Bind(run.host)
                               .Bind(run.program)
                               .Bind(id)
                               .Run());
    HEARTH_ASSIGN_OR_RETURN(Statement clear, database_.Prepare("DELETE FROM stages WHERE run = ?"));
    HEARTH_RETURN_IF_ERROR(clear.Bind(id).Run());
  }
  for (StageRecord stage : stages) {
    for (const StageRecord& earlier : before) {
      if (earlier.name != stage.name || earlier.artifact != stage.artifact) continue;
      stage.seconds = earlier.seconds;
      if (earlier.state != RunState::kDone) continue;
      stage.state = earlier.state;
      stage.progress = earlier.progress;
      stage.started_at = earlier.started_at;
      stage.ended_at = earlier.ended_at;
    }
    HEARTH_ASSIGN_OR_RETURN(
        Statement insert,
        database_.Prepare("INSERT INTO stages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    HEARTH_RETURN_IF_ERROR(insert.Bind(id)
                               .Bind(stage.position)
                               .Bind(stage.name)
                               .Bind(stage.kind)
                               .Bind(stage.artifact)
                               .Bind(PositionsText(stage.reads_from))
                               .Bind(RunStateName(stage.state))
                               .Bind(stage.progress)
                               .Bind(stage.doing)
                               .Bind(stage.error)
                               .Bind(stage.started_at)
                               .Bind(stage.ended_at)
                               .Bind(stage.seconds)
                               .Run());
  }
  HEARTH_RETURN_IF_ERROR(transaction.Commit());
  return id;
}

Status Ledger::EndRun(int64_t run, RunState state, double ended_at) {
  HEARTH_ASSIGN_OR_RETURN(
      Statement update, database_.Prepare("UPDATE runs SET state = ?, ended_at = ? WHERE id = ?"));
  return update.Bind(RunStateName(state)).Bind(ended_at).Bind(run).Run();
}

Status Ledger::UpdateStage(const StageRecord& stage) {
  HEARTH_ASSIGN_OR_RETURN(
      Statement update,
      database_.Prepare(
          "UPDATE stages SET state = ?, progress = ?, doing = ?, error = ?, "
          "started_at = ?, ended_at = ?, seconds = ? WHERE run = ? AND position = ?"));
  return update.Bind(RunStateName(stage.state))
      .Bind(stage.progress)
      .Bind(stage.doing)
      .Bind(stage.error)
      .Bind(stage.started_at)
      .Bind(stage.ended_at)
      .Bind(stage.seconds)
      .Bind(stage.run)
      .Bind(stage.position)
      .Run();
}

Status Ledger::PutArtifact(const Artifact& artifact) {
  HEARTH_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(database_));
  {
    HEARTH_ASSIGN_OR_RETURN(Statement drop,
                            database_.Prepare("DELETE FROM artifacts WHERE key = ?"));
    HEARTH_RETURN_IF_ERROR(drop.Bind(artifact.key).Run());
    HEARTH_ASSIGN_OR_RETURN(
        Statement insert,
        database_.Prepare("INSERT INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    insert.Bind(artifact.key)
        .Bind(artifact.kind)
        .Bind(artifact.version)
        .Bind(artifact.parameters)
        .Bind(artifact.all_parameters);
    if (artifact.seed) {
      insert.Bind(*artifact.seed);
    } else {
      insert.Bind(std::optional<double>());
    }
    HEARTH_RETURN_IF_ERROR(insert.Bind(artifact.created_at)
                               .Bind(artifact.seconds)
                               .Bind(artifact.device)
                               .Bind(artifact.num_devices)
                               .Bind(artifact.host)
                               .Bind(artifact.program)
                               .Run());
  }
  int position = 0;
  for (const ArtifactInput& input : artifact.inputs) {
    HEARTH_ASSIGN_OR_RETURN(
        Statement insert,
        database_.Prepare("INSERT INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    HEARTH_RETURN_IF_ERROR(insert.Bind(artifact.key)
                               .Bind(position++)
                               .Bind(input.key)
                               .Bind(input.artifact)
                               .Bind(input.output)
                               .Bind(input.path)
                               .Bind(input.sha256)
                               .Bind(input.size_bytes)
                               .Bind(input.licence)
                               .Bind(input.source)
                               .Run());
  }
  position = 0;
  for (const ArtifactOutput& output : artifact.outputs) {
    HEARTH_ASSIGN_OR_RETURN(Statement insert,
                            database_.Prepare("INSERT INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)"));
    HEARTH_RETURN_IF_ERROR(insert.Bind(artifact.key)
                               .Bind(position++)
                               .Bind(output.name)
                               .Bind(output.file)
                               .Bind(output.content)
                               .Bind(output.sha256)
                               .Bind(output.size_bytes)
                               .Run());
  }
  position = 0;
  for (const StageFigure& figure : artifact.figures) {
    HEARTH_ASSIGN_OR_RETURN(Statement insert,
                            database_.Prepare("INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?)"));
    HEARTH_RETURN_IF_ERROR(insert.Bind(artifact.key)
                               .Bind(position++)
                               .Bind(figure.name)
                               .Bind(figure.value)
                               .Bind(figure.low)
                               .Bind(figure.high)
                               .Bind(figure.unit)
                               .Run());
  }
  return transaction.Commit();
}

Result<std::optional<Artifact>> Ledger::FindArtifact(std::string_view key) {
  Artifact artifact;
  {
    HEARTH_ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT kind, version, parameters, all_parameters, seed, created_at, "
            "seconds, device, num_devices, host, program FROM artifacts WHERE key = ?"));
    HEARTH_ASSIGN_OR_RETURN(const bool found, row.Bind(key).Step());
    if (!found) return std::nullopt;
    artifact.key = key;
    artifact.kind = row.Text(0);
    artifact.version = static_cast<int>(row.Int(1));
    artifact.parameters = row.Text(2);
    artifact.all_parameters = row.Text(3);
    if (row.MaybeFloat(4)) artifact.seed = row.Int(4);
    artifact.created_at = row.Float(5);
    artifact.seconds = row.Float(6);
    artifact.device = row.Text(7);
    artifact.num_devices = static_cast<int>(row.Int(8));
    artifact.host = row.Text(9);
    artifact.program = row.Text(10);
  }
  HEARTH_ASSIGN_OR_RETURN(
      Statement inputs,
      database_.Prepare(
          "SELECT key, from_artifact, from_output, path, sha256, size, licence, source "
          "FROM inputs WHERE artifact = ? ORDER BY position"));
  inputs.Bind(key);
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, inputs.Step());
    if (!row) break;
    artifact.inputs.push_back({inputs.Text(0), inputs.Text(1), inputs.Text(2), inputs.Text(3),
                               inputs.Text(4), inputs.Int(5), inputs.Text(6), inputs.Text(7)});
  }
  HEARTH_ASSIGN_OR_RETURN(Statement outputs,
                          database_.Prepare("SELECT name, file, content, sha256, size FROM outputs "
                                            "WHERE artifact = ? ORDER BY position"));
  outputs.Bind(key);
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, outputs.Step());
    if (!row) break;
    artifact.outputs.push_back(
        {outputs.Text(0), outputs.Text(1), outputs.Text(2), outputs.Text(3), outputs.Int(4)});
  }
  HEARTH_ASSIGN_OR_RETURN(Statement figures,
                          database_.Prepare("SELECT name, value, low, high, unit FROM figures "
                                            "WHERE artifact = ? ORDER BY position"));
  figures.Bind(key);
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, figures.Step());
    if (!row) break;
    artifact.figures.push_back({figures.Text(0), figures.MaybeFloat(1).value_or(std::nan("")),
                                figures.MaybeFloat(2), figures.MaybeFloat(3), figures.Text(4)});
  }
  return artifact;
}

Status Ledger::DropArtifact(std::string_view key) {
  HEARTH_ASSIGN_OR_RETURN(Statement drop, database_.Prepare("DELETE FROM artifacts WHERE key = ?"));
  return drop.Bind(key).Run();
}

Result<std::vector<RunRecord>> Ledger::Runs() {
  HEARTH_ASSIGN_OR_RETURN(Statement rows, database_.Prepare(std::string("SELECT ") + kRunColumns +
                                                            " FROM runs ORDER BY id DESC"));
  std::vector<RunRecord> runs;
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return runs;
    runs.push_back(RunFrom(rows));
  }
}

Result<std::optional<RunRecord>> Ledger::FindRun(int64_t id) {
  HEARTH_ASSIGN_OR_RETURN(Statement row, database_.Prepare(std::string("SELECT ") + kRunColumns +
                                                           " FROM runs WHERE id = ?"));
  HEARTH_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return std::nullopt;
  return RunFrom(row);
}

Result<std::vector<StageRecord>> Ledger::Stages(int64_t run) {
  HEARTH_ASSIGN_OR_RETURN(
      Statement rows,
      database_.Prepare(
          "SELECT position, name, kind, artifact, reads_from, state, progress, doing, "
          "error, started_at, ended_at, seconds FROM stages WHERE run = ? "
          "ORDER BY position"));
  rows.Bind(run);
  std::vector<StageRecord> stages;
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return stages;
    StageRecord stage;
    stage.run = run;
    stage.position = static_cast<int>(rows.Int(0));
    stage.name = rows.Text(1);
    stage.kind = rows.Text(2);
    stage.artifact = rows.Text(3);
    stage.reads_from = PositionsFrom(rows.Text(4));
    stage.state = StateFrom(rows.Text(5));
    stage.progress = rows.Float(6);
    stage.doing = rows.Text(7);
    stage.error = rows.Text(8);
    stage.started_at = rows.Float(9);
    stage.ended_at = rows.Float(10);
    stage.seconds = rows.Float(11);
    stages.push_back(std::move(stage));
  }
}

}  // namespace hearth::forge
