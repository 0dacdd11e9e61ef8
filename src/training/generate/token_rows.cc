#include "training/generate/token_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "training/data/packing.h"
#include "training/data/rows.h"

namespace hearth::forge {
namespace {

using Json = nlohmann::json;

// Nothing for a row without tokens. Errors: kCorrupt.
Result<std::optional<TokenizedRow>> TakeTokens(const Json& json, int64_t vocab_size,
                                               const RowOptions& options) {
  const auto tokens = json.find("tokens");
  if (tokens == json.end()) return std::nullopt;
  const auto begin = json.find("answer_begin");
  if (!tokens->is_array() || begin == json.end() || !begin->is_number_integer())
    return MakeError(ErrorCode::kCorrupt, "tokens without answer_begin, or of the wrong type");
  TokenizedRow row;
  for (const Json& token : *tokens) {
    const int64_t id = token.is_number_integer() ? token.get<int64_t>() : -1;
    if (id < 0 || id >= vocab_size)
      return MakeError(ErrorCode::kCorrupt, "a token that is not in the vocabulary");
    row.tokens.push_back(static_cast<int32_t>(id));
  }
  const int64_t first = options.learn_prompts ? 1 : std::max<int64_t>(1, begin->get<int64_t>());
  row.tokens.resize(std::min(row.tokens.size(), static_cast<size_t>(options.max_tokens)));
  for (size_t i = 0; i < row.tokens.size(); ++i)
    row.learned.push_back(static_cast<int64_t>(i) >= first ? 1 : 0);
  return row;
}

class Reader {
 public:
  Reader(const ChatTokenizer& chat, const DatasetOptions& options, TokenStoreWriter train,
         TokenStoreWriter held_out)
      : chat_(chat), options_(options), train_(std::move(train)), held_out_(std::move(held_out)) {}

  Status ReadFile(int32_t source) {
    const std::string& path = options_.files[static_cast<size_t>(source)];
    HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(path));
    while (true) {
      HEARTH_ASSIGN_OR_RETURN(const auto raw, reader.Next());
      if (!raw) return {};
      const Result<std::vector<TokenizedRow>> rows =
          raw->too_large ? MakeError(ErrorCode::kCorrupt, "too large") : RowsOf(raw->json);
      if (!rows) {
        LeaveOut(rows.error().message, path, raw->line);
        continue;
      }
      HEARTH_RETURN_IF_ERROR(Append(*rows, source, path, raw->line));
    }
  }

  Result<Dataset> Finish() {
    if (dataset_.train_statistics.rows == 0) {
      const auto& reasons = dataset_.train_statistics.left_out;
      return MakeError(ErrorCode::kInvalidArgument,
                       "no row to learn from" +
                           (reasons.empty() ? std::string() : ": " + reasons.begin()->first));
    }
    HEARTH_ASSIGN_OR_RETURN(dataset_.train, train_.Finish());
    HEARTH_ASSIGN_OR_RETURN(dataset_.held_out, held_out_.Finish());
    return std::move(dataset_);
  }

 private:
  Result<std::vector<TokenizedRow>> RowsOf(std::string_view text) const {
    const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) {
      HEARTH_ASSIGN_OR_RETURN(std::optional<TokenizedRow> row,
                              TakeTokens(json, chat_.tokenizer().vocab_size(), options_.rows));
      if (row) return std::vector<TokenizedRow>{std::move(*row)};
    }
    HEARTH_ASSIGN_OR_RETURN(const std::vector<Conversation> conversations, ParseRow(text));
    std::vector<TokenizedRow> rows;
    for (const Conversation& conversation : conversations) {
      HEARTH_ASSIGN_OR_RETURN(std::vector<TokenizedRow> made,
                              TokenizeConversation(chat_, conversation, options_.rows));
      std::ranges::move(made, std::back_inserter(rows));
    }
    return rows;
  }

  Status Append(const std::vector<TokenizedRow>& rows, int32_t source, const std::string& path,
                int64_t line) {
    bool kept = false;
    for (const TokenizedRow& row : rows) {
      if (row.num_learned() == 0) continue;
      const auto bytes = std::as_bytes(std::span(row.tokens));
      const uint64_t hash = HashBytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                      options_.split_seed);
      const bool held_out = static_cast<double>(hash >> 11) * 0x1p-53 < options_.held_out;
      HEARTH_RETURN_IF_ERROR((held_out ? held_out_ : train_).Append(row, source));
      DataStatistics& statistics =
          held_out ? dataset_.held_out_statistics : dataset_.train_statistics;
      statistics.conversations += kept ? 0 : 1;
      ++statistics.rows;
      statistics.tokens += row.num_tokens();
      statistics.learned += row.num_learned();
      statistics.longest = std::max(statistics.longest, row.num_tokens());
      statistics.cut += row.num_tokens() == options_.rows.max_tokens ? 1 : 0;
      kept = true;
    }
    if (!kept) LeaveOut("nothing to learn in it", path, line);
    return {};
  }

  void LeaveOut(const std::string& reason, const std::string& path, int64_t line) {
    ++dataset_.train_statistics.left_out[reason];
    dataset_.train_statistics.first_left_out.try_emplace(reason, path + ":" + std::to_string(line));
  }

  const ChatTokenizer& chat_;
  const DatasetOptions& options_;
  TokenStoreWriter train_, held_out_;
  Dataset dataset_;
};

}  // namespace

Result<Dataset> ReadTokenRows(const ChatTokenizer& chat, const DatasetOptions& options) {
  if (options.files.empty()) return MakeError(ErrorCode::kInvalidArgument, "no files of data");
  if (options.rows.max_tokens < 2)
    return MakeError(ErrorCode::kInvalidArgument,
                     "rows of " + std::to_string(options.rows.max_tokens) + " tokens");
  HEARTH_ASSIGN_OR_RETURN(TokenStoreWriter train, TokenStoreWriter::Create(options.scratch_folder));
  HEARTH_ASSIGN_OR_RETURN(TokenStoreWriter held_out,
                          TokenStoreWriter::Create(options.scratch_folder));
  Reader reader(chat, options, std::move(train), std::move(held_out));
  for (size_t file = 0; file < options.files.size(); ++file) {
    HEARTH_RETURN_IF_ERROR(reader.ReadFile(static_cast<int32_t>(file)));
    if (options.on_progress)
      options.on_progress(static_cast<double>(file + 1) /
                          static_cast<double>(options.files.size()));
  }
  return reader.Finish();
}

}  // namespace hearth::forge
