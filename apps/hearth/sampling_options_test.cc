#include "apps/hearth/sampling_options.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(SetSetting, TakesEveryNameInBothSpellings) {
  GenerationSettings settings;
  EXPECT_TRUE(SetSetting(settings, "temperature", "0"));
  EXPECT_TRUE(SetSetting(settings, "top_p", "0.5"));
  EXPECT_TRUE(SetSetting(settings, "top-k", "40"));
  EXPECT_TRUE(SetSetting(settings, "min-p", "0.1"));
  EXPECT_TRUE(SetSetting(settings, "repeat-penalty", "1.1"));
  EXPECT_TRUE(SetSetting(settings, "presence-penalty", "-1"));
  EXPECT_TRUE(SetSetting(settings, "frequency-penalty", "2"));
  EXPECT_TRUE(SetSetting(settings, "max-tokens", "12"));
  EXPECT_TRUE(SetSetting(settings, "seed", "18446744073709551615"));
  EXPECT_TRUE(SetSetting(settings, "stop", "END"));
  const GenerateRequest request = RequestOf(settings);
  EXPECT_EQ(request.sampling.temperature, 0.0f);
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.top_k, 40);
  EXPECT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1f);
  EXPECT_EQ(request.sampling.presence_penalty, -1.0f);
  EXPECT_EQ(request.sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(request.sampling.seed, UINT64_MAX);
  EXPECT_EQ(request.max_tokens, 12);
  EXPECT_EQ(request.stop, std::vector<std::string>{"END"});
}

TEST(SetSetting, RefusesWhatIsOutOfRangeOrNoNumber) {
  GenerationSettings settings;
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"temperature", "-1"},
                                                                  {"temperature", "nan"},
                                                                  {"temperature", "warm"},
                                                                  {"temperature", ""},
                                                                  {"top-p", "0"},
                                                                  {"top-p", "1.5"},
                                                                  {"top-k", "-1"},
                                                                  {"top-k", "3.5"},
                                                                  {"min-p", "2"},
                                                                  {"repeat-penalty", "0"},
                                                                  {"seed", "-1"},
                                                                  {"max-tokens", "-2"},
                                                                  {"max-tokens", "99999999999"},
                                                                  {"colour", "red"}}) {
    const Status set = SetSetting(settings, name, value);
    ASSERT_FALSE(set) << name << " " << value;
    EXPECT_NE(set.error().message.find(name), std::string::npos);
  }
  EXPECT_EQ(settings.temperature, GenerationSettings().temperature);
}

TEST(SetSetting, EmptyStopClearsAndRandomForgetsTheSeed) {
  GenerationSettings settings;
  settings.stop = {"a", "b"};
  settings.seed = 1;
  EXPECT_TRUE(SetSetting(settings, "stop", ""));
  EXPECT_TRUE(SetSetting(settings, "seed", "random"));
  EXPECT_TRUE(settings.stop.empty());
  EXPECT_FALSE(settings.seed);
}

TEST(RequestOf, DrawsAnotherSeedEachTime) {
  EXPECT_NE(RequestOf({}).sampling.seed, RequestOf({}).sampling.seed);
}

TEST(SetSetting, DescriptionShowsWhatWasSet) {
  GenerationSettings settings;
  ASSERT_TRUE(SetSetting(settings, "temperature", "0.25"));
  EXPECT_NE(DescribeSettings(settings).find("0.25"), std::string::npos);
}

}  // namespace
}  // namespace hearth
