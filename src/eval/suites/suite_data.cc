#include "eval/suites/suite_data.h"

#include <filesystem>
#include <map>

#include "eval/fingerprint.h"

namespace hearth::eval {

Result<std::string> DataPath(const SuiteOptions& options, const std::string& name) {
  constexpr const char* kRemedy = "name the folder with the data by --data or HEARTH_DATA";
  if (options.data_dir.empty())
    return MakeError(ErrorCode::kNotFound, name + " is needed: " + kRemedy);
  std::string path = options.data_dir + "/" + name;
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return MakeError(ErrorCode::kNotFound, "there is no " + path + ": " + kRemedy);
  return path;
}

Result<DataFile> ReadDataLines(const SuiteOptions& options, const std::string& name) {
  HEARTH_ASSIGN_OR_RETURN(const std::string path, DataPath(options, name));
  DataFile file;
  HEARTH_ASSIGN_OR_RETURN(file.rows, ReadJsonLines(path));
  HEARTH_ASSIGN_OR_RETURN(file.fingerprint, FileFingerprint(path));
  return file;
}

std::vector<size_t> SpreadOver(const std::vector<std::string>& categories, int limit) {
  std::vector<std::vector<size_t>> by_category;
  std::map<std::string, size_t> index;
  for (size_t row = 0; row < categories.size(); ++row) {
    const auto [at, is_new] = index.emplace(categories[row], by_category.size());
    if (is_new) by_category.emplace_back();
    by_category[at->second].push_back(row);
  }
  const size_t wanted =
      limit > 0 ? std::min(static_cast<size_t>(limit), categories.size()) : categories.size();
  std::vector<size_t> chosen;
  for (size_t round = 0; chosen.size() < wanted; ++round) {
    for (const std::vector<size_t>& rows : by_category)
      if (round < rows.size() && chosen.size() < wanted) chosen.push_back(rows[round]);
  }
  return chosen;
}

Question UserQuestion(const SuiteOptions& options, std::string text, int max_tokens) {
  Question question;
  ChatMessage message;
  message.role = "user";
  message.content = std::move(text);
  question.prompt.messages.push_back(std::move(message));
  question.max_tokens = options.max_tokens > 0 ? options.max_tokens : max_tokens;
  question.temperature = options.temperature;
  question.seed = options.seed;
  return question;
}

}  // namespace hearth::eval
