// Every mistake of tests/sweep/bad_sweeps.txt (format: tests/config/bad_configs.h, the sweep is
// sweep.yaml) stops before anything runs, with exactly the message that stands beside it.
#include <set>

#include "base/error.h"
#include "config/bad_configs.h"
#include "support/catch.h"
#include "sweep/expand.h"

namespace setun {
namespace {

std::string sweep_message(const test::BadConfig& bad, const std::filesystem::path& folder) {
  test::write_text(folder / "recipe.yaml", "data: {text: text.txt}\nrun: {steps: 100}\n");
  for (const auto& [name, content] : bad.files) {
    test::write_text(folder / name, content);
  }
  const test::WorkingFolder here(folder);
  try {
    sweep::expand(sweep::load_sweep("sweep.yaml", bad.overrides));
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST_CASE("each bad sweep file gets its message", "[sweep]") {
  const auto table = test::read_bad_configs(SETUN_SOURCE_DIR "/tests/sweep/bad_sweeps.txt");
  CHECK(table.size() >= 25);
  const test::TempDir folder;
  std::set<std::string> messages;
  int number = 0;
  for (const test::BadConfig& bad : table) {
    INFO(bad.title);
    CHECK(sweep_message(bad, folder / std::to_string(number++)) == bad.message);
    CHECK(!bad.message.empty());
    CHECK(messages.insert(bad.message).second);  // a mistake told twice tests nothing
  }
}

TEST_CASE("the sweep that the table changes is good as it stands", "[sweep]") {
  const test::TempDir folder;
  test::BadConfig good;
  good.files["sweep.yaml"] = "recipe: recipe.yaml\noutput: runs/s\n";
  CHECK(sweep_message(good, folder / "good").empty());
}

}  // namespace
}  // namespace setun
