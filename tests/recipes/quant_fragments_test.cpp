// Every quantization fragment makes another training run of the same recipe: a method whose keys
// were ignored would repeat the losses of b158, or of full precision.
#include <map>

#include "config/config.h"
#include "recipes/tiny.h"
#include "run/run.h"
#include "support/catch.h"

namespace setun {
namespace {

const std::filesystem::path kSource = SETUN_SOURCE_DIR;
constexpr int kSteps = 12;  // the last 5 % begin before the last step

double loss_with(const std::string& fragment, const test::TempDir& folder) {
  const auto place = folder / fragment;
  std::filesystem::create_directories(place);
  std::error_code exists;
  std::filesystem::create_directory_symlink(kSource / "configs", folder / "configs", exists);
  test::write_text(folder / (fragment + ".yaml"),
                   "include: [model/tiny, quant/" + fragment +
                       ", data/bytes, optim/adamw]\nrun: {steps: 12}\ndata: {text: t}\n");
  const auto recipe = config::load_recipe(folder / (fragment + ".yaml"),
                                          test::tiny_overrides(folder / "tiny.txt", place, kSteps));
  return run::train(recipe.config, config::emit_yaml(recipe.config, /*full=*/true)).train_loss;
}

TEST_CASE("every quantization fragment trains in its own way", "[recipes]") {
  const test::TempDir folder;
  test::write_text(folder / "tiny.txt", test::tiny_text(60'000));
  std::map<double, std::string> losses;
  for (const auto& file : test::yaml_files(kSource / "configs" / "quant")) {
    const std::string name = file.stem().string();
    INFO(name);
    const double loss = loss_with(name, folder);
    const auto [twin, is_new] = losses.emplace(loss, name);
    INFO("has the loss of " << twin->second);
    CHECK(is_new);
  }
  CHECK(losses.size() >= 20);
}

}  // namespace
}  // namespace setun
