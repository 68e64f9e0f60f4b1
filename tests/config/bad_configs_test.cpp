// Every mistake of the table stops with exactly the message that stands beside it.
#include <set>

#include "config/bad_configs.h"
#include "support/catch.h"

namespace setun {
namespace {

const std::filesystem::path kTable = SETUN_SOURCE_DIR "/tests/config/bad_configs.txt";

TEST_CASE("each bad recipe gets its message", "[config]") {
  const auto table = test::read_bad_configs(kTable);
  CHECK(table.size() >= 60);
  const test::TempDir folder;
  std::set<std::string> messages;
  int number = 0;
  for (const test::BadConfig& bad : table) {
    INFO(bad.title);
    CHECK(test::message_of(bad, folder / std::to_string(number++)) == bad.message);
    CHECK(!bad.message.empty());
    CHECK(messages.insert(bad.message).second);  // a mistake told twice tests nothing
  }
}

TEST_CASE("the recipe the table changes is good as it stands", "[config]") {
  const test::TempDir folder;
  CHECK(test::message_of({}, folder / "good").empty());
}

}  // namespace
}  // namespace setun
