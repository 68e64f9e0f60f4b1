// Means, deviations and paired differences against numbers computed by hand.
#include "sweep/statistics.h"

#include <cmath>
#include <limits>

#include "support/catch.h"

namespace setun::sweep {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("mean and sample deviation of 1, 2, 4 are 7/3 and sqrt(7/3)", "[sweep]") {
  const Moments of = moments({1, 2, 4});
  CHECK(of.n == 3);
  CHECK(*of.mean == Approx(7.0 / 3).epsilon(1e-15));
  CHECK(*of.deviation == Approx(1.527525231651947).epsilon(1e-15));
}

TEST_CASE("a deviation needs two values, a mean one", "[sweep]") {
  CHECK_FALSE(moments({}).mean);
  CHECK(moments({2.5}).mean == 2.5);
  CHECK_FALSE(moments({2.5}).deviation);
  CHECK(moments({2.5, 2.5}).deviation == 0.0);
}

TEST_CASE("a deviation far from zero keeps its digits", "[sweep]") {
  CHECK(*moments({1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16}).deviation ==
        Approx(std::sqrt(30.0)).epsilon(1e-15));
}

TEST_CASE("a value that is not finite is never averaged away", "[sweep]") {
  for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
    const Moments of = moments({1, bad, 3});
    CHECK(of.n == 3);
    CHECK(std::isnan(*of.mean));
    CHECK_FALSE(of.deviation);
    const PairedDifference difference = paired_difference({{1, 2}, {bad, 2}});
    CHECK(std::isnan(*difference.mean));
    CHECK_FALSE(difference.standard_error);
    CHECK_FALSE(difference.held);
  }
}

TEST_CASE("paired differences -0.25, -0.5, -0.75 are held at 0.144 standard error", "[sweep]") {
  const PairedDifference of = paired_difference({{1, 1.25}, {3, 3.5}, {2, 2.75}});
  CHECK(of.pairs == 3);
  CHECK(*of.mean == -0.5);
  CHECK(*of.standard_error == Approx(0.25 / std::sqrt(3.0)).epsilon(1e-15));
  CHECK(of.held == true);
}

TEST_CASE("differences of 3 and -2 are not held", "[sweep]") {
  const PairedDifference of = paired_difference({{5, 2}, {1, 3}});
  CHECK(*of.mean == 0.5);
  CHECK(*of.standard_error == Approx(2.5).epsilon(1e-15));  // deviation 5 / sqrt 2, over sqrt 2
  CHECK(of.held == false);
}

TEST_CASE("two standard errors are the border, and equal runs do not differ", "[sweep]") {
  CHECK(paired_difference({{1.01, 0}, {2.99, 0}}).held == true);   // 2 / 0.99
  CHECK(paired_difference({{0.99, 0}, {3.01, 0}}).held == false);  // 2 / 1.01
  CHECK(paired_difference({{1, 1}, {3, 3}}).held == false);
}

TEST_CASE("one pair has a difference and no error", "[sweep]") {
  const PairedDifference of = paired_difference({{5, 2}});
  CHECK(of.mean == 3.0);
  CHECK_FALSE(of.standard_error);
  CHECK_FALSE(of.held);
  CHECK_FALSE(paired_difference({}).mean);
}

}  // namespace
}  // namespace setun::sweep
