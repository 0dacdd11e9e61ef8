// What of PEFT's settings is understood, and that everything else is refused by name.
#include "training/export/peft_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kit/json_file.h"

namespace hearth::forge {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Plain() {
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"r", 8},
          {"lora_alpha", 16},
          {"target_modules", {"q_proj", "model.layers.0.mlp.down_proj"}}};
}

Result<PeftConfig> Parse(const Json& json) { return ParsePeftConfig(json.dump(), "adapter"); }

std::string ErrorWith(const char* field, const Json& value) {
  Json json = Plain();
  json[field] = value;
  const auto config = Parse(json);
  return config ? "" : config.error().message;
}

TEST(PeftConfig, ReadsWhatAnAdapterIs) {
  Json json = Plain();
  json["use_rslora"] = true;
  json["lora_dropout"] = 0.05;
  json["base_model_name_or_path"] = "some/base";
  json["alora_invocation_tokens"] = {1, 520};
  const auto config = Parse(json);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->rank, 8);
  EXPECT_EQ(config->alpha, 16);
  EXPECT_TRUE(config->rs_lora);
  EXPECT_EQ(config->dropout, 0.05);
  EXPECT_THAT(config->targets, ElementsAre("q_proj", "down_proj"));
  EXPECT_THAT(config->invocation_tokens, ElementsAre(1, 520));
  EXPECT_EQ(config->base_model, "some/base");
}

TEST(PeftConfig, WhatIsWrittenReadsBack) {
  PeftConfig config{.rank = 5, .alpha = 7.5, .rs_lora = true, .dropout = 0.1};
  config.targets = {"v_proj", "o_proj"};
  config.invocation_tokens = {3, 4, 5};
  config.base_model = "base";
  const auto back = ParsePeftConfig(PeftConfigText(config), "adapter");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->rank, 5);
  EXPECT_EQ(back->alpha, 7.5);
  EXPECT_TRUE(back->rs_lora);
  EXPECT_EQ(back->dropout, 0.1);
  EXPECT_EQ(back->targets, config.targets);
  EXPECT_EQ(back->invocation_tokens, config.invocation_tokens);
  EXPECT_EQ(back->base_model, "base");
}

TEST(PeftConfig, SettingsThatTheDecoderLacksAreRefusedByName) {
  const std::vector<std::pair<const char*, Json>> settings = {
      {"peft_type", "LOHA"},
      {"task_type", "SEQ_CLS"},
      {"bias", "lora_only"},
      {"use_dora", true},
      {"lora_bias", true},
      {"fan_in_fan_out", true},
      {"use_qalora", true},
      {"rank_pattern", {{"q_proj", 4}}},
      {"alpha_pattern", {{"q_proj", 4}}},
      {"modules_to_save", {"lm_head"}},
      {"layers_to_transform", {0, 1}},
      {"layer_replication", {{0, 2}, {1, 2}}},
      {"trainable_token_indices", {5}},
      {"target_parameters", {"x"}},
      {"exclude_modules", {"v_proj"}},
      {"init_lora_weights", "pissa_niter_4"},
      {"init_lora_weights", "loftq"},
      {"a_setting_of_tomorrow", 0.5},
  };
  for (const auto& [field, value] : settings)
    EXPECT_THAT(ErrorWith(field, value), HasSubstr(std::string(field) + " is ")) << field;
}

TEST(PeftConfig, SettingsThatAreOffOrMakeNoDifferenceAreAccepted) {
  for (const auto& [field, value] : std::vector<std::pair<const char*, Json>>{
           {"use_dora", false},
           {"rank_pattern", Json::object()},
           {"modules_to_save", nullptr},
           {"modules_to_save", Json::array()},
           {"megatron_core", "megatron.core"},
           {"peft_version", "0.21.2"},
           {"qalora_group_size", 16},
           {"inference_mode", true},
           {"init_lora_weights", "gaussian"},
           {"target_modules", "all-linear"},
           {"a_setting_of_tomorrow", nullptr}}) {
    EXPECT_EQ(ErrorWith(field, value), "") << field;
  }
}

TEST(PeftConfig, ValuesThatMakeNoSenseAreNamed) {
  EXPECT_THAT(ErrorWith("r", 0), HasSubstr("r is 0"));
  EXPECT_THAT(ErrorWith("r", "8"), HasSubstr("\"r\""));
  EXPECT_THAT(ErrorWith("r", nullptr), HasSubstr("r is null"));
  EXPECT_THAT(ErrorWith("lora_alpha", -1), HasSubstr("lora_alpha is -1"));
  EXPECT_THAT(ErrorWith("lora_dropout", 1.5), HasSubstr("lora_dropout is 1.5"));
  EXPECT_THAT(ErrorWith("target_modules", Json::array()), HasSubstr("target_modules"));
  EXPECT_THAT(ErrorWith("target_modules", {"q_proj", "lm_head"}), HasSubstr("lm_head"));
  EXPECT_THAT(ErrorWith("target_modules", 5), HasSubstr("target_modules is 5"));
  EXPECT_THAT(ErrorWith("alora_invocation_tokens", {1, -2}), HasSubstr("-2"));
  EXPECT_THAT(ParsePeftConfig("[]", "adapter").error().message, HasSubstr("adapter"));
}

}  // namespace
}  // namespace hearth::forge
