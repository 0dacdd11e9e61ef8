#include "runtime/tokenizer/table_tokenizer.h"

#include <utility>

#include "runtime/tokenizer/unicode.h"

namespace hearth {

std::string SpaceMarksToSpaces(std::string_view spelling) {
  std::string text;
  text.reserve(spelling.size());
  for (size_t position = 0; position < spelling.size();) {
    if (spelling.substr(position).starts_with(kSpaceMark)) {
      text += ' ';
      position += kSpaceMark.size();
    } else {
      text += spelling[position++];
    }
  }
  return text;
}

TableTokenizer::TableTokenizer(const TokenizerTables& tables, Vocab vocab, TokenRoles roles,
                               Options options)
    : model_(tables.model),
      pre_(tables.pre),
      vocab_(std::move(vocab)),
      roles_(std::move(roles)),
      options_(options),
      special_tokens_(vocab_, options.spaces_are_marks) {}

std::string TableTokenizer::TokenBytes(TokenId id, bool show_special) const {
  const std::string_view spelling = vocab_.Text(id);
  switch (vocab_.Type(id)) {
    case TokenType::kNormal:
      return DecodeSpelling(spelling);
    case TokenType::kUserDefined:
      return options_.spaces_are_marks ? SpaceMarksToSpaces(spelling) : std::string(spelling);
    case TokenType::kByte:
      return std::string(1, static_cast<char>(vocab_.ByteOf(id)));
    case TokenType::kControl:
    case TokenType::kUnknown:
    case TokenType::kUnused:
      return show_special ? std::string(spelling) : std::string();
  }
  return {};
}

std::string TableTokenizer::Decode(std::span<const TokenId> ids, bool show_special) const {
  StreamDecoder decoder(*this, show_special);
  std::string text;
  for (const TokenId id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

std::vector<TokenId> TableTokenizer::EncodeSegments(std::span<const TextSegment> segments,
                                                    bool add_special) const {
  std::vector<TokenId> ids;
  if (add_special && roles_.adds_bos) ids.push_back(*roles_.bos);

  const SegmentedText segmented(segments);
  const std::string_view text = segmented.text();
  ids.reserve(ids.size() + text.size() / 4);
  size_t position = 0;
  bool continues = false;
  for (const SpecialTokens::Match& match : special_tokens_.FindAll(segmented)) {
    if (match.begin > position)
      EncodeText(text.substr(position, match.begin - position), continues, ids);
    ids.push_back(match.token);
    continues = vocab_.Type(match.token) == TokenType::kUserDefined;
    position = match.end;
  }
  if (position < text.size()) EncodeText(text.substr(position), continues, ids);

  if (add_special && roles_.adds_eos) ids.push_back(*roles_.eos);
  return ids;
}

}  // namespace hearth
