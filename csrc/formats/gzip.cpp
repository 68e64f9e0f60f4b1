#include "formats/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/error.h"

namespace setun::formats {
namespace {

constexpr int kGzipOnly = 15 + 16;           // window bits of zlib, gzip header required
constexpr std::size_t kMostInput = 1 << 30;  // zlib counts in 32 bits
constexpr std::size_t kMinimumMember = 18;   // header and trailer

struct End {
  void operator()(z_stream* stream) const {
    inflateEnd(stream);
    delete stream;
  }
};

bool signature_at(std::string_view bytes, std::size_t at) {
  return bytes.size() >= at + kMinimumMember && bytes[at] == '\x1f' && bytes[at + 1] == '\x8b';
}

}  // namespace

std::string gunzip(std::string_view bytes, std::string_view name, int64_t most) {
  if (!signature_at(bytes, 0)) {
    return std::string(bytes);
  }
  SETUN_CHECK(bytes.size() < kMostInput, name, ": ", bytes.size(),
              " compressed bytes; the most is ", kMostInput);
  std::unique_ptr<z_stream, End> stream(new z_stream{});
  SETUN_CHECK(inflateInit2(stream.get(), kGzipOnly) == Z_OK, name, ": zlib cannot start");
  stream->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream->avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::array<char, 65536> buffer{};
  while (true) {
    stream->next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream->avail_out = static_cast<uInt>(buffer.size());
    const int status = inflate(stream.get(), Z_NO_FLUSH);
    SETUN_CHECK(status == Z_OK || status == Z_STREAM_END, name, ": is damaged gzip data (",
                status == Z_BUF_ERROR ? "it ends in the middle" : "at byte ",
                status == Z_BUF_ERROR ? "" : std::to_string(bytes.size() - stream->avail_in), ")");
    out.append(buffer.data(), buffer.size() - stream->avail_out);
    SETUN_CHECK(static_cast<int64_t>(out.size()) <= most, name, ": unpacks to more than ", most,
                " bytes");
    if (status == Z_STREAM_END) {
      if (stream->avail_in == 0) {
        return out;
      }
      SETUN_CHECK(signature_at(bytes, bytes.size() - stream->avail_in), name, ": has ",
                  stream->avail_in, " bytes behind its gzip data");
      inflateReset(stream.get());
    }
  }
}

}  // namespace setun::formats
