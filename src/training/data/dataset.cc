#include "training/data/dataset.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/thread_pool.h"
#include "training/data/packing.h"
#include "training/data/rows.h"

namespace hearth::forge {
namespace {

// Rows parsed and tokenised at a time: enough for many threads, little memory.
constexpr size_t kChunkRows = 512;

struct Tokenized {
  bool held_out = false;
  std::vector<TokenizedRow> rows;
};

// A row of a file and what became of it.
struct Work {
  std::string json;
  int64_t line = 0;
  bool too_large = false;
  std::vector<Tokenized> conversations;
  std::vector<std::string> faults;
};

double UnitInterval(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

class DatasetReader {
 public:
  DatasetReader(const ChatTokenizer& chat, const DatasetOptions& options)
      : chat_(chat), options_(options), pool_(options.num_threads) {}

  Result<Dataset> Run() {
    HEARTH_ASSIGN_OR_RETURN(TokenStoreWriter train,
                            TokenStoreWriter::Create(options_.scratch_folder));
    HEARTH_ASSIGN_OR_RETURN(TokenStoreWriter held_out,
                            TokenStoreWriter::Create(options_.scratch_folder));
    train_ = &train;
    held_out_ = &held_out;
    for (size_t file = 0; file < options_.files.size(); ++file)
      HEARTH_RETURN_IF_ERROR(ReadFile(file));
    const DataStatistics& statistics = dataset_.train_statistics;
    if (statistics.rows + dataset_.held_out_statistics.rows == 0) return Nothing(statistics);
    HEARTH_ASSIGN_OR_RETURN(dataset_.train, train.Finish());
    HEARTH_ASSIGN_OR_RETURN(dataset_.held_out, held_out.Finish());
    return std::move(dataset_);
  }

 private:
  Status ReadFile(size_t file) {
    const std::string& path = options_.files[file];
    HEARTH_ASSIGN_OR_RETURN(RawRowReader reader, RawRowReader::Open(path));
    for (bool at_end = false; !at_end;) {
      std::vector<Work> chunk;
      while (chunk.size() < kChunkRows) {
        HEARTH_ASSIGN_OR_RETURN(const std::optional<RawRowReader::Row> row, reader.Next());
        if (!row) {
          at_end = true;
          break;
        }
        chunk.push_back({std::string(row->json), row->line, row->too_large, {}, {}});
      }
      pool_.Run([&](Worker& worker) {
        worker.ForEach(static_cast<int64_t>(chunk.size()), 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) Tokenize(chunk[static_cast<size_t>(i)]);
        });
      });
      for (const Work& work : chunk) HEARTH_RETURN_IF_ERROR(Take(work, file));
      ReportProgress(file, reader.stream());
    }
    return {};
  }

  void ReportProgress(size_t file, const ByteStream& stream) const {
    if (!options_.on_progress) return;
    const double within = stream.file_size_bytes() == 0
                              ? 0.0
                              : static_cast<double>(stream.file_bytes_read()) /
                                    static_cast<double>(stream.file_size_bytes());
    options_.on_progress((static_cast<double>(file) + within) /
                         static_cast<double>(options_.files.size()));
  }

  // Runs on any thread.
  void Tokenize(Work& work) const {
    if (work.too_large) {
      work.faults.push_back("longer than " + std::to_string(RawRowReader::kMaxRowBytes) + " bytes");
      return;
    }
    const Result<std::vector<Conversation>> conversations = ParseRow(work.json);
    if (!conversations) {
      work.faults.push_back(conversations.error().message);
      return;
    }
    for (const Conversation& conversation : *conversations) {
      auto rows = TokenizeConversation(chat_, conversation, options_.rows);
      if (!rows) {
        work.faults.push_back(rows.error().message);
      } else if (rows->empty()) {
        work.faults.push_back("nothing to learn within " +
                              std::to_string(options_.rows.max_tokens) + " tokens");
      } else {
        work.conversations.push_back({IsHeldOut(conversation), *std::move(rows)});
      }
    }
  }

  bool IsHeldOut(const Conversation& conversation) const {
    return options_.held_out > 0 &&
           UnitInterval(HashBytes(ToJsonLine(conversation), options_.split_seed)) <
               options_.held_out;
  }

  Status Take(const Work& work, size_t file) {
    for (const std::string& fault : work.faults) {
      DataStatistics& statistics = dataset_.train_statistics;
      if (statistics.left_out[fault]++ == 0)
        statistics.first_left_out[fault] = options_.files[file] + ":" + std::to_string(work.line);
    }
    for (const Tokenized& conversation : work.conversations) {
      DataStatistics& statistics =
          conversation.held_out ? dataset_.held_out_statistics : dataset_.train_statistics;
      ++statistics.conversations;
      for (const TokenizedRow& row : conversation.rows) {
        ++statistics.rows;
        statistics.tokens += row.num_tokens();
        statistics.learned += row.num_learned();
        statistics.longest = std::max(statistics.longest, row.num_tokens());
        if (row.num_tokens() == options_.rows.max_tokens) ++statistics.cut;
        TokenStoreWriter& store = conversation.held_out ? *held_out_ : *train_;
        HEARTH_RETURN_IF_ERROR(store.Append(row, static_cast<int32_t>(file)));
      }
    }
    return {};
  }

  static tl::unexpected<Error> Nothing(const DataStatistics& statistics) {
    if (statistics.left_out.empty())
      return MakeError(ErrorCode::kInvalidArgument, "the data files hold no rows");
    const auto commonest = std::ranges::max_element(statistics.left_out, {},
                                                    [](const auto& entry) { return entry.second; });
    return MakeError(ErrorCode::kInvalidArgument,
                     "no row can be learned from; " + std::to_string(commonest->second) +
                         " of them: " + commonest->first + " (first at " +
                         statistics.first_left_out.at(commonest->first) + ")");
  }

  const ChatTokenizer& chat_;
  const DatasetOptions& options_;
  ThreadPool pool_;
  TokenStoreWriter* train_ = nullptr;
  TokenStoreWriter* held_out_ = nullptr;
  Dataset dataset_;
};

}  // namespace

int64_t DataStatistics::num_left_out() const {
  int64_t total = 0;
  for (const auto& [reason, count] : left_out) total += count;
  return total;
}

Result<Dataset> ReadDataset(const ChatTokenizer& chat, const DatasetOptions& options) {
  if (options.files.empty())
    return MakeError(ErrorCode::kInvalidArgument, "no data files are named");
  if (!(options.held_out >= 0 && options.held_out < 1))
    return MakeError(
        ErrorCode::kInvalidArgument,
        "a held-out share of " + std::to_string(options.held_out) + " is not from 0 to below 1");
  return DatasetReader(chat, options).Run();
}

}  // namespace hearth::forge
