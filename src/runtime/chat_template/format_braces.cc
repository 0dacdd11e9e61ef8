// "{} and {name:>8}".format(...), after "Format String Syntax" in Python's library reference.

#include <algorithm>
#include <cmath>

#include "runtime/chat_template/attributes.h"
#include "runtime/chat_template/format.h"
#include "runtime/chat_template/number.h"
#include "runtime/chat_template/operators.h"
#include "runtime/chat_template/repr.h"
#include "runtime/chat_template/unicode.h"

namespace hearth::jinja {
namespace {

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Spec {
  Field field;
  bool aligned = false;
  char plus = 0;
  bool alternate = false;
  char grouping = 0;
  std::optional<int64_t> precision;
  char type = 0;
};

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

Result<Spec> ParseSpec(Runtime& rt, const Text& text) {
  Spec spec;
  const std::string_view bytes = text.view();
  size_t pos = 0;
  const auto next_is = [&](std::string_view set) {
    return pos < bytes.size() && set.find(bytes[pos]) != std::string_view::npos;
  };
  const auto number = [&](int64_t& value) -> Status {
    for (; next_is("0123456789"); ++pos) {
      value = value * 10 + (bytes[pos] - '0');
      if (value > INT32_MAX) return rt.Fail("Too many decimal digits in format string");
    }
    return {};
  };
  if (!bytes.empty()) {
    const size_t fill_bytes = DecodeAt(bytes, 0).size_bytes;
    if (fill_bytes < bytes.size() && IsAlign(bytes[fill_bytes])) {
      spec.field.fill = text.Slice(0, fill_bytes);
      pos = fill_bytes;
    }
    if (pos < bytes.size() && IsAlign(bytes[pos])) {
      spec.field.align = bytes[pos++];
      spec.aligned = true;
    } else {
      pos = 0;
    }
  }
  if (next_is("+- ")) spec.plus = bytes[pos++];
  if (next_is("#")) {
    spec.alternate = true;
    ++pos;
  }
  if (next_is("0") && !spec.aligned) {
    spec.field.fill = Text("0");
    spec.field.align = '=';
    spec.aligned = true;
    ++pos;
  }
  HEARTH_RETURN_IF_ERROR(number(spec.field.width));
  if (next_is(",_")) spec.grouping = bytes[pos++];
  if (next_is(".")) {
    ++pos;
    if (!next_is("0123456789")) return rt.Fail("Format specifier missing precision");
    spec.precision = 0;
    HEARTH_RETURN_IF_ERROR(number(*spec.precision));
  }
  if (pos < bytes.size()) spec.type = bytes[pos++];
  if (pos < bytes.size()) return rt.Fail("Invalid format specifier");
  return spec;
}

// Puts the separator between each three digits before the point.
void Group(std::string& digits, char separator) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t pos = end; pos > 3; pos -= 3) digits.insert(pos - 3, 1, separator);
}

tl::unexpected<Error> UnknownCode(const Runtime& rt, char type, const Value& value) {
  return rt.Fail("Unknown format code '" + std::string(1, type) + "' for object of type '" +
                 std::string(TypeName(value)) + "'");
}

// A float without a type: repr(), or with a precision the shorter of fixed and exponent, always
// with a point.
NumberPieces GeneralPieces(double value, const Spec& spec, int precision) {
  NumberPieces pieces = FloatPieces(value, 'g', 1, false, spec.plus);
  if (!std::isfinite(value)) return pieces;
  if (!spec.precision) {
    pieces.digits = FloatRepr(std::fabs(value));
    return pieces;
  }
  precision = std::max(precision, 1);
  const std::string scientific = FormatFloat(std::fabs(value), 'e', precision - 1);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent >= precision - 1 && exponent < precision) {
    // 'g' would still write it as a whole number, which has no room for ".0".
    std::string mantissa = scientific.substr(0, scientific.find('e'));
    if (mantissa.find('.') != std::string::npos) {
      mantissa.erase(mantissa.find_last_not_of('0') + 1);
      if (mantissa.back() == '.') mantissa.pop_back();
    }
    pieces.digits = mantissa + scientific.substr(scientific.find('e'));
    return pieces;
  }
  pieces.digits = FormatFloat(std::fabs(value), 'g', precision);
  if (pieces.digits.find_first_of(".e") == std::string::npos) pieces.digits += ".0";
  return pieces;
}

Status AppendNumber(Runtime& rt, const Number& number, const Value& value, Spec spec,
                    TextBuilder& builder) {
  const bool integer_type =
      spec.type != 0 && std::string_view("bcdoxX").find(spec.type) != std::string_view::npos;
  const bool float_type =
      spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if ((spec.type != 0 && !integer_type && !float_type) || (number.is_float && integer_type)) {
    return UnknownCode(rt, spec.type, value);
  }
  if (spec.grouping != 0 && spec.field.align == '=') {
    return rt.Unsupported("padding with zeros between grouped digits");
  }
  const int64_t precision = spec.precision.value_or(6);
  if (precision > kMaxPrecision) return rt.Exhausted("precision too big");
  NumberPieces pieces;
  if (spec.type == 'c') {
    return rt.Unsupported("the format code 'c'");
  } else if (!number.is_float && !float_type) {
    if (spec.precision) return rt.Fail("Precision not allowed in integer format specifier");
    pieces = IntegerPieces(number.integer, spec.type, spec.alternate, spec.plus);
  } else if (spec.type == '%') {
    pieces =
        FloatPieces(number.real * 100, 'f', static_cast<int>(precision), spec.alternate, spec.plus);
    pieces.digits += "%";
  } else if (spec.type == 0) {
    pieces = GeneralPieces(number.real, spec, static_cast<int>(precision));
  } else {
    pieces =
        FloatPieces(number.real, spec.type, static_cast<int>(precision), spec.alternate, spec.plus);
  }
  if (spec.grouping != 0) Group(pieces.digits, spec.grouping);
  AppendField(spec.field, pieces, builder);
  return {};
}

// format(value, spec)
Status AppendFormatted(Runtime& rt, const Value& value, const Text& spec_text,
                       TextBuilder& builder) {
  if (spec_text.empty()) return AppendStr(rt, value, builder);
  HEARTH_ASSIGN_OR_RETURN(Spec spec, ParseSpec(rt, spec_text));
  if (const auto number = AsNumber(value)) return AppendNumber(rt, *number, value, spec, builder);
  if (value.string() == nullptr) {
    return rt.Fail("unsupported format string passed to " + std::string(TypeName(value)) +
                   ".__format__");
  }
  if (spec.type != 0 && spec.type != 's') return UnknownCode(rt, spec.type, value);
  if (spec.plus != 0 || spec.alternate || spec.grouping != 0 ||
      (spec.aligned && spec.field.align == '=' && spec.field.fill.view() != "0")) {
    return rt.Fail("not allowed in string format specifier");
  }
  if (!spec.aligned || spec.field.align == '=') spec.field.align = '<';
  const Text& text = value.text();
  const size_t end = spec.precision ? ByteOffset(text.view(), static_cast<size_t>(*spec.precision))
                                    : text.size_bytes();
  AppendField(spec.field, text.Slice(0, end), builder);
  return {};
}

class Formatter {
 public:
  Formatter(Runtime& rt, const Arguments& arguments) : rt_(rt), arguments_(arguments) {}

  // Fills in `format`; `depth` is how many more times a spec may hold fields of its own.
  Result<Text> Run(const Text& format, int depth);

 private:
  Result<Value> Lookup(const Text& field);
  Result<Value> First(std::string_view name);
  Status AppendReplacement(const Text& field, int depth, TextBuilder& builder);

  Runtime& rt_;
  const Arguments& arguments_;
  size_t next_automatic_ = 0;
  bool automatic_ = false, manual_ = false;
};

Result<Value> Formatter::First(std::string_view name) {
  size_t index = 0;
  const bool digits =
      !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
  if (name.empty()) {
    automatic_ = true;
    index = next_automatic_++;
  } else if (digits) {
    manual_ = true;
    const auto parsed = ParseInt(name, 10);
    index = parsed && !parsed->overflow ? static_cast<size_t>(parsed->value) : SIZE_MAX;
  } else {
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    return rt_.Fail("KeyError: '" + std::string(name) + "'");
  }
  if (automatic_ && manual_) {
    return rt_.Fail(
        "cannot switch between manual field specification and automatic field numbering");
  }
  if (index >= arguments_.positional.size()) {
    return rt_.Fail("Replacement index " +
                    std::string(name.empty() ? std::to_string(index) : name) +
                    " out of range for positional args tuple");
  }
  return arguments_.positional[index];
}

Result<Value> Formatter::Lookup(const Text& field) {
  const std::string_view bytes = field.view();
  size_t pos = std::min(bytes.find_first_of(".["), bytes.size());
  HEARTH_ASSIGN_OR_RETURN(Value value, First(bytes.substr(0, pos)));
  while (pos < bytes.size()) {
    HEARTH_RETURN_IF_ERROR(rt_.Step());
    if (bytes[pos] == '.') {
      const size_t end = std::min(bytes.find_first_of(".[", pos + 1), bytes.size());
      if (end == pos + 1) return rt_.Fail("Empty attribute in format string");
      HEARTH_ASSIGN_OR_RETURN(value,
                              GetAttribute(rt_, value, bytes.substr(pos + 1, end - pos - 1)));
      pos = end;
      continue;
    }
    if (bytes[pos] != '[')
      return rt_.Fail("Only '.' or '[' may follow ']' in format field specifier");
    const size_t end = bytes.find(']', pos);
    if (end == std::string_view::npos) return rt_.Fail("Missing ']' in format string");
    const std::string_view key = bytes.substr(pos + 1, end - pos - 1);
    if (key.empty()) return rt_.Fail("Empty attribute in format string");
    const bool digits = key.find_first_not_of("0123456789") == std::string_view::npos;
    const auto index = ParseInt(key, 10);
    const Value key_value = digits && index ? Value(index->value) : Value(std::string(key));
    HEARTH_ASSIGN_OR_RETURN(value, GetItem(rt_, value, key_value));
    pos = end + 1;
  }
  return value;
}

Status Formatter::AppendReplacement(const Text& field, int depth, TextBuilder& builder) {
  const std::string_view bytes = field.view();
  // A colon or exclamation mark inside [...] belongs to the key.
  size_t name_end = 0;
  for (bool in_brackets = false; name_end < bytes.size(); ++name_end) {
    const char c = bytes[name_end];
    if (c == '[') in_brackets = true;
    if (c == ']') in_brackets = false;
    if (!in_brackets && (c == ':' || c == '!')) break;
  }
  HEARTH_ASSIGN_OR_RETURN(Value value, Lookup(field.Slice(0, name_end)));
  size_t pos = name_end;
  if (pos < bytes.size() && bytes[pos] == '!') {
    const char conversion = pos + 1 < bytes.size() ? bytes[pos + 1] : 0;
    pos += 2;
    if (conversion == 's') {
      HEARTH_ASSIGN_OR_RETURN(value, Str(rt_, value));
    } else if (conversion == 'r') {
      HEARTH_ASSIGN_OR_RETURN(value, Repr(rt_, value));
    } else {
      return rt_.Fail("Unknown conversion specifier in format string");
    }
    if (pos < bytes.size() && bytes[pos] != ':')
      return rt_.Fail("expected ':' after conversion specifier");
  }
  Text spec;
  if (pos < bytes.size()) {
    if (depth == 0) return rt_.Fail("Max string recursion exceeded");
    HEARTH_ASSIGN_OR_RETURN(spec, Run(field.Slice(pos + 1, bytes.size()), depth - 1));
  }
  return AppendFormatted(rt_, value, spec, builder);
}

Result<Text> Formatter::Run(const Text& format, int depth) {
  TextBuilder builder(rt_);
  const std::string_view bytes = format.view();
  for (size_t pos = 0; pos < bytes.size() && builder.ok();) {
    HEARTH_RETURN_IF_ERROR(rt_.Step());
    const size_t brace = std::min(bytes.find_first_of("{}", pos), bytes.size());
    builder.AppendRange(format, pos, brace);
    if (brace == bytes.size()) break;
    const bool doubled = brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace];
    if (doubled) {
      builder.AppendRange(format, brace, brace + 1);
      pos = brace + 2;
      continue;
    }
    if (bytes[brace] == '}') return rt_.Fail("Single '}' encountered in format string");
    int open = 1;
    size_t end = brace + 1;
    for (; end < bytes.size() && open > 0; ++end) {
      if (bytes[end] == '{') ++open;
      if (bytes[end] == '}') --open;
    }
    if (open > 0) return rt_.Fail("expected '}' before end of string");
    HEARTH_RETURN_IF_ERROR(AppendReplacement(format.Slice(brace + 1, end - 1), depth, builder));
    pos = end;
  }
  return builder.Finish();
}

}  // namespace

Result<Value> FormatBraces(Runtime& rt, const Value& format, const Arguments& arguments) {
  HEARTH_ASSIGN_OR_RETURN(Text text, Formatter(rt, arguments).Run(format.text(), 2));
  return rt.NewString(std::move(text), format.string()->markup);
}

}  // namespace hearth::jinja
