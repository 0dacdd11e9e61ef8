#include "eval/json.h"

#include "base/mapped_file.h"

namespace hearth::eval {
namespace {

constexpr int kMaxDepth = 64;

// Copying, printing and destroying values is recursive.
bool NestsTooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > kMaxDepth) return true;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> ParseJson(std::string_view text) {
  if (NestsTooDeep(text)) return MakeError(ErrorCode::kCorrupt, "JSON that nests too deep");
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return MakeError(ErrorCode::kCorrupt, "not JSON");
  return json;
}

std::string JsonText(const Json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

Result<std::vector<Json>> ReadJsonLines(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  std::vector<Json> rows;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<Json> row = ParseJson(line);
    if (!row || !row->is_object()) {
      return MakeError(ErrorCode::kCorrupt,
                       path + ", line " + std::to_string(number) + ": not a JSON object");
    }
    rows.push_back(std::move(*row));
  }
  return rows;
}

Result<std::string> StringField(const Json& object, const char* field, const std::string& what) {
  const auto found = object.is_object() ? object.find(field) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string())
    return MakeError(ErrorCode::kCorrupt, what + " has no text in \"" + field + "\"");
  return found->get<std::string>();
}

}  // namespace hearth::eval
