#include "training/recipe/yaml_reader.h"

#include <sstream>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include "base/check.h"
#include "training/data/rows.h"

namespace hearth::forge {
namespace {

// Leaves yaml-cpp's parser from within a handler; caught in ReadYaml.
struct Refused {
  ErrorCode code;
  int line;
  std::string what;
};

// Builds the tree from the parser's events, and refuses before anything grows. Events, not
// YAML::Load: its nodes know no limits.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const YamlLimits& limits) : limits_(limits) {}

  YamlNode Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (num_documents_++ > 0)
      Refuse(ErrorCode::kUnsupported, mark, "a second document; a recipe is one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckPlain(mark, "", anchor);
    if (AwaitsKey()) Refuse(ErrorCode::kUnsupported, mark, "a key without a name");
    Add(mark, YamlNode::Kind::kNull);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    Refuse(ErrorCode::kUnsupported, mark, "aliases (*name) are not read; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckPlain(mark, tag, anchor);
    if (AwaitsKey()) return TakeKey(mark, value);
    YamlNode& node = Add(mark, YamlNode::Kind::kScalar);
    node.scalar = value;
    node.quoted = tag == "!";
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    Begin(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    Begin(mark, tag, anchor, YamlNode::Kind::kMapping);
  }
  void OnMapEnd() override { End(); }

 private:
  // A mapping or sequence that is still open. Held by value until it is complete: the vector it
  // goes into may move while others grow.
  struct Open {
    YamlNode node;
    bool has_key = false;
    std::string key;
    int key_line = 1;
  };

  [[noreturn]] static void Refuse(ErrorCode code, const YAML::Mark& mark, std::string what) {
    throw Refused{code, mark.line + 1, std::move(what)};
  }

  static void CheckPlain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) Refuse(ErrorCode::kUnsupported, mark, "anchors (&name) are not read");
    if (!tag.empty() && tag != "?" && tag != "!") {
      Refuse(ErrorCode::kUnsupported, mark, "tags (!name) are not read");
    }
  }

  bool AwaitsKey() const {
    return !open_.empty() && open_.back().node.is_mapping() && !open_.back().has_key;
  }

  void TakeKey(const YAML::Mark& mark, const std::string& key) {
    constexpr size_t kMaxKeyBytes = 200;
    if (key.size() > kMaxKeyBytes) Refuse(ErrorCode::kResourceExhausted, mark, "a very long key");
    Open& mapping = open_.back();
    if (const YamlNode* other = mapping.node.Find(key)) {
      Refuse(ErrorCode::kCorrupt, mark,
             key + " stands here a second time; the first is in line " +
                 std::to_string(other->key_line));
    }
    mapping.has_key = true;
    mapping.key = key;
    mapping.key_line = mark.line + 1;
  }

  void Begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
             YamlNode::Kind kind) {
    CheckPlain(mark, tag, anchor);
    if (AwaitsKey())
      Refuse(ErrorCode::kUnsupported, mark, "a key must be a word, not a list or a mapping");
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      Refuse(ErrorCode::kResourceExhausted, mark,
             "nested deeper than " + std::to_string(limits_.max_depth) + " levels");
    }
    Count(mark);
    Open open;
    open.node.kind = kind;
    open.node.line = mark.line + 1;
    open_.push_back(std::move(open));
  }

  void End() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    Place(std::move(node));
  }

  YamlNode& Add(const YAML::Mark& mark, YamlNode::Kind kind) {
    Count(mark);
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    return Place(std::move(node));
  }

  YamlNode& Place(YamlNode node) {
    if (open_.empty()) return root_ = std::move(node);
    Open& around = open_.back();
    if (around.node.is_mapping()) {
      node.key = std::move(around.key);
      node.key_line = around.key_line;
      around.has_key = false;
    }
    return around.node.items.emplace_back(std::move(node));
  }

  void Count(const YAML::Mark& mark) {
    if (++num_nodes_ > limits_.max_nodes) {
      Refuse(ErrorCode::kResourceExhausted, mark,
             "more than " + std::to_string(limits_.max_nodes) + " values");
    }
  }

  const YamlLimits& limits_;
  YamlNode root_;
  std::vector<Open> open_;
  int num_nodes_ = 0;
  int num_documents_ = 0;
};

tl::unexpected<Error> ErrorAt(ErrorCode code, int line, const std::string& what) {
  return MakeError(code, "line " + std::to_string(line) + ": " + what);
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view name) const {
  if (kind != Kind::kMapping) return nullptr;
  for (const YamlNode& item : items)
    if (item.key == name) return &item;
  return nullptr;
}

std::string DescribeNode(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "empty";
    case YamlNode::Kind::kScalar: {
      constexpr size_t kShown = 60;
      const std::string shown =
          node.scalar.size() <= kShown ? node.scalar : node.scalar.substr(0, kShown) + "...";
      return node.quoted ? '"' + shown + '"' : shown;
    }
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMapping:
      return "a mapping";
  }
  HEARTH_CHECK(false);
}

Result<YamlNode> ReadYaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return MakeError(ErrorCode::kResourceExhausted, std::to_string(text.size()) +
                                                        " bytes; a recipe has at most " +
                                                        std::to_string(limits.max_bytes));
  }
  if (!IsUtf8(text) || text.find('\0') != std::string_view::npos)
    return MakeError(ErrorCode::kCorrupt, "not UTF-8 text");
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(limits);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.Take();
  } catch (const Refused& refused) {
    return ErrorAt(refused.code, refused.line, refused.what);
  } catch (const YAML::Exception& error) {
    return ErrorAt(ErrorCode::kCorrupt, error.mark.line + 1, "not YAML: " + error.msg);
  } catch (const std::exception& error) {
    return MakeError(ErrorCode::kCorrupt, std::string("not YAML: ") + error.what());
  }
}

}  // namespace hearth::forge
