// Properties of base/files: atomic writes survive SIGKILL at every fault point, locks name their
// owner, CRC-32C is standard.
#include "base/files.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "support/catch.h"

namespace setun {
namespace {

using Catch::Matchers::Contains;
using test::TempDir;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST_CASE("crc32c gives the published check values", "[base]") {
  CHECK(crc32c(bytes_of("123456789")) == 0xE3069283U);  // RFC 3720 appendix B.4
  CHECK(crc32c(bytes_of(std::string(32, '\0'))) == 0x8A9136AAU);
  CHECK(crc32c(bytes_of("")) == 0U);
}

TEST_CASE("crc32c of a concatenation continues from the first part", "[base]") {
  const std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const uint32_t first = crc32c(bytes_of(text.substr(0, cut)));
    CHECK(crc32c(bytes_of(text.substr(cut)), first) == crc32c(bytes_of(text)));
  }
}

TEST_CASE("remove_temporaries takes what a killed write left, and nothing else", "[base]") {
  const TempDir folder;
  for (const char* name : {"state.tmp-123", "state", "notes.tmp-x", "a.tmp-", "b.tmp-1.txt"}) {
    test::write_text(folder / name, "x");
  }
  test::write_text(folder / "folder.tmp-1" / "inner.tmp-2", "x");
  remove_temporaries(folder.path());
  CHECK_FALSE(fs::exists(folder / "state.tmp-123"));
  for (const char* name :
       {"state", "notes.tmp-x", "a.tmp-", "b.tmp-1.txt", "folder.tmp-1/inner.tmp-2"}) {
    CHECK(fs::exists(folder / name));
  }
}

TEST_CASE("write_file_atomic replaces the whole content and leaves no temporary file", "[base]") {
  const TempDir folder;
  write_file_atomic(folder / "state", "first");
  write_file_atomic(folder / "state", "second, longer");
  CHECK(read_file(folder / "state") == "second, longer");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a process killed before the rename leaves the old file whole", "[base]") {
  const TempDir folder;
  write_file_atomic(folder / "state", "old");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    arm_fault_point("write_file.before_rename", 1);
    write_file_atomic(folder / "state", "new");
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(read_file(folder / "state") == "old");
}

TEST_CASE("reading says which file failed and why", "[base]") {
  const TempDir folder;
  CHECK_THROWS_WITH(read_file(folder / "absent"), Contains("absent") && Contains("No such file"));
  CHECK_THROWS_WITH(read_file(folder.path()), Contains("is a folder"));
  CHECK_THROWS_WITH(MappedFile(folder / "absent"), Contains("absent"));
}

TEST_CASE("a mapped file shows the file's bytes and moves without copying", "[base]") {
  const TempDir folder;
  test::write_text(folder / "data", "hello");
  MappedFile first(folder / "data");
  const std::byte* address = first.bytes().data();
  const MappedFile second(std::move(first));
  CHECK(second.bytes().data() == address);
  CHECK(std::memcmp(second.bytes().data(), "hello", 5) == 0);
  test::write_text(folder / "empty", "");
  CHECK(MappedFile(folder / "empty").bytes().empty());
}

TEST_CASE("a second lock on the same file is refused and names the owner", "[base]") {
  const TempDir folder;
  {
    const FileLock lock(folder / "run.lock");
    CHECK_THROWS_WITH(FileLock(folder / "run.lock"), Contains(std::to_string(getpid())));
  }
  CHECK_NOTHROW(FileLock(folder / "run.lock"));
}

}  // namespace
}  // namespace setun
