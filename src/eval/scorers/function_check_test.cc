#include "eval/scorers/function_check.h"

#include <gtest/gtest.h>

namespace hearth::eval {
namespace {

const Json kFunctions = Json::parse(R"([
  {"name": "area.get", "parameters": {"type": "dict", "properties": {
     "base": {"type": "integer"}, "height": {"type": "float"}, "unit": {"type": "string"},
     "points": {"type": "array", "items": {"type": "string"}},
     "box": {"type": "dict"},
     "rules": {"type": "array", "items": {"type": "dict"}},
     "exact": {"type": "boolean"}},
   "required": ["base"]}},
  {"name": "other", "parameters": {"type": "dict", "properties": {}, "required": []}}])");

const Json kAccepted = Json::parse(R"({"area.get": {
  "base": [10], "height": ["", 5.0], "unit": ["square cm", "cm2", ""],
  "points": [["North-East", "B"], ""], "box": [{"w": [20, 21], "h": [12, ""]}, ""],
  "rules": [[{"field": ["age"], "value": ["25"]}], ""], "exact": [true, ""]}})");

// The verdict's kind for a call of area.get with these arguments.
std::string Check(const std::string& arguments, const std::string& name = "area.get") {
  return CheckCall({{name, Json::parse(arguments)}}, kFunctions, kAccepted).kind;
}

TEST(FunctionCheck, AcceptedValuesAreRight) {
  EXPECT_EQ(Check(R"({"base": 10})"), "right");
  EXPECT_EQ(Check(R"({"base": 10})", "area_get"), "right") << "dots may be underscores";
  EXPECT_EQ(Check(R"({"base": 10, "height": 5})"), "right") << "an int passes for a float";
  EXPECT_EQ(Check(R"({"base": 10, "unit": "Square-CM."})"), "right");
  EXPECT_EQ(Check(R"({"base": 10, "points": ["north east", "b"]})"), "right");
  EXPECT_EQ(Check(R"({"base": 10, "box": {"w": 21}})"), "right");
  EXPECT_EQ(Check(R"({"base": 10, "rules": [{"field": "AGE", "value": "25"}]})"), "right");
  EXPECT_EQ(Check(R"({"base": 10, "exact": true})"), "right");
}

TEST(FunctionCheck, EachMistakeHasItsKind) {
  EXPECT_EQ(Check(R"({"base": 10})", "other"), "name");
  EXPECT_EQ(Check(R"({"height": 5})"), "missing");
  EXPECT_EQ(Check(R"({"base": 10, "colour": "red"})"), "unexpected");
  EXPECT_EQ(Check(R"({"base": "10"})"), "type");
  EXPECT_EQ(Check(R"({"base": 10.0})"), "type") << "a float does not pass for an int";
  EXPECT_EQ(Check(R"({"base": 10, "exact": 1})"), "type");
  EXPECT_EQ(Check(R"({"base": 11})"), "value");
  EXPECT_EQ(Check(R"({"base": 10, "unit": "m2"})"), "value");
  EXPECT_EQ(Check(R"({"base": 10, "points": ["b", "north east"]})"), "value");
  EXPECT_EQ(Check(R"({"base": 10, "box": {"h": 12}})"), "value") << "w is missing";
  EXPECT_EQ(Check(R"({"base": 10, "box": {"w": 20, "d": 1}})"), "value");
  EXPECT_EQ(Check(R"({"base": 10, "rules": []})"), "value");
  EXPECT_EQ(Check(R"({"base": 10, "rules": [{"field": "size", "value": "25"}]})"), "value");
}

TEST(FunctionCheck, OneCallAndNoMore) {
  const FunctionCall call{"area.get", {{"base", 10}}};
  EXPECT_EQ(CheckCall({}, kFunctions, kAccepted).kind, "count");
  EXPECT_EQ(CheckCall({call, call}, kFunctions, kAccepted).kind, "count");
}

TEST(FunctionCheck, WhatMayNotBeLeftOutIsMissed) {
  const Json accepted = Json::parse(R"({"area.get": {"base": [10], "height": [5.0]}})");
  EXPECT_EQ(CheckCall({{"area.get", {{"base", 10}}}}, kFunctions, accepted).kind, "missing");
}

TEST(FunctionCheck, ItemsOfAListHaveATypeToo) {
  const Json accepted = Json::parse(R"({"area.get": {"base": [10], "points": [["a"]]}})");
  const FunctionCall call{"area.get", {{"base", 10}, {"points", {1}}}};
  EXPECT_EQ(CheckCall({call}, kFunctions, accepted).kind, "type");
}

TEST(FunctionCheck, AVariableNameStandsForAValue) {
  // Described as an integer, but the accepted value is text.
  const Json accepted = Json::parse(R"({"area.get": {"base": ["my_base"]}})");
  EXPECT_TRUE(CheckCall({{"area.get", {{"base", "my_base"}}}}, kFunctions, accepted).right);
  EXPECT_FALSE(CheckCall({{"area.get", {{"base", "my base"}}}}, kFunctions, accepted).right);
}

}  // namespace
}  // namespace hearth::eval
