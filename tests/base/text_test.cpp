// Properties of base/text, base/enum_names, base/step_point and base/cpu_features.
#include "base/text.h"

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/step_point.h"
#include "support/catch.h"

namespace setun {
namespace {

TEST_CASE("nearest_name finds typing slips and stays silent when nothing is near", "[base]") {
  const std::vector<std::string> known = {"group_size", "granularity", "scheme", "eps"};
  CHECK(nearest_name("gruop_size", known) == "group_size");
  CHECK(nearest_name("scheem", known) == "scheme");
  CHECK(nearest_name("optimizer_state", known).empty());
  CHECK(nearest_name("x", known).empty());
}

TEST_CASE("numbers are written for people", "[base]") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1536) == "1.5 KB");
  CHECK(human_bytes(999'960) == "1.0 MB");
  CHECK(human_bytes(1.3e9) == "1.3 GB");
  CHECK(thousands(0) == "0");
  CHECK(thousands(999) == "999");
  CHECK(thousands(1'234'567) == "1,234,567");
  CHECK(thousands(-1'234) == "-1,234");
  CHECK(thousands(-123) == "-123");
}

TEST_CASE("wildcard_match treats '*' as any run and the rest as itself", "[base]") {
  CHECK(wildcard_match("blocks.*.attn.q", "blocks.12.attn.q"));
  CHECK(wildcard_match("*", ""));
  CHECK(wildcard_match("*a*b", "xxaxxbab"));
  CHECK_FALSE(wildcard_match("*a*b", "xxaxxba"));
  CHECK_FALSE(wildcard_match("blocks.1", "blocks.12"));
  CHECK_FALSE(wildcard_match("", "x"));
}

TEST_CASE("a step point resolves fractions against the run and leaves steps alone", "[base]") {
  CHECK(StepPoint::steps(375).resolve(1000) == 375);
  CHECK(StepPoint::fraction(0.95).resolve(1000) == 950);
  CHECK(StepPoint::fraction(0.5).resolve(5) == 3);  // half away from zero
}

TEST_CASE("a forced CPU path is used until it is released", "[base]") {
  force_cpu_path(CpuPath::kScalar);
  CHECK(cpu_path() == CpuPath::kScalar);
  force_cpu_path(std::nullopt);
  CHECK(cpu_path() == best_cpu_path());
}

}  // namespace
}  // namespace setun
