// The main program of every Catch2 executable: runs the session and prints the closing line that
// scripts/test adds up.
#define CATCH_CONFIG_RUNNER
#include "support/catch.h"

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

namespace setun::test {
namespace {

struct SkipTest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Counts {
  int passed = 0, failed = 0, skipped = 0;
  bool current_skipped = false;
};
Counts counts;

struct ClosingLine : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo&) override { counts.current_skipped = false; }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (counts.current_skipped) {
      ++counts.skipped;
    } else if (stats.totals.testCases.failed > 0) {
      ++counts.failed;
    } else {
      ++counts.passed;
    }
  }
};
CATCH_REGISTER_LISTENER(ClosingLine)

}  // namespace

void skip(const std::string& reason) {
  counts.current_skipped = true;
  std::cout << "skipped: " << reason << "\n";
  throw SkipTest("skipped: " + reason);
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "setun-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::runtime_error("mkdtemp failed for " + pattern);
  }
  path_ = pattern;
}
TempDir::~TempDir() { std::filesystem::remove_all(path_); }

void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}
std::string read_text(const std::filesystem::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(out).str();
}

}  // namespace setun::test

int main(int argc, char** argv) {
  Catch::Session session;
  session.configData().warnings =
      Catch::WarnAbout::NoAssertions;  // a test that checks nothing fails: its CHECK is another one
  const int status = session.applyCommandLine(argc, argv) == 0 ? session.run() : 1;
  const auto& counts = setun::test::counts;
  if (counts.passed + counts.failed + counts.skipped == 0) {
    return status;  // --list-tests, --help or a bad argument
  }
  std::cout << counts.passed << " passed, " << counts.failed << " failed, " << counts.skipped
            << " skipped" << std::endl;
  return counts.failed > 0 ? 1 : 0;
}
