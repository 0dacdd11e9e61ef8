#pragma once
// SQLite behind Result: statements with bound values, transactions, a schema that counts its
// versions. Threads: one at a time.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace hearth::forge {

class Statement {
 public:
  // Binds the next parameter, in order.
  Statement& Bind(int64_t value);
  Statement& Bind(int value) { return Bind(int64_t{value}); }
  Statement& Bind(double value);
  Statement& Bind(std::string_view value);
  Statement& Bind(const char* value) { return Bind(std::string_view(value)); }
  Statement& Bind(const std::string& value) { return Bind(std::string_view(value)); }
  Statement& Bind(std::optional<double> value);
  // True while there is a row. Errors: kResourceExhausted (disk full), kUnavailable (another
  // process writes), kIo, naming the database.
  Result<bool> Step();
  // Steps to the end, for statements without rows.
  Status Run();
  // Begins anew with other values.
  void Reset();

  // Of the row that Step came to; columns from 0.
  int64_t Int(int column) const;
  double Float(int column) const;
  std::optional<double> MaybeFloat(int column) const;
  std::string Text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3_stmt* statement, std::string path)
      : statement_(statement), path_(std::move(path)) {}

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string path_;
  int next_parameter_ = 1;
};

class Database {
 public:
  // Opens or, with `create`, makes the file and brings it to the newest schema: migrations[i] leads
  // from version i to i + 1 (PRAGMA user_version). Write-ahead log; waits 10 s for other writers.
  // Errors: kNotFound, kCorrupt (no database), kUnsupported (a newer schema), kIo, naming the path.
  static Result<Database> Open(const std::string& path, bool create,
                               std::span<const char* const> migrations);

  Status Execute(const std::string& sql);
  // Requires: correct SQL, which is ours; a wrong one is an error all the same.
  Result<Statement> Prepare(std::string_view sql);
  int64_t LastId() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  Database(sqlite3* database, std::string path) : database_(database), path_(std::move(path)) {}
  tl::unexpected<Error> Failed() const;
  Status Migrate(std::span<const char* const> migrations);

  std::unique_ptr<sqlite3, Close> database_;
  std::string path_;
};

// Everything between construction and Commit happens or nothing does.
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace hearth::forge
