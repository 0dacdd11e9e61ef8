// The fields of one row -> its conversations. The shapes are those that axolotl, LLaMA-Factory and
// TRL document for their datasets.

#include <algorithm>
#include <array>
#include <utility>

#include "kit/json_file.h"
#include "training/data/rows.h"

namespace hearth::forge {
namespace {

using Conversations = std::vector<Conversation>;

tl::unexpected<Error> Corrupt(const std::string& what) {
  return MakeError(ErrorCode::kCorrupt, what);
}

// A name from a row as a message may show it.
std::string Quoted(std::string_view name) {
  constexpr size_t kMaxShown = 40;
  return Json(name.substr(0, kMaxShown)).dump(-1, ' ', true, Json::error_handler_t::replace);
}

Result<std::string> RoleOf(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kRoles = {{
      {"system", "system"},
      {"developer", "system"},
      {"user", "user"},
      {"human", "user"},
      {"prompter", "user"},
      {"assistant", "assistant"},
      {"gpt", "assistant"},
      {"model", "assistant"},
      {"bot", "assistant"},
      {"chatgpt", "assistant"},
      {"bing", "assistant"},
      {"bard", "assistant"},
      {"function_call", "assistant"},
      {"tool", "tool"},
      {"function", "tool"},
      {"function_response", "tool"},
      {"observation", "tool"},
  }};
  for (const auto& [from, to] : kRoles) {
    if (from == name) return std::string(to);
  }
  return MakeError(ErrorCode::kUnsupported, "unknown role " + Quoted(name));
}

// A string, null (as nothing), or the API's list of parts, of which only text is ours.
Result<std::string> ContentOf(const Json& value, const char* field) {
  if (value.is_null()) return std::string();
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array())
    return Corrupt(std::string("\"") + field + "\" is " + value.type_name() + ", expected text");
  std::string text;
  for (const Json& part : value) {
    const auto kind = part.is_object() ? part.find("type") : part.end();
    const auto words = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || words == part.end() || !words->is_string() ||
        (kind != part.end() && *kind != "text")) {
      return MakeError(ErrorCode::kUnsupported,
                       std::string("\"") + field + "\" has a part that is not text");
    }
    text += words->get_ref<const std::string&>();
  }
  return text;
}

Result<std::vector<Message>> MessagesOf(const Json& list, const char* field) {
  if (!list.is_array())
    return Corrupt(std::string("\"") + field + "\" is " + list.type_name() + ", expected a list");
  std::vector<Message> messages;
  for (const Json& item : list) {
    if (!item.is_object()) return Corrupt(std::string("\"") + field + "\" holds no messages");
    const char* role_field = item.contains("role") ? "role" : "from";
    const char* content_field = item.contains("content") ? "content" : "value";
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> role, JsonString(item, role_field));
    if (!role) return Corrupt("a message has no role");
    if (JsonChild(item, "tool_calls") != nullptr)
      return MakeError(ErrorCode::kUnsupported, "a message with tool_calls");
    const auto content = item.find(content_field);
    if (content == item.end()) return Corrupt("a message has no content");
    Message message;
    HEARTH_ASSIGN_OR_RETURN(message.role, RoleOf(*role));
    HEARTH_ASSIGN_OR_RETURN(message.content, ContentOf(*content, content_field));
    messages.push_back(std::move(message));
  }
  if (messages.empty()) return Corrupt(std::string("\"") + field + "\" is empty");
  return messages;
}

// The first of the fields that the row has.
const char* FirstOf(const Json& row, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    const auto found = row.find(field);
    if (found != row.end() && !found->is_null()) return field;
  }
  return nullptr;
}

Conversations One(std::vector<Message> messages, RowFormat format) {
  Conversations one(1);
  one[0].messages = std::move(messages);
  one[0].format = format;
  return one;
}

// [["question", "answer"], ...]: earlier turns, as LLaMA-Factory has them.
Status AppendHistory(const Json& row, std::vector<Message>& messages) {
  const Json* history = JsonChild(row, "history");
  if (history == nullptr) return {};
  for (const Json& turn : *history) {
    if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string())
      return Corrupt("\"history\" is no list of pairs of texts");
    messages.push_back({"user", turn[0].get<std::string>()});
    messages.push_back({"assistant", turn[1].get<std::string>()});
  }
  return {};
}

Result<Conversations> FromAlpaca(const Json& row) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> instruction,
                          JsonString(row, "instruction"));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> system, JsonString(row, "system"));
  std::vector<Message> before;
  if (system && !system->empty()) before.push_back({"system", *system});
  HEARTH_RETURN_IF_ERROR(AppendHistory(row, before));

  const Json single = Json::array({row});
  const auto found = row.find("instances");
  const bool several = found != row.end() && found->is_array();
  Conversations conversations;
  for (const Json& instance : several ? *found : single) {
    if (!instance.is_object()) return Corrupt("\"instances\" holds something that is no object");
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> input, JsonString(instance, "input"));
    const char* output_field = FirstOf(instance, {"output", "response", "completion"});
    Conversation conversation;
    conversation.format = RowFormat::kAlpaca;
    conversation.messages = before;
    std::string question = instruction.value_or("");
    if (input && !input->empty()) question += (question.empty() ? "" : "\n\n") + *input;
    conversation.messages.push_back({"user", std::move(question)});
    if (output_field != nullptr) {
      HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> output,
                              JsonString(instance, output_field));
      conversation.messages.push_back({"assistant", output.value_or("")});
    }
    conversations.push_back(std::move(conversation));
  }
  if (conversations.empty()) return Corrupt("\"instances\" is empty");
  return conversations;
}

Result<std::vector<Message>> MessagesOrText(const Json& row, const char* field, const char* role) {
  const Json& value = row[field];
  if (value.is_array() && !value.empty() && value[0].is_object() && value[0].contains("role"))
    return MessagesOf(value, field);
  HEARTH_ASSIGN_OR_RETURN(std::string content, ContentOf(value, field));
  return std::vector<Message>{{role, std::move(content)}};
}

Result<Conversations> FromPrompt(const Json& row, const char* prompt_field) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> system,
                          JsonString(row, row.contains("system") ? "system" : "system_prompt"));
  std::vector<Message> messages;
  if (system && !system->empty()) messages.push_back({"system", *system});
  const auto append = [&](const char* field, const char* role) -> Status {
    HEARTH_ASSIGN_OR_RETURN(std::vector<Message> part, MessagesOrText(row, field, role));
    std::ranges::move(part, std::back_inserter(messages));
    return {};
  };
  HEARTH_RETURN_IF_ERROR(append(prompt_field, "user"));
  if (const char* answer =
          FirstOf(row, {"completion", "response", "answer", "output", "canonical_solution"})) {
    HEARTH_RETURN_IF_ERROR(append(answer, "assistant"));
  }
  return One(std::move(messages), RowFormat::kPromptCompletion);
}

Result<Conversations> FromTurns(const Json& turns) {
  std::vector<Message> messages;
  for (const Json& turn : turns) {
    if (!turn.is_string()) return Corrupt("\"turns\" is no list of texts");
    messages.push_back({"user", turn.get<std::string>()});
  }
  if (messages.empty()) return Corrupt("\"turns\" is empty");
  return One(std::move(messages), RowFormat::kPromptCompletion);
}

}  // namespace

std::string_view RowFormatName(RowFormat format) {
  switch (format) {
    case RowFormat::kMessages:
      return "messages";
    case RowFormat::kShareGpt:
      return "sharegpt";
    case RowFormat::kAlpaca:
      return "alpaca";
    case RowFormat::kPromptCompletion:
      return "prompt_completion";
    case RowFormat::kText:
      return "text";
  }
  return "";
}

Result<Conversations> ParseRow(std::string_view json) {
  Result<Json> parsed = ParseJsonObject(json, "the row");
  if (!parsed) {
    if (!IsUtf8(json)) return Corrupt("the row is not UTF-8");
    return tl::unexpected(parsed.error());
  }
  const Json& row = *parsed;
  if (FirstOf(row, {"messages"}) != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(std::vector<Message> messages, MessagesOf(row["messages"], "messages"));
    return One(std::move(messages), RowFormat::kMessages);
  }
  if (const char* field = FirstOf(row, {"conversations", "conversation"})) {
    HEARTH_ASSIGN_OR_RETURN(std::vector<Message> messages, MessagesOf(row[field], field));
    return One(std::move(messages), RowFormat::kShareGpt);
  }
  if (FirstOf(row, {"instruction"}) != nullptr) return FromAlpaca(row);
  if (const char* prompt = FirstOf(row, {"prompt", "question"})) return FromPrompt(row, prompt);
  if (const Json* turns = JsonChild(row, "turns")) return FromTurns(*turns);
  if (const char* field = FirstOf(row, {"text", "content"})) {
    HEARTH_ASSIGN_OR_RETURN(std::string text, ContentOf(row[field], field));
    return One({{"text", std::move(text)}}, RowFormat::kText);
  }
  std::string fields;
  for (const auto& [name, value] : row.items()) {
    if (fields.size() > 80) break;
    fields += (fields.empty() ? "" : ", ") + Quoted(name);
  }
  return MakeError(ErrorCode::kUnsupported,
                   "no known shape of row: its fields are " + (fields.empty() ? "none" : fields));
}

std::string ToJsonLine(const Conversation& conversation) {
  // Ordered, so that a reader sees the role first.
  nlohmann::ordered_json row;
  if (conversation.format == RowFormat::kText && conversation.messages.size() == 1) {
    row["text"] = conversation.messages[0].content;
  } else {
    row["messages"] = nlohmann::ordered_json::array();
    for (const Message& message : conversation.messages)
      row["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  return row.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

bool IsUtf8(std::string_view text) {
  size_t i = 0;
  const auto continues = [&](size_t at, unsigned char low, unsigned char high) {
    if (at >= text.size()) return false;
    const auto byte = static_cast<unsigned char>(text[at]);
    return byte >= low && byte <= high;
  };
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
    const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || !continues(i + 1, low, high)) return false;
    for (size_t k = 2; k < length; ++k) {
      if (!continues(i + k, 0x80, 0xbf)) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace hearth::forge
