#include "training/curate/quality_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace hearth::forge {
namespace {

Conversation Chat(const std::string& prompt, const std::string& answer) {
  return {{{"user", prompt}, {"assistant", answer}}, RowFormat::kMessages};
}

const std::string kAnswer =
    "The heart pumps blood through the body. Blood carries oxygen from the lungs to the muscles, "
    "and takes carbon dioxide back. A healthy heart of an adult beats about seventy times a minute.";
const std::string kPrompt = "What does the heart do, and how often does it beat in a minute?";

TEST(QualityFeatures, AreSortedAndEachOnce) {
  const std::vector<Feature> features = ExtractFeatures(kPrompt, kAnswer);
  ASSERT_GT(features.size(), 50U);
  for (size_t i = 1; i < features.size(); ++i) {
    EXPECT_LT(features[i - 1].index, features[i].index);
    EXPECT_LT(features[i].index, kNumFeatures);
  }
  for (const Feature& feature : ExtractFeatures("", "")) EXPECT_LT(feature.index, kNumFeatures);
}

TEST(QualityDamage, EveryKindChangesALongAnswerAndRepeatsItself) {
  for (const std::string& kind : DamageKinds()) {
    const std::string damaged = Damage(kind, kPrompt, kAnswer, std::string(60, 'x'), 5);
    EXPECT_FALSE(damaged.empty()) << kind;
    EXPECT_NE(damaged, kAnswer) << kind;
    EXPECT_EQ(damaged, Damage(kind, kPrompt, kAnswer, std::string(60, 'x'), 5)) << kind;
  }
  EXPECT_EQ(Damage("shuffled_words", "", "Yes", "", 1), "");
}

// What comes with the program must know what it was trained for.
TEST(QualityClassifier, BuiltInTellsDamageFromTheAnswer) {
  const QualityClassifier& classifier = QualityClassifier::BuiltIn();
  const double good = classifier.Score(Chat(kPrompt, kAnswer));
  EXPECT_GT(good, classifier.threshold());
  EXPECT_GT(good, 0.5);
  for (const char* kind : {"shuffled_words", "misspelt", "web_debris"}) {
    const double bad = classifier.Score(Chat(kPrompt, Damage(kind, kPrompt, kAnswer, "", 5)));
    EXPECT_LT(bad, good) << kind;
    EXPECT_LT(bad, 0.5) << kind;
  }
}

TEST(QualityClassifier, ShortHonestAnswersPass) {
  const QualityClassifier& classifier = QualityClassifier::BuiltIn();
  for (const char* answer : {"Paris", "Yes.", "42", "def f(x):\n    return x + 1"})
    EXPECT_GT(classifier.Score(Chat("Answer the question: what is it?", answer)),
              classifier.threshold())
        << answer;
  EXPECT_EQ(classifier.Score({{{"user", "Hi"}}, RowFormat::kMessages}), 0.5);
}

TEST(QualityClassifier, AConversationIsAsGoodAsItsWorstAnswer) {
  const QualityClassifier& classifier = QualityClassifier::BuiltIn();
  const std::string bad = Damage("shuffled_words", kPrompt, kAnswer, "", 5);
  Conversation two = Chat(kPrompt, kAnswer);
  two.messages.push_back({"user", kPrompt});
  two.messages.push_back({"assistant", bad});
  EXPECT_DOUBLE_EQ(classifier.Score(two), classifier.Score(Chat(kPrompt, bad)));
}

TEST(QualityClassifier, HostileModelsAreErrors) {
  for (const char* json : {"", "{}", R"({"scale": 1, "threshold": 0.1, "weights": [1, 2]})",
                           R"({"scale": "x", "threshold": 0.1, "weights": []})"})
    EXPECT_FALSE(QualityClassifier::Parse(json)) << json;
  nlohmann::json model = {{"scale", 1.0}, {"threshold", 0.1}};
  model["weights"] = std::vector<int>(kNumFeatures, 128);
  EXPECT_FALSE(QualityClassifier::Parse(model.dump()));
  model["weights"] = std::vector<int>(kNumFeatures, -127);
  EXPECT_TRUE(QualityClassifier::Parse(model.dump()));
}

TEST(QualityTraining, LearnsFromDamageAndIsDeterministic) {
  const std::string path = testing::TempDir() + "hearth_quality_good.jsonl";
  {
    std::ofstream file(path);
    const std::vector<std::string> who = {"The farmer", "A doctor", "My teacher", "Every sailor",
                                          "The old king", "That painter", "Our neighbour"};
    const std::vector<std::string> does = {"walked to the market", "looked after the children",
                                           "wrote a letter to the queen", "was waiting for the rain"};
    const std::vector<std::string> why = {"because the weather was good", "before the sun went down",
                                          "while the others were asleep", "as it had been agreed"};
    for (size_t i = 0; i < 400; ++i) {
      const std::string text = who[i % 7] + " " + does[i / 7 % 4] + " " + why[i / 28 % 4] +
                               ", and number " + std::to_string(i) + " came with him to the house. " +
                               who[i / 3 % 7] + " " + does[i / 5 % 4] + ".";
      file << nlohmann::json{{"prompt", "Tell me what happened on day " + std::to_string(i) + "."},
                             {"completion", text}}
                  .dump()
           << "\n";
    }
  }
  QualityTrainingOptions options;
  options.good = {path};
  options.epochs = 2;
  options.leave_one_out = false;
  const auto once = TrainQuality(options), twice = TrainQuality(options);
  ASSERT_TRUE(once) << once.error().message;
  EXPECT_EQ(once->classifier.ToJson(""), twice->classifier.ToJson(""));
  EXPECT_GT(once->held_out_good, 40);
  EXPECT_GT(once->auc, 0.8);
  // What is written is what was measured.
  const auto parsed = QualityClassifier::Parse(once->classifier.ToJson("x"));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->Score(Chat(kPrompt, kAnswer)), once->classifier.Score(Chat(kPrompt, kAnswer)));
  options.max_rows_per_file = 20;
  EXPECT_FALSE(TrainQuality(options));
}

}  // namespace
}  // namespace hearth::forge
