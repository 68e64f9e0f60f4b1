// gzip files (RFC 1952) through zlib: several members, every checksum verified. Bytes without the
// gzip signature are returned as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace setun::formats {

inline constexpr int64_t kMostUnpacked = int64_t{1} << 31;  // a small file can unpack to terabytes

// `name` stands in messages. Throws Error when the stream is damaged, cut off, or unpacks to more
// than `most` bytes.
std::string gunzip(std::string_view bytes, std::string_view name, int64_t most = kMostUnpacked);

}  // namespace setun::formats
