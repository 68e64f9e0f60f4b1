// Default < fragment (left to right) < recipe < command line; maps merge by key, lists are
// replaced.
#include "config/bad_configs.h"
#include "config/config.h"
#include "support/catch.h"

namespace setun {
namespace {

// A folder with three fragments and a recipe that includes them.
class Recipes {
 public:
  Recipes() : here_(enter()) {}

  RunConfig load(const std::string& recipe, const std::vector<std::string>& overrides = {}) {
    test::write_text(folder_ / "deep/er/recipe.yaml",
                     "data: {text: a.txt}\nrun: {steps: 100}\n" + recipe);
    return config::load_recipe("deep/er/recipe.yaml", overrides).config;
  }

 private:
  const std::filesystem::path& enter() {
    test::write_text(folder_ / "configs/optim/first.yaml",
                     "lr: 1\nbeta1: 0.1\ngroups: [{match: embed, lr_scale: 0.5}]\n");
    test::write_text(folder_ / "configs/optim/second.yaml", "lr: 2\nbeta2: 0.2\n");
    test::write_text(folder_ / "configs/optim/empty.yaml", "# nothing yet\n");
    return folder_.path();
  }
  test::TempDir folder_;
  test::WorkingFolder here_;
};

TEST_CASE("a later fragment wins, key by key", "[config]") {
  Recipes recipes;
  const OptimOptions optim =
      recipes.load("include: [optim/first, optim/second, optim/empty]\n").optim;
  CHECK(optim.lr == 2);
  CHECK(optim.beta1 == 0.1);
  CHECK(optim.beta2 == 0.2);
  CHECK(optim.eps == OptimOptions{}.eps);
  CHECK(recipes.load("include: [optim/second, optim/first]\n").optim.lr == 1);
}

TEST_CASE("the recipe wins over fragments, the command line over both", "[config]") {
  Recipes recipes;
  const std::string recipe = "include: [optim/first]\noptim: {lr: 3}\n";
  CHECK(recipes.load(recipe).optim.lr == 3);
  CHECK(recipes.load(recipe).optim.beta1 == 0.1);
  CHECK(recipes.load(recipe, {"optim.lr=4"}).optim.lr == 4);
  CHECK(recipes.load(recipe, {"optim.lr=4", "optim.lr=5"}).optim.lr == 5);
  CHECK(recipes.load(recipe, {"optim={beta2: 0.5}"}).optim.beta1 == 0.1);
}

TEST_CASE("where include stands in the recipe does not matter", "[config]") {
  Recipes recipes;
  CHECK(recipes.load("optim: {lr: 3}\ninclude: [optim/first]\n").optim.lr == 3);
}

TEST_CASE("lists are replaced, not joined", "[config]") {
  Recipes recipes;
  CHECK(recipes.load("include: [optim/first]\n").optim.groups.size() == 1);
  CHECK(recipes.load("include: [optim/first]\n").optim.groups[0].match == "embed");
  const auto groups =
      recipes.load("include: [optim/first]\noptim: {groups: [{match: o}, {match: qkv}]}\n")
          .optim.groups;
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].match == "o");
  CHECK_FALSE(groups[0].weight_decay.has_value());
  CHECK(recipes.load("include: [optim/first]\noptim: {groups: []}\n").optim.groups.empty());
}

TEST_CASE("a section or fragment with nothing below it changes nothing", "[config]") {
  Recipes recipes;
  CHECK(recipes.load("include: [optim/first]\noptim:\n#  lr: 3\n").optim.lr == 1);
}

TEST_CASE("an override reaches into lists and keeps what it does not name", "[config]") {
  Recipes recipes;
  const std::string recipe =
      "quant: {layers: [{match: o, set: {weight: {scheme: absmean, eps: 1.0e-3}}}]}\n";
  const auto layers =
      recipes.load(recipe, {"quant.layers[0].match=down", "quant.layers[0].set.weight.eps=2.0e-3"})
          .quant.layers;
  REQUIRE(layers.size() == 1);
  CHECK(layers[0].match == "down");
  CHECK(layers[0].set.weight.eps == 2e-3);
  CHECK(layers[0].set.weight.scheme == WeightScheme::kAbsmean);
}

TEST_CASE("override values are YAML, with everything behind the first =", "[config]") {
  Recipes recipes;
  CHECK(recipes.load("", {"generate.prompt=a=b=c"}).generate.prompt == "a=b=c");
  CHECK(recipes.load("", {"generate.prompt="}).generate.prompt.empty());
  CHECK(recipes.load("generate: {prompt: x}\n", {"generate.prompt="}).generate.prompt.empty());
  CHECK(recipes.load("", {"generate.prompt=\"a: b\""}).generate.prompt == "a: b");
  CHECK(recipes.load("", {"data.text=[a, b]"}).data.text == std::vector<std::string>{"a", "b"});
  CHECK(recipes.load("", {"data.text=c"}).data.text == std::vector<std::string>{"c"});
  CHECK(recipes.load("", {"data.text=", "data.tokens=t.bin"}).data.text.empty());
}

TEST_CASE("files are named as the user would type them", "[config]") {
  Recipes recipes;
  test::write_text("configs/optim/first.yaml", "lr: 1\nbeta3: 0.1\n");
  CHECK_THROWS_WITH(recipes.load("include: [optim/first]\nmodel: {width: 3}\n"),
                    Catch::StartsWith("configs/optim/first.yaml:2:1: optim.beta3: unknown key") &&
                        Catch::Contains("\ndeep/er/recipe.yaml:4:9: model.width: unknown key"));
}

}  // namespace
}  // namespace setun
