#include "training/recipe/database.h"

#include <sqlite3.h>

namespace hearth::forge {
namespace {

tl::unexpected<Error> ErrorOf(int code, const std::string& path, const char* message) {
  ErrorCode error = ErrorCode::kIo;
  switch (code & 0xff) {
    case SQLITE_FULL:
      error = ErrorCode::kResourceExhausted;
      break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      error = ErrorCode::kUnavailable;
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      error = ErrorCode::kCorrupt;
      break;
    case SQLITE_CANTOPEN:
      error = ErrorCode::kNotFound;
      break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
      error = ErrorCode::kPermission;
      break;
  }
  return MakeError(error, path + ": " + message);
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

Statement& Statement::Bind(int64_t value) {
  sqlite3_bind_int64(statement_.get(), next_parameter_++, value);
  return *this;
}
Statement& Statement::Bind(double value) {
  sqlite3_bind_double(statement_.get(), next_parameter_++, value);
  return *this;
}
Statement& Statement::Bind(std::string_view value) {
  sqlite3_bind_text64(statement_.get(), next_parameter_++, value.data(), value.size(),
                      SQLITE_TRANSIENT, SQLITE_UTF8);
  return *this;
}
Statement& Statement::Bind(std::optional<double> value) {
  if (value) return Bind(*value);
  sqlite3_bind_null(statement_.get(), next_parameter_++);
  return *this;
}

Result<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return ErrorOf(code, path_, sqlite3_errmsg(sqlite3_db_handle(statement_.get())));
}

Status Statement::Run() {
  while (true) {
    HEARTH_ASSIGN_OR_RETURN(const bool row, Step());
    if (!row) return {};
  }
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  next_parameter_ = 1;
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::Float(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}
std::optional<double> Statement::MaybeFloat(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return Float(column);
}
std::string Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return text == nullptr
             ? ""
             : std::string(text,
                           static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

Result<Database> Database::Open(const std::string& path, bool create,
                                std::span<const char* const> migrations) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw, path);
  if (code != SQLITE_OK) {
    return ErrorOf(code, path, raw == nullptr ? "out of memory" : sqlite3_errmsg(raw));
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 10000);
  // FULL: what is recorded as done is on the disk.
  HEARTH_RETURN_IF_ERROR(database.Execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"));
  HEARTH_RETURN_IF_ERROR(database.Migrate(migrations));
  return database;
}

Status Database::Migrate(std::span<const char* const> migrations) {
  const auto version_now = [this]() -> Result<int64_t> {
    HEARTH_ASSIGN_OR_RETURN(Statement query, Prepare("PRAGMA user_version"));
    HEARTH_RETURN_IF_ERROR(query.Step());
    return query.Int(0);
  };
  HEARTH_ASSIGN_OR_RETURN(int64_t version, version_now());
  if (version == static_cast<int64_t>(migrations.size())) return {};
  // Within a transaction, so that of two processes one finds the work done.
  HEARTH_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(*this));
  HEARTH_ASSIGN_OR_RETURN(version, version_now());
  const auto newest = static_cast<int64_t>(migrations.size());
  if (version < 0 || version > newest) {
    return MakeError(ErrorCode::kUnsupported,
                     path_ + " has schema version " + std::to_string(version) +
                         "; this program knows versions up to " + std::to_string(newest));
  }
  for (; version < newest; ++version)
    HEARTH_RETURN_IF_ERROR(Execute(migrations[static_cast<size_t>(version)]));
  HEARTH_RETURN_IF_ERROR(Execute("PRAGMA user_version = " + std::to_string(newest)));
  return transaction.Commit();
}

Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Failed();
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      &statement, nullptr);
  if (code != SQLITE_OK) return Failed();
  return Statement(statement, path_);
}

int64_t Database::LastId() const { return sqlite3_last_insert_rowid(database_.get()); }

tl::unexpected<Error> Database::Failed() const {
  return ErrorOf(sqlite3_extended_errcode(database_.get()), path_, sqlite3_errmsg(database_.get()));
}

Result<Transaction> Transaction::Begin(Database& database) {
  HEARTH_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // After a failed statement SQLite may have rolled back already.
  if (database_ != nullptr) static_cast<void>(database_->Execute("ROLLBACK"));
}

Status Transaction::Commit() {
  HEARTH_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace hearth::forge
