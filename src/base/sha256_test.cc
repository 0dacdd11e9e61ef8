#include "base/sha256.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// The examples of FIPS 180-2, appendix B.
TEST(Sha256, GivesTheStandardsDigests) {
  EXPECT_EQ(Sha256Of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Padding needs a second block from 56 bytes on; pieces must not matter.
TEST(Sha256, DoesNotDependOnThePieces) {
  for (size_t size = 0; size < 200; ++size) {
    const std::string text(size, 'x');
    for (const size_t piece : {1, 7, 63, 64, 65}) {
      Sha256 hash;
      for (size_t begin = 0; begin < size; begin += piece)
        hash.Update(std::string_view(text).substr(begin, piece));
      EXPECT_EQ(hash.Finish(), Sha256Of(text)) << size << " in pieces of " << piece;
    }
  }
}

TEST(Sha256, NamesAFileThatIsNotThere) {
  const auto hash = Sha256OfFile("/nowhere/at all");
  ASSERT_FALSE(hash);
  EXPECT_EQ(hash.error().code, ErrorCode::kNotFound);
  EXPECT_NE(hash.error().message.find("/nowhere/at all"), std::string::npos);
}

}  // namespace
}  // namespace hearth
